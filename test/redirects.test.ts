import { request } from 'node:http'
import t, { type Test } from 'tap'
import { appBaseUrl, buildApp, type Built } from './helpers/app.ts'
import { assertStaysAt, redirectPayloads } from './helpers/redirect-payloads.ts'

const evil = 'evil.example'
/** Of each kind one, for what takes longer. */
const some = redirectPayloads.filter((_payload, index) => index % 15 === 0)
const query = (returnTo: string) => `returnTo=${encodeURIComponent(returnTo)}`

t.test('M1 no login leads away, whatever returnTo says', async t => {
  const { browser } = await buildApp(t)
  t.ok(some.length > 100)
  for (const payload of some) {
    const { headers, statusCode } = await browser.comeBack(await browser.leave(`/login?${query(payload)}`))
    t.equal(statusCode, 303)
    assertStaysAt([appBaseUrl], String(headers.location), `${appBaseUrl}/callback`)
  }
})

t.test('M1 nor does a query that is not escaped', async t => {
  const { app, provider } = await buildApp(t)
  for (const wish of ['//evil.example', '/\\evil.example', 'https:evil.example', '/%09/evil.example', '/%5cevil.example', '//evil.example&returnTo=/profile', '/profile&returnTo=//evil.example']) {
    const started = await app.inject(`/login?returnTo=${wish}`)
    const { url } = provider.authorize(String(started.headers.location))
    const { headers } = await app.inject({ url: url.pathname + url.search, headers: { cookie: String(started.headers['set-cookie']).split(';')[0] } })
    assertStaysAt([appBaseUrl], String(headers.location), `${appBaseUrl}/callback`)
    t.notMatch(headers.location, 'profile', 'and of two wishes neither counts')
  }
})

for (const method of ['GET', 'POST'] as const) {
  t.test(`M6 no logout by ${method} leads away (RP-Initiated Logout 1.0 §2)`, async t => {
    const { browser } = await buildApp(t)
    for (const payload of redirectPayloads) {
      const { location, statusCode } = method === 'GET' ? await browser.get(`/logout?${query(payload)}`) : await browser.post('/logout', { returnTo: payload })
      if (statusCode !== 303) t.fail(`${payload} gives ${statusCode}`)
      assertStaysAt([appBaseUrl], location?.searchParams.get('post_logout_redirect_uri') ?? location?.searchParams.get('returnTo') ?? '', appBaseUrl)
    }
  })
}

t.test('M6 nor does one while the provider is down', async t => {
  const { browser, provider } = await buildApp(t)
  provider.failAll('connection refused')
  for (const payload of some) assertStaysAt([appBaseUrl], String((await browser.get(`/logout?${query(payload)}`)).headers.location), appBaseUrl)
})

t.test('M1 no guard leads away, whatever path was asked for', async t => {
  const { app, browser } = await buildApp(t, { routes: app => app.get('/*', { preHandler: app.requireAuth }, async () => 'secret') })
  const { port } = new URL(await app.listen())
  for (const path of ['//evil.example/%2e%2e', '///evil.example', '/\\evil.example', '/.//evil.example', '/%5c/evil.example', 'http://evil.example/x', '/a?next=//evil.example', '//evil.example//']) {
    const location = await locationOf(port, path)
    t.ok(location.startsWith('/login?'), location)
    assertStaysAt([appBaseUrl], location, appBaseUrl)
    assertStaysAt([appBaseUrl], String((await browser.comeBack(await browser.leave(location))).headers.location), appBaseUrl)
  }
})

t.test('M2 with a list of hosts, people go to those on it and to no other', async t => {
  const { browser } = await buildApp(t, { auth0: { appBaseUrl: [appBaseUrl, 'https://shop.example.com'] } })
  const back = async (wish: string) => String((await browser.comeBack(await browser.leave(`/login?${query(wish)}`))).headers.location)
  t.equal(await back('https://shop.example.com/cart'), 'https://shop.example.com/cart')
  for (const wish of ['https://shop.example.com:444/', 'http://shop.example.com/', 'https://a.shop.example.com/', 'https://shop.example.com.evil.example/']) t.equal(await back(wish), '/')
})

