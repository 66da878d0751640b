import t from 'tap'
import { buildApp } from './helpers/app.ts'
import type { Endpoint } from './helpers/provider-metadata.ts'
import type { FaultName } from './helpers/provider-faults.ts'

// What requirements.md says of failures at login: what a provider's failure is for who comes back from it.

const LOGIN = '__Host-auth0.login.'

const passing: Array<[endpoint: Endpoint, fault: FaultName, retryAfter: string]> = [
  ['token', '500', '10'],
  ['token', '502', '10'],
  ['token', '503', '7'],
  ['token', '429', '7'],
  ['token', 'temporarily_unavailable', '10'],
  ['token', 'hang', '10'],
  ['token', 'hang after the headers', '10'],
  ['token', 'connection reset', '10'],
  ['token', 'connection refused', '10'],
  ['token', 'unknown host', '10'],
  ['jwks', '500', '10'],
  ['jwks', 'hang', '10']
]
for (const [endpoint, fault, retryAfter] of passing) {
  t.test(`D9, D11 ${endpoint}: ${fault} is 503 with Retry-After, and a reload works once the provider is back`, async t => {
    const { browser, newBrowser, provider } = await buildApp(t, { auth0: { httpTimeout: fault.startsWith('hang') ? 150 : 5000 } })
    const callback = await browser.leave('/login?returnTo=/me')
    provider.fail(endpoint, fault)
    const page = await browser.comeBack(callback)
    t.match(page, { statusCode: 503, headers: { 'retry-after': retryAfter, 'cache-control': 'no-store' } })
    t.match(page.body, 'FST_AUTH0_PROVIDER_UNAVAILABLE')
    t.match(page.body, 'href="/login?returnTo=%2Fme"')
    t.equal(browser.cookieNames(LOGIN).length, 1, 'the login is kept')
    t.equal((await newBrowser().get('/public')).body, 'public', 'and all else is served')
    provider.heal()
    t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/me' } })
    t.match((await browser.get('/me')).json(), { isAuthenticated: true })
    t.same(browser.cookieNames(LOGIN), [])
  })
}

t.test('B8 temporarily_unavailable is 503, and the login is kept (RFC 6749 §4.1.2.1)', async t => {
  const { browser } = await buildApp(t)
  const callback = await browser.leave('/login', { authorize: { callback: { error: 'temporarily_unavailable' } } })
  t.match(await browser.comeBack(callback), { statusCode: 503, headers: { 'retry-after': '10' } })
  t.equal(browser.cookieNames(LOGIN).length, 1)
})

t.test('discovery is down when they come back: 503, and the reload works', async t => {
  const { browser, newBrowser, provider } = await buildApp(t)
  const { app: restarted } = await buildApp(t, { provider })
  const callback = await browser.leave('/login?returnTo=/me')
  const elsewhere = newBrowser({ app: restarted })
  for (const { key, value } of browser.cookies.at(callback.url)) elsewhere.setCookie(`${key}=${value}; Path=/; Secure`)
  provider.fail('discovery', 'connection refused')
  t.equal((await elsewhere.comeBack(callback)).statusCode, 503)
  provider.heal()
  t.match(await elsewhere.comeBack(callback), { statusCode: 303, location: { pathname: '/me' } })
})

const final: Array<[fault: FaultName, statusCode: number, code: string]> = [
  ['invalid_grant', 400, 'FST_AUTH0_LOGIN_EXPIRED'],
  ['invalid_client', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['invalid_request', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['404', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['html', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['invalid JSON', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['oversized', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['redirect', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['no access token', 502, 'FST_AUTH0_PROVIDER_FAILED']
]
for (const [fault, statusCode, code] of final) {
  t.test(`D5 token: ${fault} is ${statusCode} and ends the login: a reload asks nobody`, async t => {
    const { browser, provider } = await buildApp(t)
    const callback = await browser.leave('/login?returnTo=/me')
    provider.fail('token', fault)
    const page = await browser.comeBack(callback)
    t.equal(page.statusCode, statusCode)
    t.match(page.body, code)
    t.notOk('retry-after' in page.headers)
    t.same(browser.cookieNames(), [])
    provider.heal()
    t.equal((await browser.comeBack(callback)).statusCode, 400)
    t.equal(provider.callsTo('token').length, 1)
  })
}

t.test('A12, C13 an authentication older than the max_age that was asked for is refused (OpenID Connect Core §3.1.3.7 (13))', async t => {
  const { browser, provider } = await buildApp(t)
  for (const forgery of ['auth_time missing', 'auth_time too old'] as const) {
    provider.forge('idToken', forgery)
    const page = await browser.comeBack(await browser.leave('/login?max_age=300'))
    t.equal(page.statusCode, 403, forgery)
    t.match(page.body, 'FST_AUTH0_STEP_UP_FAILED')
    t.same(browser.cookieNames(), [])
  }
  provider.heal()
  t.equal((await browser.comeBack(await browser.leave('/login?max_age=300'))).statusCode, 303)
})

t.test('C14 a login less sure than its acr_values asked for is no loop, but 403 (RFC 9470 §5)', async t => {
  const { browser, provider } = await buildApp(t, { routes: app => app.get('/vault', { preHandler: app.requireAuth({ acr: 'urn:sure' }) }, async () => 'open') })
  provider.forgeNext('idToken', 'acr of less')
  const page = await browser.navigate('/vault')
  t.equal(page.statusCode, 403)
  t.match(page.body, 'FST_AUTH0_STEP_UP_FAILED')
  t.equal((await browser.navigate('/login?acr_values=urn:sure&returnTo=/vault')).body, 'open')
})
