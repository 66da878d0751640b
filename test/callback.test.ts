import t, { type Test } from 'tap'
import { buildApp, type BuildOptions, type Built } from './helpers/app.ts'
import type { BrowserResponse } from './helpers/browser.ts'

const SESSION = '__Host-auth0'
const LOGIN = '__Host-auth0.login.'
const ISSUER = 'https://tenant.eu.auth0.com/' // on another site than the application
const grace = { sub: 'auth0|grace', name: 'Grace Hopper', email: 'grace@example.com' }

for (const mode of ['query', 'form_post'] as const) {
  const build = (t: Test, metadata: Record<string, unknown> = {}, routes: BuildOptions['routes'] = () => {}) =>
    buildApp(t, { auth0: { authorizationParams: { response_mode: mode } }, provider: { issuer: ISSUER, metadata }, routes })

  t.test(`by ${mode}`, async t => {
    t.test('B1 refuses a callback without its cookie, with a way on (RFC 9700 §4.7.1)', async t => {
      const built = await build(t)
      const callback = await built.browser.leave('/login?returnTo=/me')
      built.browser.cookies.clear()
      const response = await built.browser.comeBack(callback)
      await isRefused(t, built, response, 400, 'FST_AUTH0_LOGIN_EXPIRED')
      t.match(response.body, 'href="/login"')
    })

    t.test('B2, B16 refuses the state of another browser, so nobody is logged in as the attacker (RFC 6749 §10.12, RFC 9700 §4.7)', async t => {
      const built = await build(t)
      const attacker = await built.newBrowser().leave('/login', { authorize: { user: grace } })
      await isRefused(t, built, await built.browser.comeBack(attacker), 400, 'FST_AUTH0_LOGIN_EXPIRED')
      await built.browser.leave()
      await isRefused(t, built, await built.browser.comeBack(attacker), 400, 'FST_AUTH0_LOGIN_EXPIRED')
    })

    t.test('B2 refuses the code of another login: PKCE and nonce (RFC 9700 §2.1.1)', async t => {
      const built = await build(t)
      const code = (await built.newBrowser().leave('/login', { authorize: { user: grace } })).parameters.get('code')!
      const response = await built.browser.comeBack(await built.browser.leave('/login', { authorize: { callback: { code } } }))
      await isRefused(t, built, response, 400, 'FST_AUTH0_LOGIN_EXPIRED', 1)
    })

    const issuers: Array<[name: string, iss: string | undefined, isPromised: boolean]> = [
      ['B6 another issuer', 'https://evil.example/', false],
      ['B6 the issuer without its slash', ISSUER.slice(0, -1), false],
      ['B6 another issuer, where it is promised', 'https://evil.example/', true],
      ['B7 no issuer, where it is promised', undefined, true],
      ['B7 an empty issuer, where it is promised', '', true]
    ]
    for (const [name, iss, isPromised] of issuers) {
      for (const answer of [{ code: 'c' }, { error: 'access_denied' }]) {
        t.test(`refuses ${name}, with ${Object.keys(answer)[0]} (RFC 9207 §2.4)`, async t => {
          const built = await build(t, { authorization_response_iss_parameter_supported: isPromised })
          const response = await built.browser.comeBack(await built.browser.leave('/login', { authorize: { callback: { ...answer, iss } } }))
          await isRefused(t, built, response, 400, 'FST_AUTH0_CALLBACK_INVALID')
          t.same(built.browser.cookieNames(LOGIN), [])
        })
      }
    }

    t.test('B6 takes the right issuer', async t => {
      const { browser } = await build(t, { authorization_response_iss_parameter_supported: true })
      t.equal((await browser.comeBack(await browser.leave())).statusCode, 303)
    })

    t.test('B12 logs in another person: a new session, and nothing of the old one (ASVS 5.0 §7.2.4, promise 5)', async t => {
      const { browser, provider } = await build(t, {}, app => app.post('/data', async request => request.auth0.updateSession({ cart: 'of Ada' })))
      await browser.login()
      await browser.fetch('/data', { method: 'POST' })
      const before = browser.cookie(SESSION)
      t.equal((await browser.get('/me')).json().session.data.cart, 'of Ada')
      await browser.login('/login?returnTo=/me', { authorize: { user: grace } })
      const { user, session } = (await browser.get('/me')).json()
      t.match(user, { name: 'Grace Hopper', email: 'grace@example.com' })
      t.notOk(user.picture)
      t.same(session.data, {})
      t.not(browser.cookie(SESSION), before)
      t.equal(provider.callsTo('token').length, 2)
    })

    const sizes: Array<[name: string, from: number, to: number]> = [
      ['a small session after a large one', 400, 0], ['a large one after a small one', 0, 400], ['a smaller one after a large one', 500, 250]
    ]
    for (const [name, from, to] of sizes) {
      t.test(`B12 logs in another person with ${name}`, async t => {
        const { browser } = await build(t)
        await browser.login('/login', { authorize: { user: large(from) } })
        t.match((await browser.login('/login?returnTo=/me', { authorize: { user: { ...large(to), ...grace } } })).json(), { user: grace })
        await browser.submit('/logout')
        t.same(browser.cookieNames(), [])
      })
    }

    t.test('B13 a planted session does not survive the login (ASVS 5.0 §7.2.4)', async t => {
      const { browser, newBrowser } = await build(t)
      const attacker = newBrowser()
      await attacker.login('/profile', { authorize: { user: grace } })
      const planted = attacker.cookie(SESSION)!
      browser.setCookie(`${SESSION}=${planted}; Path=/; Secure`)
      await browser.navigate('/login')
      t.not(browser.cookie(SESSION), planted)
      t.match((await browser.get('/me')).json(), { user: { sub: 'auth0|ada' } })
      t.match((await attacker.get('/')).body, /stranger|Grace/, 'and the attacker is not Ada')
    })

    t.test('B14, B15, M8 answers with 303, stored by nobody, and the code stays in no address (RFC 9700 §4.2.4, §4.12)', async t => {
      const { browser } = await build(t)
      const response = await browser.comeBack(await browser.leave('/login?returnTo=/me'))
      t.match(response, { statusCode: 303, headers: { location: '/me', 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }, body: '' })
      t.match(response.setCookies.find(cookie => cookie.startsWith(`${SESSION}=`)), /^__Host-auth0=[\w.-]+; Max-Age=86400; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
      const cleared = response.setCookies.filter(cookie => cookie.startsWith(LOGIN))
      t.match(cleared, [new RegExp(`=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=${mode === 'query' ? 'Lax' : 'None'}$`)], 'cleared as it was set')
    })
  })

  const answers: Array<[error: string, statusCode: number, code: string]> = [
    ['access_denied', 403, 'FST_AUTH0_LOGIN_DENIED'],
    ['login_required', 403, 'FST_AUTH0_LOGIN_DENIED'],
    ['interaction_required', 403, 'FST_AUTH0_LOGIN_DENIED'],
    ['consent_required', 403, 'FST_AUTH0_LOGIN_DENIED'],
    ['account_selection_required', 403, 'FST_AUTH0_LOGIN_DENIED'],
    ['unmet_authentication_requirements', 403, 'FST_AUTH0_STEP_UP_FAILED'],
    ['temporarily_unavailable', 503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'],
    ['server_error', 502, 'FST_AUTH0_PROVIDER_FAILED'],
    ['invalid_request', 502, 'FST_AUTH0_PROVIDER_FAILED'],
    ['__proto__', 502, 'FST_AUTH0_PROVIDER_FAILED'],
    ['<script>alert(1)</script>', 502, 'FST_AUTH0_PROVIDER_FAILED']
  ]
  for (const [error, statusCode, code] of answers) {
    t.test(`B8, B9 by ${mode}: ${error} is ${statusCode}, on a page with a way on that shows nothing of it (RFC 6749 §4.1.2.1)`, async t => {
      const built = await build(t)
      const callback = { error, error_description: '<script>alert(2)</script>"\'' }
      const response = await built.browser.comeBack(await built.browser.leave('/login?returnTo=/me', { authorize: { callback } }))
      await isRefused(t, built, response, statusCode, code)
      for (const reflected of ['alert', '<script', error]) t.notMatch(response.body.replace(/<style>.*<\/style>/s, ''), reflected)
      t.match(response.body, 'href="/login?returnTo=%2Fme"')
      t.equal(browserKeepsLogin(built), statusCode === 503)
    })
  }
}

t.test('an ID token too long for a URL is not kept for the logout', async t => {
  const { browser, provider } = await buildApp(t)
  await browser.login('/login', { authorize: { user: large(300) } })
  await browser.submit('/logout')
  t.notOk(provider.logouts[0]!.has('id_token_hint'))
})

t.test('B11 a form_post from the provider\'s site leaves the session cookie as it is: Lax, and not needed (Form Post Response Mode §2)', async t => {
  const { browser } = await buildApp(t, { auth0: { authorizationParams: { response_mode: 'form_post' } }, provider: { issuer: ISSUER } })
  const callback = await browser.leave('/login?returnTo=/me')
  t.equal(callback.method, 'POST')
  const { setCookies, statusCode } = await browser.comeBack(callback)
  t.equal(statusCode, 303)
  t.same(setCookies.filter(cookie => cookie.includes('SameSite=None')).map(cookie => cookie.split('; ')[1]), ['Max-Age=0'])
})

t.test('strict cookies: a page of ours leads on, for a redirect would leave them behind', async t => {
  const strict = { auth0: { session: { cookie: { sameSite: 'strict' } } }, provider: { issuer: ISSUER } } as const
  t.test('after a login', async t => {
    const { browser } = await buildApp(t, strict)
    const page = await browser.comeBack(await browser.leave('/login?returnTo=/me?a=%22%3E%3Cb%3E%26c'))
    t.match(page, { statusCode: 200, location: null, headers: { 'cache-control': 'no-store', 'content-security-policy': /^default-src 'none'; style-src 'sha256-.*'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'$/ } })
    t.match(page.setCookies.find(cookie => cookie.startsWith(`${SESSION}=`)), /; SameSite=Strict$/)
    t.match(page.body, '<meta http-equiv="refresh" content="0;url=/me?a=%22%3E%3Cb%3E&amp;c">')
    t.match(page.body, '<h1>You are logged in</h1>')
    t.match(page.body, 'Continue</a>')
    t.match((await browser.login('/login?returnTo=/me')).json(), { isAuthenticated: true })
  })

  t.test('after a silent login that found nobody', async t => {
    const { browser } = await buildApp(t, strict)
    const page = await browser.comeBack(await browser.leave('/login?prompt=none', { authorize: { callback: { error: 'login_required' } } }))
    t.match(page, { statusCode: 200, body: '<h1>You are not logged in</h1>' })
  })

  t.test('B12 and another person who logs in is not who was there before', async t => {
    const { browser } = await buildApp(t, strict)
    await browser.login()
    t.match((await browser.login('/login?returnTo=/me', { authorize: { user: { ...large(400), ...grace } } })).json(), { user: grace })
  })
})

/** A person with so many claims of 12 bytes. */
function large (claims: number) {
  return { sub: 'auth0|large', name: 'Large', email: 'l@example.com', projects: Array.from({ length: claims }, (_, n) => `project-${1000 + n}`) }
}

function browserKeepsLogin ({ browser }: Built): boolean {
  return browser.cookieNames(LOGIN).length > 0
}

/** A page that is stored by nobody and runs nothing, and nothing happened. */
async function isRefused (t: Test, { browser, provider }: Built, { statusCode, headers, body, location }: BrowserResponse, status: number, code: string, tokenCalls = 0): Promise<void> {
  t.equal(statusCode, status)
  t.match(body, code)
  t.match(body, /href="\/(login[^"]*)?"/, 'a way on')
  t.match(headers, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer', 'content-security-policy': /^default-src 'none'/ })
  t.equal(location, null)
  t.equal(provider.callsTo('token').length, tokenCalls)
  t.equal(browser.cookie(SESSION), null)
  t.equal((await browser.get('/')).body, 'Hello stranger')
}
