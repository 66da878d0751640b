import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import type { Tokens } from '../lib/index.ts'
import { buildApp, type Built, type BuildOptions } from './helpers/app.ts'
import type { BrowserResponse } from './helpers/browser.ts'
import { faults, type Fault, type FaultName } from './helpers/provider-faults.ts'
import type { Endpoint } from './helpers/provider-metadata.ts'

const FAILED = [502, 'FST_AUTH0_PROVIDER_FAILED'] as const
const UNAVAILABLE = [503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'] as const
const EXPIRED = [400, 'FST_AUTH0_LOGIN_EXPIRED'] as const

// The token endpoint

const overloaded: Fault = () => Response.json({ error: 'invalid_grant' }, { status: 429 })
const passing: Fault[] = [
  'hang', 'hang after the headers', 'connection reset', 'connection refused', 'unknown host', 'reset while reading',
  '429', '500', '502', '503', 'temporarily_unavailable', overloaded
]
for (const fault of passing) {
  t.test(`D9 D11 a token endpoint that fails with ${typeof fault === 'string' ? fault : 'a spent code, for it is overloaded'} is a 503, and the login can go on (when something fails)`, async t => {
    const built = await buildApp(t, { auth0: { httpTimeout: 60 } })
    const { browser, provider } = built
    const callback = await browser.leave('/login?returnTo=/me')
    provider.failNext('token', fault)
    const response = await browser.comeBack(callback)
    await isRefused(t, built, response, UNAVAILABLE, /token endpoint: /)
    t.match(response.headers['retry-after'], /^\d+$/)
    t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/me' } })
    t.equal(provider.callsTo('token').length, 2, 'no try of our own')
  })
}

t.test('a token endpoint that spends the code and then is too slow to say so is a 503, and the login begins anew', async t => {
  const built = await buildApp(t, { auth0: { httpTimeout: 60 } })
  const callback = await built.browser.leave()
  built.provider.failNext('token', 'trickle')
  await isRefused(t, built, await built.browser.comeBack(callback), UNAVAILABLE, /not complete within 60 ms/)
  const response = await built.browser.comeBack(callback)
  t.equal(response.statusCode, EXPIRED[0])
  t.match(response.body, /href="\/login/)
})

const final: Array<[fault: Fault, expected: readonly [number, string], reason: RegExp]> = [
  ['400', FAILED, /status 400/],
  ['401', FAILED, /status 401/],
  ['403', FAILED, /status 403/],
  ['404', FAILED, /status 404/],
  ['html', FAILED, /not JSON/],
  ['html called JSON', FAILED, /not JSON/],
  ['invalid JSON', FAILED, /not JSON/],
  ['empty', FAILED, /not JSON/],
  ['deep JSON', FAILED, /nests too deep/],
  ['array', FAILED, /top level object/],
  ['null', FAILED, /top level object/],
  ['text', FAILED, /top level object/],
  ['oversized', FAILED, /more than/],
  ['oversized, declared', FAILED, /more than/],
  ['endless', FAILED, /more than/],
  ['redirect', FAILED, /redirect/],
  ['invalid_request', FAILED, /\(invalid_request\)/],
  ['invalid_client', FAILED, /\(invalid_client\)/],
  ['invalid_client with a challenge', FAILED, /challenge/],
  ['unauthorized_client', FAILED, /\(unauthorized_client\)/],
  ['access_denied', FAILED, /\(access_denied\)/],
  ['invalid_grant', EXPIRED, /\(invalid_grant\)/],
  ['no access token', FAILED, /"access_token"/],
  ['numeric access token', FAILED, /"access_token"/],
  ['no id token', FAILED, /"id_token"/],
  ['numeric id token', FAILED, /"id_token"/],
  ['no token type', FAILED, /"token_type"/],
  ['token type mac', FAILED, /token_type/],
  [{ json: { token_type: 'DPoP' } }, FAILED, /"token_type" is not Bearer/],
  [{ json: { refresh_token: 7 } }, FAILED, /"refresh_token"/],
  [{ json: { scope: ['openid'] } }, FAILED, /"scope"/],
  ...[0, -1, 0.5, 1e12, 'soon'].map(value => [{ json: { expires_in: value } }, FAILED, /"expires_in"/] as [Fault, typeof FAILED, RegExp])
]
for (const [fault, expected, reason] of final) {
  t.test(`D4 D5 D6 D8 a token endpoint that answers with ${nameOf(fault)} ends the login with ${expected[0]}`, async t => {
    const built = await buildApp(t)
    built.provider.fail('token', fault)
    await isRefused(t, built, await built.browser.navigate('/profile'), expected, reason)
    t.same(built.browser.cookieNames(), [], 'it cannot be tried again')
    t.equal(built.provider.callsTo('token').length, 1)
    t.equal(built.provider.callsTo('attacker').length, 0)
  })
}

const taken: Array<[name: string, json: Record<string, unknown>, tokens: Partial<Tokens>]> = [
  ['D4 token_type BEARER', { token_type: 'BEARER' }, {}],
  ['D6 no expires_in', { expires_in: undefined }, { expiresIn: null }],
  ['D6 null as expires_in and scope', { expires_in: null, scope: null }, { expiresIn: null, scope: null }],
  ['D6 expires_in as text', { expires_in: '3600' }, { expiresIn: 3600 }],
  ['D6 an expires_in with a fraction', { expires_in: 3599.5 }, { expiresIn: 3599 }],
  ['D6 an expires_in that means never', { expires_in: 2 ** 31 - 1 }, { expiresIn: 2 ** 31 - 1 }],
  ['D7 a scope narrower than the one asked for', { scope: 'openid' }, { scope: 'openid' }],
  ['D7 no scope', { scope: undefined }, { scope: null }],
  ['a refresh token', { refresh_token: 'r' }, { refreshToken: 'r' }],
  ['members that nobody knows', { notes: { a: [1] } }, { refreshToken: null, scope: 'openid profile email' }]
]
for (const [name, json, expected] of taken) {
  t.test(`a token endpoint may answer with ${name}`, async t => {
    let actual: Partial<Tokens> = {}
    const { browser, provider } = await buildApp(t, { auth0: { onLogin: ({ tokens }) => { actual = tokens } } })
    provider.fail('token', { json })
    await browser.login()
    t.match(actual, expected)
    t.match(actual, { accessToken: /^access-token-/, idToken: /^eyJ/ })
  })
}

// The endpoint of pushed requests

for (const [fault, expected] of [['hang', UNAVAILABLE], ['500', UNAVAILABLE], ['429', UNAVAILABLE], ['connection refused', UNAVAILABLE], ['invalid_client', FAILED], ['html', FAILED], ['redirect', FAILED]] as Array<[FaultName, typeof FAILED | typeof UNAVAILABLE]>) {
  t.test(`A11 pushing a request that fails with ${fault} is a ${expected[0]}, and nothing goes by the browser instead`, async t => {
    const built = await buildApp(t, { auth0: { pushedAuthorizationRequests: true, httpTimeout: 60 } })
    built.provider.fail('par', fault)
    const response = await built.browser.get('/login')
    await isRefused(t, built, response, expected, /pushed authorization request: /)
    t.equal(response.location, null)
  })
}

t.test('A10 a provider that demands pushed requests and has no endpoint for them is a 502', async t => {
  const built = await buildApp(t, { provider: { metadata: { require_pushed_authorization_requests: true, pushed_authorization_request_endpoint: undefined } } })
  await isRefused(t, built, await built.browser.get('/login'), FAILED, /pushed_authorization_request_endpoint/)
})

// How long to wait

const inSevenSeconds = () => new Date(Date.now() + 7500).toUTCString()
const waits: Array<[name: string, header: () => string, expected: RegExp]> = [
  ['7', () => '7', /^7$/],
  ['a date', inSevenSeconds, /^[678]$/],
  ['a date in the past', () => new Date(0).toUTCString(), /^10$/],
  ['0', () => '0', /^10$/],
  ['a day', () => '86400', /^10$/],
  ['noise', () => 'soon <b>', /^10$/]
]
for (const [name, header, expected] of waits) {
  t.test(`D11 Retry-After of the provider is handed on when it makes sense: ${name} (RFC 9110 §10.2.3)`, async t => {
    const { browser, provider } = await buildApp(t)
    for (const response of [new Response('slow down', { status: 429 }), Response.json({ error: 'slow_down' }, { status: 429 }), new Response(null, { status: 401 })]) {
      response.headers.set('retry-after', header())
      provider.failNext('token', () => response)
      const answer = await browser.navigate('/profile')
      t.match(answer.headers['retry-after'] ?? 'none', response.status === 401 ? /^none$/ : expected)
    }
  })
}

// What leaks

const echoes: Array<[name: string, answer: (sent: string) => Response]> = [
  ['a description', sent => Response.json({ error: 'invalid_grant', error_description: `Unknown code ${sent}` }, { status: 400 })],
  ['an error code', sent => Response.json({ error: sent }, { status: 400 })],
  ['a challenge', sent => new Response(null, { status: 401, headers: { 'www-authenticate': `Basic realm="${sent}"` } })],
  ['an error page', sent => new Response(`<html>${sent}`, { status: 500 })],
  ['a page', sent => new Response(`<html>${sent}`)],
  ['broken JSON', sent => new Response(`{"access_token":${sent}`, { headers: { 'content-type': 'application/json' } })],
  ['an ID token', sent => Response.json({ access_token: sent, token_type: 'Bearer', id_token: `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.${Buffer.from(sent).toString('base64url')}.AA` })],
  ['a member of the wrong type', sent => Response.json({ access_token: [sent], token_type: sent })],
  ['Retry-After', sent => new Response(null, { status: 503, headers: { 'retry-after': sent } })],
  ['an address to go to', sent => new Response(null, { status: 302, headers: { location: `https://attacker.example/?${sent}` } })],
  ['what the connection breaks off with', sent => { throw new TypeError(`fetch failed: ${sent}`, { cause: new Error(sent) }) }]
]
for (const [name, answer] of echoes) {
  for (const secret of ['code', 'code_verifier', 'client_secret']) {
    t.test(`D15 promise 8: a provider that repeats ${secret} in ${name} puts it into no log, error or page`, async t => {
      const errors: unknown[] = []
      const built = await buildApp(t, { auth0: { onError: error => { errors.push(error) } } })
      built.provider.fail('token', () => answer(built.provider.callsTo('token').at(-1)!.params.get(secret)!))
      const response = await built.browser.navigate('/profile')
      t.ok(response.statusCode >= 400)
      t.equal(errors.length, 1)
      leaksNothing(t, built, response.body + inspect(response.headers) + inspect(errors, { depth: Infinity, showHidden: true }))
    })
  }
}

const where: Array<[endpoint: Endpoint, group: Array<keyof typeof faults>, auth0: BuildOptions['auth0']]> = [
  ['discovery', ['everywhere', 'discovery'], {}],
  ['jwks', ['everywhere', 'jwks'], {}],
  ['token', ['everywhere', 'token'], {}],
  ['userinfo', ['everywhere', 'userinfo'], { userInfo: 'always' }],
  ['par', ['everywhere'], { pushedAuthorizationRequests: true }]
]
for (const [endpoint, groups, auth0] of where) {
  t.test(`D15 promise 8: whatever goes wrong at ${endpoint}, nothing secret leaves, and it is no 500`, async t => {
    const names = groups.flatMap(group => Object.keys(faults[group])) as FaultName[]
    await Promise.all(names.map(async fault => {
      const errors: unknown[] = []
      const built = await buildApp(t, { auth0: { ...auth0, httpTimeout: 30, onError: error => { errors.push(error) } } })
      built.provider.fail(endpoint, fault)
      const response = await built.browser.navigate('/profile')
      t.ok([200, 400, 502, 503].includes(response.statusCode), `${fault}: ${response.statusCode}`)
      leaksNothing(t, built, (response.statusCode === 200 ? '' : response.body) + inspect(errors, { depth: Infinity, showHidden: true }))
    }))
  })
}

t.test('D15 a login that goes well leaves nothing secret in the log', async t => {
  const built = await buildApp(t, { auth0: { userInfo: 'always' } })
  const response = await built.browser.login()
  await built.browser.submit('/logout')
  leaksNothing(t, built, response.body)
})

async function isRefused (t: Test, { browser, logs }: Built, response: BrowserResponse, [statusCode, code]: readonly [number, string], reason: RegExp): Promise<void> {
  t.equal(response.statusCode, statusCode)
  t.match(response.body, code)
  t.match(logs.lines.find(({ err }) => err)?.err, { code, message: reason })
  t.equal(browser.cookie('__Host-auth0'), null)
}

function leaksNothing (t: Test, { provider, logs }: Built, said: string): void {
  const text = logs.text + said
  for (const secret of provider.secrets) t.notOk(text.includes(secret.slice(0, 10)), `not ${secret.slice(0, 10)}…`) // parsers quote beginnings
}

function nameOf (fault: Fault): string {
  return typeof fault === 'string' ? fault : JSON.stringify(fault)
}