for (const path of ['/login', '/callback?code=1&state=2', '/logout', '/LOGOUT', '/%6cogin?returnTo=/profile']) {
  t.test(`M3 a login does not go on to ${path}`, async t => {
    const { browser } = await buildApp(t)
    t.equal((await browser.login(`/login?${query(path)}`)).url.href, `${appBaseUrl}/`)
    t.equal((await browser.get('/me')).json().isAuthenticated, true)
  })
}

t.test('M4 where a login goes is kept in the sealed cookie: neither state nor anything else shows it', async t => {
  const { browser } = await buildApp(t)
  const { location, setCookies } = await browser.get(`/login?${query('/reset?token=p3rsonal')}`)
  for (const text of [location!.href, ...setCookies]) t.notMatch(decode(text), 'p3rsonal')
  t.equal((await browser.comeBack(await browser.leave(`/login?${query('/reset?token=p3rsonal')}`))).headers.location, '/reset?token=p3rsonal')
})

t.test('M4 a returnTo of 10 KB is no error, and leads home', async t => {
  const { browser } = await buildApp(t)
  for (const wish of [`/${'a'.repeat(10_000)}`, `/${'é'.repeat(1500)}`]) {
    t.equal((await browser.comeBack(await browser.leave(`/login?${query(wish)}`))).headers.location, '/')
  }
})

const hostHeaders = [
  { host: evil }, { 'x-forwarded-host': evil }, { host: evil, 'x-forwarded-host': `${evil}, ${evil}` }, { 'x-forwarded-host': `app.example.com@${evil}` }, { 'x-original-host': evil, forwarded: `host=${evil}` },
  { host: `app.example.com.${evil}` }, { 'x-forwarded-proto': 'http' }, { 'x-forwarded-proto': 'javascript' }, { 'x-forwarded-port': '666' }, { 'x-forwarded-prefix': `//${evil}` }
]
for (const headers of hostHeaders) {
  t.test(`M5 ${JSON.stringify(headers)} changes no address of ours (RFC 9700 §4.13)`, async t => {
    const { browser } = await buildApp(t)
    const login = await browser.get('/login', { headers })
    t.equal(login.location?.searchParams.get('redirect_uri'), `${appBaseUrl}/callback`)
    t.equal((await browser.get('/profile', { headers })).headers.location, '/login?returnTo=%2Fprofile')
    t.equal((await browser.get('/logout', { headers })).location?.searchParams.get('post_logout_redirect_uri'), appBaseUrl)
    for (const page of ['/callback?code=1&state=2', '/login?returnTo=x']) {
      const { body, headers: answered } = await browser.get(page, { headers })
      t.notMatch(body + JSON.stringify(answered), evil)
    }
  })
}

t.test('M5 with a list of hosts, one that is not on it is refused, and no login begins', async t => {
  const { browser, provider } = await buildApp(t, { auth0: { appBaseUrl: [appBaseUrl, 'https://shop.example.com'] } })
  for (const headers of [{ host: evil }, { 'x-forwarded-host': evil }, { 'x-forwarded-proto': 'http' }, { host: 'app.example.com:444' }, { host: '<script>' }, { host: '' }]) {
    for (const page of ['/login', '/logout']) {
      const response = await browser.get(page, { headers: { ...headers, accept: 'application/json', 'sec-fetch-mode': undefined } })
      t.equal(response.statusCode, 400)
      t.match(response.json(), { code: 'FST_AUTH0_HOST_UNKNOWN', message: /trustProxy/ })
      t.notMatch(response.body, /evil|script|444/)
      t.same(response.setCookies, [])
    }
  }
  t.same(provider.authorizations, [])
  t.match((await browser.get('/login', { headers: { host: evil } })).body, 'href="/"', 'and a page has a way on that names no host')
})

