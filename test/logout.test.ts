import { decodeHTMLAttribute } from 'entities'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { appBaseUrl, buildApp, type Built } from './helpers/app.ts'
import type { Browser, BrowserResponse, RequestOptions } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'

t.test('I1 POST /logout ends the session here and at the provider (RP-Initiated Logout 1.0 §2)', async t => {
  const { browser, provider } = await loggedIn(t)
  const response = await browser.post('/logout')
  t.match(response, { statusCode: 303, headers: { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' } })
  t.equal(response.location?.href.split('?')[0], 'https://tenant.example.com/oidc/logout')
  t.ok(await isAnonymous(browser))
  provider.logout(response.location!)
  const { id_token_hint: hint, ...parameters } = Object.fromEntries(provider.logouts[0]!)
  t.match(parameters, { client_id: provider.clientId, post_logout_redirect_uri: appBaseUrl, logout_hint: /^sid-/ }, 'I3')
  t.match(JSON.parse(Buffer.from(hint!.split('.')[1]!, 'base64url').toString()), { sub: 'auth0|ada', sid: parameters.logout_hint })
  t.notOk('federated' in parameters)
})

const persons: Array<[name: string, options: RequestOptions]> = [
  ['a link of ours', { site: 'same-origin' }],
  ['the person, at the address bar', { site: 'none' }],
  ['a script of ours', { site: 'same-origin', headers: { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } }],
  ['a link of ours in an old browser', { legacy: true, headers: { referer: `${appBaseUrl}/profile` } }],
  ['the address bar of an old browser', { legacy: true }]
]
for (const [name, options] of persons) {
  t.test(`GET /logout logs out: ${name}`, async t => {
    const { browser } = await loggedIn(t)
    const response = await browser.get('/logout', options)
    t.match(response, { statusCode: 303, headers: { 'cache-control': 'no-store' }, location: { pathname: '/oidc/logout' } })
    t.ok(await isAnonymous(browser))
  })
}

const strangers: typeof persons = [
  ['a link of another site', { site: 'cross-site' }],
  ['a link of a sibling', { site: 'same-site' }],
  ['an image of another site', { site: 'same-site', headers: { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' } }],
  ['an image that a visitor put into a page of ours', { site: 'same-origin', headers: { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' } }],
  ['a frame in a page of ours', { site: 'same-origin', headers: { 'sec-fetch-dest': 'iframe' } }],
  ['a script of a sibling', { site: 'same-site', headers: { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } }],
  ['a link of another site in an old browser', { legacy: true, headers: { referer: 'https://elsewhere.example/' } }],
  ['a Referer that is none', { legacy: true, headers: { referer: 'nonsense' } }]
]
for (const [name, options] of strangers) {
  t.test(`I2 GET /logout ends nothing but shows a button that works: ${name} (ASVS 3.5.3)`, async t => {
    const { browser, provider } = await loggedIn(t)
    const page = await browser.get('/logout?returnTo=/public%3Fa%3D%22%3E&federated&x=1', options)
    t.match(page, { statusCode: 200, headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' } })
    t.same(page.setCookies, [])
    t.notOk(await isAnonymous(browser))
    t.equal(provider.logouts.length, 0)

    const { action, fields } = formOf(page)
    t.same(fields, { returnTo: '/public?a=">', federated: 'true' })
    const next = await browser.submit(action, fields)
    t.equal(next.url.href, `${appBaseUrl}/public?a=%22%3E`)
    t.ok(await isAnonymous(browser))
    t.equal(provider.logouts[0]?.get('federated'), 'true')
  })
}

t.test('I2 the button posts to where the logout route is', async t => {
  const { app } = await buildApp(t, { auth0: { appBaseUrl: `${appBaseUrl}/a&lt;b`, prefix: '/auth' } })
  const { body } = await app.inject({ url: '/auth/logout', headers: { 'sec-fetch-site': 'cross-site' } })
  t.equal(formOf({ body }).action, '/a&lt;b/auth/logout')
})

t.test('I2 POST /logout from another site is refused', async t => {
  const { browser } = await loggedIn(t)
  const response = await browser.post('/logout', {}, { site: 'same-site' })
  t.equal(response.statusCode, 403)
  t.match(response.body, 'FST_AUTH0_CROSS_SITE_REQUEST')
  t.notOk(await isAnonymous(browser))
})

for (const purpose of ['sec-purpose', 'purpose', 'x-purpose', 'x-moz']) {
  for (const value of ['prefetch', 'prefetch;prerender', 'preview']) {
    t.test(`N14 ${purpose}: ${value} does nothing (promise 12)`, async t => {
      const { browser } = await loggedIn(t)
      const response = await browser.fetch('/logout', { headers: { [purpose]: value } })
      t.match(response.json(), { statusCode: 403, code: 'FST_AUTH0_PREFETCH_REFUSED' })
      t.notOk(await isAnonymous(browser))
    })
  }
}

t.test('N14 HEAD does nothing (promise 12)', async t => {
  const { browser } = await loggedIn(t)
  t.equal((await browser.get('/logout', { method: 'HEAD' })).statusCode, 405)
  t.notOk(await isAnonymous(browser))
})

t.test('M6 takes returnTo from the query of a POST, too; the form has the last word', async t => {
  const { browser } = await loggedIn(t)
  const wish = async (form: Record<string, string>) => (await browser.post('/logout?returnTo=/query', form)).location?.searchParams.get('post_logout_redirect_uri')
  t.equal(await wish({}), `${appBaseUrl}/query`)
  t.equal(await wish({ returnTo: '/form' }), `${appBaseUrl}/form`)
})

const wishes: Array<[name: string, returnTo: string | string[], expected: string]> = [
  ['a path', '/bye?a=b#c', '/bye?a=b#c'],
  ['nothing', '', ''],
  ['a URL of ours', `${appBaseUrl}/bye`, '/bye'],
  ['another host', 'https://evil.example/', ''],
  ['another host without a scheme', '//evil.example/', ''],
  ['a backslash', '/\\evil.example', ''],
  ['a script', 'javascript:alert(1)', ''],
  ['a line break (M7)', '/a\r\nset-cookie: x=1', ''],
  ['the logout route, which would ask again (M3)', '/logout', ''],
  ['two wishes', ['/a', '/b'], '']
]
for (const [name, returnTo, expected] of wishes) {
  t.test(`M6 returns to ${expected || 'the home page, as appBaseUrl spells it,'} for ${name}`, async t => {
    const { browser } = await loggedIn(t)
    const form = new URLSearchParams([returnTo].flat().map((value): [string, string] => ['returnTo', value]))
    const { location } = await browser.post('/logout', form)
    t.equal(location?.searchParams.get('post_logout_redirect_uri'), appBaseUrl + expected)
    const again = await browser.get(`/logout?${form}`)
    if (!Array.isArray(returnTo)) t.equal(again.location?.searchParams.get('post_logout_redirect_uri'), appBaseUrl + expected)
  })
}

for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x']) {
  t.test(`takes no notice of a body of ${type}`, async t => {
    const { browser } = await loggedIn(t)
    const response = await browser.fetch('/logout', { method: 'POST', json: [1, 2], headers: { 'content-type': type } })
    t.equal(response.statusCode, 303)
    t.ok(await isAnonymous(browser))
  })
}

const sessions: Array<[name: string, spoil: (browser: Browser, advance: (seconds: number) => void) => unknown]> = [
  ['twice', browser => browser.post('/logout')],
  ['an expired session', (browser, advance) => { const cookie = cookieOf(browser); advance(86_401); browser.setCookie(cookie) }],
  ['a cookie that was tampered with', browser => browser.setCookie(cookieOf(browser).replace(/.{4};/, 'AAAA;'))],
  ['a cookie that is garbage', browser => browser.setCookie('__Host-auth0=garbage; Path=/; Secure')],
  ['no cookie', browser => browser.cookies.clear()]
]
for (const [name, spoil] of sessions) {
  t.test(`I7 logs out with ${name}`, async t => {
    const { advance } = travelInTime(t)
    const { browser, provider } = await loggedIn(t)
    await spoil(browser, advance)
    const response = await browser.post('/logout')
    t.match(response, { statusCode: 303, location: { pathname: '/oidc/logout' } }, 'there, too: that session may live')
    provider.logout(response.location!)
    t.same([...provider.logouts[0]!.keys()].sort(), ['client_id', 'post_logout_redirect_uri'])
    t.same(browser.cookieNames('__Host-auth0'), [])
  })
}

const tenants: Array<[name: string, metadata: Record<string, unknown>, options: Auth0Options, expected: string]> = [
  ['an Auth0 tenant without end_session_endpoint', { end_session_endpoint: undefined }, {},
    'https://tenant.example.com/v2/logout?client_id=client-id&returnTo=https%3A%2F%2Fapp.example.com%2Fbye&federated=true'],
  ['another provider without end_session_endpoint', { end_session_endpoint: undefined }, { issuer: 'https://tenant.example.com/' }, `${appBaseUrl}/bye`],
  ['an endpoint with a query of its own', { end_session_endpoint: 'https://tenant.example.com/out?realm=x' }, { issuer: 'https://tenant.example.com/' },
    'https://tenant.example.com/out?realm=x&client_id=client-id&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye']
]
for (const [name, metadata, auth0, expected] of tenants) {
  t.test(`I5 goes on at ${name}`, async t => {
    const { newBrowser } = await loggedIn(t, { auth0, provider: { metadata } })
    t.equal((await newBrowser().post('/logout', { returnTo: '/bye', federated: '' })).location?.href, expected)
  })
}

t.test('another provider is not told what is Auth0 only', async t => {
  const { browser } = await loggedIn(t, { auth0: { issuer: 'https://tenant.example.com/' } })
  const { location } = await browser.post('/logout', { federated: '' })
  t.same([...location!.searchParams.keys()].sort(), ['client_id', 'id_token_hint', 'post_logout_redirect_uri'])
})

/** Whether the session is gone, and with it every cookie of it. */
async function isAnonymous (browser: Browser): Promise<boolean> {
  const { user } = (await browser.get('/me')).json()
  return user === null && browser.cookieNames('__Host-auth0').length === 0
}

/** The session's cookie, as a browser that takes no notice of its Max-Age would keep it. */
function cookieOf (browser: Browser): string {
  return `__Host-auth0=${browser.cookie('__Host-auth0')}; Path=/; Secure`
}

async function loggedIn (t: Test, options: Parameters<typeof buildApp>[1] = {}): Promise<Built> {
  const built = await buildApp(t, options)
  await built.browser.login()
  return built
}

/** What the button of a page sends, and where to. */
function formOf ({ body }: Pick<BrowserResponse, 'body'>) {
  const [, action = ''] = /<form method="post" action="([^"]*)">/.exec(body) ?? []
  const fields = [...body.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map(([, ...field]) => field.map(text => decodeHTMLAttribute(text)))
  return { action: decodeHTMLAttribute(action), fields: Object.fromEntries(fields) as Record<string, string> }
}
