import { once } from 'node:events'
import t, { type Test } from 'tap'
import { buildApp, type Built } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Callback } from './helpers/provider.ts'

const SESSION = '__Host-auth0'
const LOGIN = '__Host-auth0.login.'
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }

t.test('B4 a reload of the callback goes on to where the login went, and begins nothing (RFC 6749 §4.1.2, RFC 9700 §4.2.4)', async t => {
  const { browser, callback, tokenCalls } = await loggedIn(t)
  const before = browser.cookie(SESSION)
  for (let times = 0; times < 3; times++) {
    t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/me', search: '?a=b' } })
  }
  t.equal(tokenCalls(), 1)
  t.equal(browser.cookie(SESSION), before, 'it is the same session')
})

t.test('B4 the back button works an hour later, too', async t => {
  const clock = travelInTime(t)
  const { browser, callback } = await loggedIn(t)
  clock.advance(3600)
  t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/me' } })
})

t.test('B4 goes home where the address was too long to be remembered', async t => {
  const { browser, callback } = await loggedIn(t, `/login?returnTo=/${'x'.repeat(300)}`)
  t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/' } })
})

t.test('B4 by form_post, when the session cookie comes along', async t => {
  const built = await buildApp(t, { auth0: { authorizationParams: { response_mode: 'form_post' } } })
  const callback = await built.browser.leave('/login?returnTo=/me')
  await built.browser.comeBack(callback)
  t.match(await built.browser.comeBack(callback), { statusCode: 303, location: { pathname: '/me' } })
})

const stale: Array<[name: string, meanwhile: (built: Built) => Promise<unknown>]> = [
  ['after a logout', ({ browser }) => browser.submit('/logout')],
  ['when its session has gone', async ({ browser }) => browser.cookies.clear()],
  ['after another login of the same person', ({ browser }) => browser.navigate('/login')],
  ['after a login of another person', ({ browser }) => browser.navigate('/login', { authorize: { user: grace } })]
]
for (const [name, meanwhile] of stale) {
  t.test(`B4 ${name} a repeated callback is 400, and changes nothing`, async t => {
    const built = await loggedIn(t)
    const { browser, callback, tokenCalls } = built
    await meanwhile(built)
    const before = [browser.cookie(SESSION), tokenCalls()]
    const response = await browser.comeBack(callback)
    t.equal(response.statusCode, 400)
    t.match(response.body, 'FST_AUTH0_LOGIN_EXPIRED')
    t.same([browser.cookie(SESSION), tokenCalls()], before)
  })
}

t.test('B4 whoever kept the cookie of a login cannot finish it again', async t => {
  const { browser, newBrowser, provider } = await buildApp(t)
  const callback = await browser.leave()
  const kept = browser.cookies.header(callback.url)
  await browser.comeBack(callback)
  const response = await newBrowser().comeBack(callback, { headers: { cookie: kept } })
  t.equal(response.statusCode, 400)
  t.same(response.setCookies, [])
  t.equal(provider.callsTo('token').length, 1)
})

t.test('B4 nor try another code, after one that was wrong', async t => {
  const { browser, provider } = await buildApp(t)
  const callback = await browser.leave()
  const kept = browser.cookies.header(callback.url)
  provider.failNext('token', 'invalid_grant')
  t.equal((await browser.comeBack(callback)).statusCode, 400)
  t.equal((await browser.comeBack(callback, { headers: { cookie: kept } })).statusCode, 400)
  t.equal(provider.callsTo('token').length, 1)
})

t.test('B5 twins, as of a double click, share one token request and one onLogin (RFC 6749 §4.1.2)', async t => {
  let logins = 0
  const { browser, provider } = await buildApp(t, { auth0: { onLogin: () => { logins++ } } })
  const callback = await browser.leave('/login?returnTo=/me')
  const twins = await Promise.all([1, 2, 3].map(() => browser.comeBack(callback)))
  for (const twin of twins) t.match(twin, { statusCode: 303, location: { pathname: '/me' } })
  t.equal(provider.callsTo('token').length, 1)
  t.equal(logins, 1)
  t.match((await browser.get('/me')).json(), { user: { sub: 'auth0|ada' } })
  t.equal((await browser.comeBack(callback)).statusCode, 303, 'and a reload finds the session of either')
})

t.test('B5 twins begin one session, which one logout ends', async t => {
  const { app, browser, callback } = await onTheWay(t, '/login?returnTo=/me')
  const twins = await Promise.all([1, 2, 3].map(() => browser.comeBack(callback)))
  const cookies = twins.map(({ setCookies }) => setCookies.find(header => header.startsWith(`${SESSION}=`))!.split(';')[0]!)
  const isLoggedIn = async (cookie: string) => (await app.inject({ url: '/me', headers: { cookie } })).json().isAuthenticated
  t.same(await Promise.all(cookies.map(isLoggedIn)), [true, true, true])
  await app.inject({ method: 'POST', url: '/logout', headers: { cookie: cookies[1]!, 'sec-fetch-site': 'same-origin' } })
  t.same(await Promise.all(cookies.map(isLoggedIn)), [false, false, false])
})