const known: Array<[headers: Record<string, string>, redirectUri: string]> = [
  [{ host: 'app.example.com' }, 'https://app.example.com/callback'],
  [{ host: 'SHOP.example.com' }, 'https://shop.example.com/s/callback'],
  [{ host: 'shop.example.com:443' }, 'https://shop.example.com/s/callback'],
  [{ host: 'backend.internal:3000', 'x-forwarded-host': 'shop.example.com' }, 'https://shop.example.com/s/callback']
]
for (const [headers, redirectUri] of known) {
  t.test(`M5 with a list of hosts, ${JSON.stringify(headers)} comes back to ${redirectUri}`, async t => {
    const { browser } = await buildApp(t, { auth0: { appBaseUrl: [appBaseUrl, 'https://shop.example.com/s'] } })
    const { location } = await browser.get('/login', { headers })
    t.equal(location?.searchParams.get('redirect_uri'), redirectUri)
  })
}

t.test('M5 without trustProxy nobody chooses a host by X-Forwarded-Host', async t => {
  const { app } = await listed(t, false)
  const headers = { host: 'localhost:3000', 'x-forwarded-host': 'shop.localhost:3000' }
  t.match((await app.inject({ url: '/login', headers })).headers.location, encodeURIComponent('http://localhost:3000/callback'))
  const { app: trusting } = await listed(t, true)
  t.match((await trusting.inject({ url: '/login', headers })).headers.location, encodeURIComponent('http://shop.localhost:3000/callback'))
})

t.test('M7 a line break in an address reaches no header (ASVS 5.0 §1.2)', async t => {
  const { browser } = await buildApp(t)
  for (const wish of ['/x\r\nSet-Cookie: a=b', '/x\nx: y', '/%0d%0aSet-Cookie:%20a=b', '/x\u010d\u010aa: b', '/\u2028']) {
    for (const address of [`/login?${query(wish)}`, `/login?returnTo=/&ui_locales=${encodeURIComponent(wish)}`, `/logout?${query(wish)}`]) {
      const { statusCode, headers } = await browser.get(address)
      t.ok(statusCode === 302 || statusCode === 303)
      t.notMatch(JSON.stringify(headers), /\\r|\\n|"a"|"x"/)
    }
    t.match((await browser.comeBack(await browser.leave(`/login?${query(wish)}`))).headers.location, /^[!-~]+$/)
  }
})

t.test('M8 redirects keep no method and no body: 303 after a POST, 302 or 303 else (RFC 9700 §4.12)', async t => {
  const { browser } = await buildApp(t, { auth0: { authorizationParams: { response_mode: 'form_post' } } })
  t.equal((await browser.get('/profile')).statusCode, 302)
  const callback = await browser.leave('/login')
  t.equal(callback.method, 'POST')
  t.equal((await browser.comeBack(callback)).statusCode, 303)
  t.equal((await browser.post('/logout')).statusCode, 303)
  t.equal((await browser.get('/logout')).statusCode, 303)
})

function listed (t: Test, trustProxy: boolean): Promise<Built> {
  return buildApp(t, { fastify: { trustProxy }, auth0: { appBaseUrl: ['http://localhost:3000', 'http://shop.localhost:3000'] } })
}

/** Where a navigation to a path, sent as it is, gets redirected to: `inject` and browsers would make a proper one of it. */
function locationOf (port: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ port, path, headers: { accept: 'text/html', 'x-forwarded-proto': 'https' } }, response => {
      response.resume()
      resolve(String(response.headers.location))
    }).on('error', reject).end()
  })
}

function decode (text: string): string {
  return text + text.split(/[.;=&]/).map(part => Buffer.from(part, 'base64url').toString('latin1')).join() + decodeURIComponent(text.replace(/%(?![\da-f]{2})/gi, ''))
}