t.test('B4 nor finish a login that was cancelled', async t => {
  const { browser, callback, tokenCalls } = await onTheWay(t, '/login?returnTo=/me')
  const kept = browser.cookies.header(callback.url!)
  const cancelled = new URL(callback.url!)
  cancelled.searchParams.delete('code')
  cancelled.searchParams.set('error', 'access_denied')
  t.equal((await browser.get(cancelled, { site: 'cross-site' })).statusCode, 403)
  t.equal((await browser.comeBack(callback, { headers: { cookie: kept } })).statusCode, 400)
  t.equal(tokenCalls(), 0)
})

t.test('B5 twins fail together, and the reload of either works', async t => {
  const { browser, provider } = await buildApp(t)
  const callback = await browser.leave()
  provider.fail('token', '503')
  const twins = await Promise.all([1, 2].map(() => browser.comeBack(callback)))
  t.same(twins.map(({ statusCode }) => statusCode), [503, 503])
  t.equal(provider.callsTo('token').length, 1)
  provider.heal()
  t.equal((await browser.comeBack(callback)).statusCode, 303)
})

t.test('the first of twins hangs up, and the second is logged in', async t => {
  const { app, browser, provider } = await buildApp(t, { auth0: { appBaseUrl: 'http://localhost:3000' } })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const callback = await browser.leave()
  provider.failNext('token', 'slow')
  const hangUp = new AbortController()
  const headers = { cookie: browser.cookies.header(callback.url) }
  const first = fetch(`${address}/callback${callback.url.search}`, { headers, signal: hangUp.signal, redirect: 'manual' })
  await once(app.server, 'request')
  const second = browser.comeBack(callback)
  hangUp.abort()
  await t.rejects(first)
  t.equal((await second).statusCode, 303)
  t.equal(provider.callsTo('token').length, 1)
  t.equal((await browser.get('/')).body, 'Hello Ada Lovelace')
})

t.test('prompt=none', async t => {
  const nobody = (error: string) => ({ authorize: { callback: { error } } })
  for (const error of ['login_required', 'interaction_required', 'consent_required', 'account_selection_required']) {
    t.test(`A7 ${error}: back where they were, anonymous, and no error (OpenID Connect Core §3.1.2.1, §3.1.2.6)`, async t => {
      const { browser, provider, logs } = await buildApp(t, { auth0: { onError: () => { throw new Error('no error') } } })
      t.match(await browser.comeBack(await browser.leave('/login?prompt=none&returnTo=/me', nobody(error))), { statusCode: 303, location: { pathname: '/me' } })
      t.match((await browser.get('/me')).json(), { user: null })
      t.same(browser.cookieNames(), [])
      t.equal(provider.callsTo('token').length, 0)
      t.notOk(logs.lines.some(({ level }) => level > 30))
    })
  }

  t.test('A7 a guarded page asks the person then, and does not loop', async t => {
    const { browser, provider } = await buildApp(t)
    const silent = await browser.comeBack(await browser.leave('/login?prompt=none&returnTo=/profile', nobody('login_required')))
    t.match((await browser.login(silent.location!.pathname)).json(), { sub: 'auth0|ada' })
    t.same(provider.authorizations.map(request => request.get('prompt')), ['none', null])
  })

  t.test('A7 ends no session that is there', async t => {
    const { browser } = await loggedIn(t)
    await browser.comeBack(await browser.leave('/login?prompt=none', nobody('login_required')))
    t.equal((await browser.get('/')).body, 'Hello Ada Lovelace')
  })

  t.test('A7 logs in whoever has a session there', async t => {
    const { browser } = await buildApp(t)
    t.match((await browser.login('/login?prompt=none&returnTo=/me')).json(), { isAuthenticated: true })
  })

  t.test('A7 a denial is one all the same', async t => {
    const { browser } = await buildApp(t)
    t.equal((await browser.comeBack(await browser.leave('/login?prompt=none', nobody('access_denied')))).statusCode, 403)
    t.same(browser.cookieNames(LOGIN), [])
  })
})

/** Somebody who just logged in, and the callback that did it. */
/** Somebody who is on the way back from the provider. */
async function onTheWay (t: Test, address: string): Promise<Built & { callback: Callback, tokenCalls: () => number }> {
  const built = await buildApp(t)
  const callback = await built.browser.leave(address)
  return { ...built, callback, tokenCalls: () => built.provider.callsTo('token').length }
}

async function loggedIn (t: Test, address = '/login?returnTo=/me?a=b'): Promise<Built & { callback: Callback, tokenCalls: () => number }> {
  const built = await onTheWay(t, address)
  await built.browser.comeBack(built.callback)
  return built
}
