import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import formbody from '@fastify/formbody'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { MemoryStore, type ApiOptions, type Auth0, type Auth0Options, type RequestAuth0, type RequireAuthOptions, type User } from '../lib/index.ts'
import { PROOF_ALGORITHMS } from '../lib/verify/dpop-proof.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { appBaseUrl, buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Forgery } from './helpers/id-token-forgeries.ts'
import { signDraft, signJwt, type Json } from './helpers/id-tokens.ts'
import { Provider } from './helpers/provider.ts'

declare module 'fastify' {
  interface FastifyInstance { partners: Auth0 }
  interface FastifyRequest { partners: RequestAuth0 }
}

const REALM = 'Bearer realm="auth0"'
const NO_TOKEN = `${REALM}, error="invalid_token", error_description="The access token is not valid"`
const MALFORMED = `${REALM}, error="invalid_request", error_description="Send one access token, in one header 'Authorization'"`

t.test('an access token tells who is calling', async t => {
  const { get, provider } = await build(t)
  const response = await get('/api', provider.accessToken({ claims: { permissions: ['delete:messages'], roles: 'admin' } }))
  t.equal(response.statusCode, 200)
  const claims = { sub: 'auth0|ada', iss: provider.issuer, aud: AUDIENCE, client_id: provider.clientId }
  const { scopes, permissions, roles, ...rest } = response.json()
  t.match(rest, { user: claims, claims, isAuthenticated: true, session: null, via: 'bearer' })
  t.same([scopes, permissions, roles], [['read:messages'], ['delete:messages'], ['admin']])
})

t.test('the claims of a token are frozen: requests share them', async t => {
  const { get, provider } = await build(t, { routes: app => app.get('/change', async ({ auth0: { user } }) => { (user as Json).sub = 'auth0|root' }) })
  t.equal((await get('/change', provider.accessToken())).statusCode, 500)
})

// Refusals, to the letter

t.test('J1 without a token, 401 with a challenge that names no error (RFC 6750 §3.1)', async t => {
  const { get } = await build(t)
  for (const [url, code] of [['/api', 'FST_AUTH0_ACCESS_TOKEN_REQUIRED'], ['/either', 'FST_AUTH0_LOGIN_REQUIRED']] as const) {
    const response = await get(url)
    t.equal(response.statusCode, 401)
    t.equal(response.json().code, code)
    t.equal(response.headers['www-authenticate'], REALM)
    t.equal(response.headers['cache-control'], 'no-store')
  }
  t.equal((await get('/page')).headers['www-authenticate'], undefined, 'nor any where no token will do')
})

t.test('J1 a browser that navigates goes to log in where a session will do, and is challenged where it will not', async t => {
  const { browser } = await build(t)
  t.equal((await browser.get('/either')).location?.pathname, '/login')
  t.match(await browser.get('/api'), { statusCode: 401, headers: { 'www-authenticate': REALM } })
})

t.test('a challenge names the ways in which a token may come (RFC 9449 §7.1)', async t => {
  const { get } = await build(t, { api: { dpop: 'allowed' } })
  t.equal((await get('/api')).headers['www-authenticate'], `${REALM}, DPoP realm="auth0", algs="${PROOF_ALGORITHMS.join(' ')}"`)
})

const invalid: Array<[name: string, forgery: Forgery, reason: RegExp]> = [
  ['that is over', { claims: { exp: 1 } }, /"exp"/],
  ['for another API', { claims: { aud: 'https://other.example.com' } }, /"aud"/],
  ['of another issuer', { claims: { iss: 'https://other.example.com/' } }, /not on the list/],
  ['of no issuer', { claims: { iss: undefined } }, /not on the list/],
  ['whose issuer is a list', ({ claims, ...draft }) => signDraft({ ...draft, claims: { ...claims, iss: [claims.iss] } }), /not on the list/],
  ['by another\'s key', 'a foreign key under our kid', /signature verification failed/],
  ['J6 that is an ID token', { header: { typ: 'JWT' }, claims: { aud: 'client-id', nonce: 'n' } }, /"aud"/],
  ['J8 without a signature', 'alg none', /"alg"/],
  ['J10 without an end', 'exp missing', /"exp"/],
  ['J21 of nobody', { claims: { sub: '' } }, /"sub" is nobody/],
  ['that is none', () => 'abc', /not three parts/],
  ['O2 of 100 KB', { claims: { x: 'x'.repeat(100_000) } }, /too long/],
  ['O2 with a million spaces', ({ claims, ...draft }) => signJwt({ ...draft, payload: JSON.stringify(claims).replace('{', `{${' '.repeat(1_000_000)}`) }), /too long/],
  ['O2 of 10 MB', () => 'x'.repeat(10_000_000), /too long/],
  ['O2 of one character too many', () => 'x'.repeat(16_385), /too long/],
  ['O2 of as many dots as fit', () => '.'.repeat(16_384), /not three parts/]
]
t.test('J2 every token that does not verify is answered alike, and the log has the reason (RFC 6750 §3.1)', async t => {
  const { get, provider, logs } = await build(t)
  const answers = new Set<string>()
  for (const [name, forgery, reason] of invalid) {
    const { statusCode, headers, body } = await get('/api', provider.accessToken(forgery))
    t.equal(statusCode, 401, name)
    t.equal(headers['www-authenticate'], NO_TOKEN)
    t.equal(headers['cache-control'], 'no-store')
    t.match(logs.lines.findLast(({ err }) => err)?.err?.message, reason)
    answers.add(body)
  }
  t.same([...answers].map(body => JSON.parse(body)), [{ statusCode: 401, code: 'FST_AUTH0_ACCESS_TOKEN_INVALID', error: 'Unauthorized', message: 'The access token is not valid' }])
})

t.test('J3 without the scope of a route, 403 that names it (RFC 6750 §3.1)', async t => {
  const { get, provider } = await build(t)
  const response = await get('/write', provider.accessToken())
  t.equal(response.statusCode, 403)
  t.equal(response.json().code, 'FST_AUTH0_SCOPE_MISSING')
  t.equal(response.headers['www-authenticate'], `${REALM}, error="insufficient_scope", error_description="This resource needs the scope 'write:messages'", scope="write:messages"`)
})

t.test('a token that may not for another reason is no token to get a better one for: 403 without a challenge', async t => {
  const { get, provider } = await build(t)
  const response = await get('/admin', provider.accessToken())
  t.equal(response.statusCode, 403)
  t.equal(response.json().code, 'FST_AUTH0_FORBIDDEN')
  t.equal(response.headers['www-authenticate'], undefined)
})

const places: Array<[name: string, request: (token: string) => InjectOptions, statusCode: number, challenge?: string]> = [
  ['in the query', token => ({ url: `/form?access_token=${token}` }), 401, REALM],
  ['in a form', token => ({ url: '/form', ...form(`access_token=${token}`) }), 401, REALM],
  ['in the header, and in the query', token => ({ url: `/form?access_token=${token}`, headers: bearer(token) }), 400, MALFORMED],
  ['in the header, and an empty one in the query', token => ({ url: '/form?access_token=', headers: bearer(token) }), 400, MALFORMED],
  ['in the header, and in a form', token => ({ url: '/form', ...form(`a=b&access_token=${token}`, bearer(token)) }), 400, MALFORMED],
  ['in the header, beside a form', token => ({ url: '/form', ...form('a=b', bearer(token)) }), 200],
  ['in the header, beside an empty form', token => ({ url: '/form', ...form('', bearer(token)) }), 200],
  ['in the header, with JSON that names one, too', token => ({ url: '/form', headers: bearer(token), payload: { access_token: 'x' } }), 200],
  ['in the header, with JSON that is null', token => ({ url: '/form', headers: { ...bearer(token), 'content-type': 'application/json' }, payload: 'null' }), 200]
]
for (const [name, request, statusCode, challenge] of places) {
  t.test(`J4 a token ${name}: ${statusCode} (RFC 6750 §2)`, async t => {
    const { app, provider } = await build(t, { fastify: { logger: false } }) // it would have the address
    const response = await app.inject({ method: 'POST', ...request(provider.accessToken()) })
    t.equal(response.statusCode, statusCode)
    t.equal(response.headers['www-authenticate'], challenge)
  })
}

const headers: Array<[name: string, header: (token: string) => string, statusCode: number, challenge?: string]> = [
  ['bearer', token => `bearer ${token}`, 200],
  ['BEARER', token => `BEARER ${token}`, 200],
  ['two spaces', token => `Bearer  ${token}`, 200],
  ['a tab', token => `Bearer\t${token}`, 400, MALFORMED],
  ['a tab after the space', token => `Bearer \t${token}`, 400, MALFORMED],
  ['a space behind', token => `Bearer ${token} `, 400, MALFORMED],
  ['quotes', token => `Bearer "${token}"`, 400, MALFORMED],
  ['single quotes', token => `Bearer '${token}'`, 400, MALFORMED],
  ['a name in front', token => `Bearer token=${token}`, 400, MALFORMED],
  ['no token', () => 'Bearer', 400, MALFORMED],
  ['a space for the token', () => 'Bearer ', 400, MALFORMED],
  ['"=" for the token', () => 'Bearer =', 400, MALFORMED],
  ['two tokens', token => `Bearer ${token} ${token}`, 400, MALFORMED],
  ['two tokens with a comma', token => `Bearer ${token}, Bearer ${token}`, 400, MALFORMED],
  ['a line break', token => `Bearer ${token}\n`, 400, MALFORMED],
  ['letters of other alphabets', () => 'Bearer \u00e9', 400, MALFORMED],
  ['a word', () => 'Bearer undefined', 401, NO_TOKEN],
  ['100 KB', () => `Bearer ${'x'.repeat(100_000)}`, 401, NO_TOKEN],
  ['10,000 dots', () => `Bearer ${'.'.repeat(10_000)}`, 401, NO_TOKEN],
  ['nothing', () => '', 401, REALM],
  ['Basic', () => 'Basic YWRhOnBhc3N3b3Jk', 401, REALM],
  ['Basic with a token', token => `Basic ${token}`, 401, REALM],
  ['a scheme that begins so', token => `BearerX ${token}`, 401, REALM],
  ['the token alone', token => token, 401, REALM]
]
t.test('J5 headers of many kinds (RFC 6750 §2.1; RFC 9110 §11.1)', async t => {
  const { app, provider } = await build(t)
  for (const [name, header, statusCode, challenge] of headers) {
    const response = await app.inject({ url: '/api', headers: { authorization: header(provider.accessToken()) } })
    t.equal(response.statusCode, statusCode, name)
    t.equal(response.headers['www-authenticate'], challenge, name)
  }
})

const sockets: Array<[name: string, lines: (token: string) => string[], statusCode: number]> = [
  ['a token', token => [`Authorization: Bearer ${token}`], 200],
  ['a space behind, which is none of the value', token => [`Authorization: Bearer ${token}  `], 200],
  ['a tab', token => [`Authorization: Bearer\t${token}`], 400],
  ['one token twice', token => [`Authorization: Bearer ${token}`, `Authorization: Bearer ${token}`], 400],
  ['a token, then another', token => [`Authorization: Bearer ${token}`, 'authorization: Bearer x'], 400],
  ['a token, then Basic', token => [`Authorization: Bearer ${token}`, 'AUTHORIZATION: Basic YWRhOnBhc3N3b3Jk'], 400],
  ['Basic, then a token: the first one counts', token => ['Authorization: Basic YWRhOnBhc3N3b3Jk', `Authorization: Bearer ${token}`], 401],
  ['20 KB: Node takes no such header', () => [`Authorization: Bearer ${'x'.repeat(20_000)}`], 431] // all in one piece: of more, Node may close before the rest arrives
]
t.test('J5 headers over a real socket', async t => {
  const { app, provider } = await build(t)
  await app.listen()
  for (const [name, lines, statusCode] of sockets) t.equal(await statusOver(app, lines(provider.accessToken())), statusCode, name)
})

// What a token grants

const grants: Array<[name: string, claims: Json, options: Auth0Options, granted: { scopes?: string[], permissions?: string[], roles?: string[] }]> = [
  ['scope with words (RFC 9068 §2.2.3)', { scope: 'a b' }, {}, { scopes: ['a', 'b'] }],
  ['scope with more spaces', { scope: '  a  b ' }, {}, { scopes: ['a', 'b'] }],
  ['scope as a list', { scope: ['a', 'b'] }, {}, { scopes: ['a', 'b'] }],
  ['scp with words (Entra ID)', { scope: undefined, scp: 'a b' }, {}, { scopes: ['a', 'b'] }],
  ['scp as a list (Okta)', { scope: undefined, scp: ['a', 'b'] }, {}, { scopes: ['a', 'b'] }],
  ['scope before scp', { scope: 'a', scp: ['b'] }, {}, { scopes: ['a'] }],
  ['an empty scope, and scp', { scope: '', scp: ['b'] }, {}, { scopes: [] }],
  ['no scope', { scope: undefined }, {}, { scopes: [] }],
  ['scope as a number', { scope: 7 }, {}, { scopes: [] }],
  ['scope as an object', { scope: { a: true }, scp: ['b'] }, {}, { scopes: [] }],
  ['a list with other things in it', { scope: undefined, scp: ['a', 7, null, ['b'], { c: 1 }] }, {}, { scopes: ['a'] }],
  ['permissions (Auth0)', { permissions: ['a', 'b'] }, {}, { permissions: ['a', 'b'] }],
  ['permissions as an object', { permissions: { a: true } }, {}, { permissions: [] }],
  ['roles of Cognito', { 'cognito:groups': ['admin'] }, { rolesClaim: 'cognito:groups' }, { roles: ['admin'] }],
  ['roles of Keycloak', { realm_access: { roles: ['admin'] } }, { rolesClaim: ['realm_access', 'roles'] }, { roles: ['admin'] }],
  ['roles of Auth0', { 'https://example.com/roles': ['admin'] }, { rolesClaim: 'https://example.com/roles' }, { roles: ['admin'] }],
  ['roles as a number', { roles: 7 }, {}, { roles: [] }]
]
for (const [name, claims, auth0, granted] of grants) {
  t.test(`J11 ${name}`, async t => {
    const { get, provider } = await build(t, { auth0 })
    const told = (await get('/api', provider.accessToken({ claims }))).json()
    for (const [name, words] of Object.entries(granted)) t.same(told[name], words)
  })
}

const scopes: Array<[name: string, wanted: RequireAuthOptions['scopes'], scope: string, isAdmitted: boolean]> = [
  ['the scope', 'read', 'read', true],
  ['the scope among others', 'read', 'write read', true],
  ['a longer scope', 'read', 'read:all', false],
  ['a shorter scope', 'read:all', 'read', false],
  ['another case', 'read', 'Read', false],
  ['a comma between scopes', 'read', 'read,write', false],
  ['all scopes', ['read', 'write'], 'write read', true],
  ['one of all scopes', ['read', 'write'], 'read', false],
  ['any of the scopes', { anyOf: ['read', 'write'] }, 'write', true],
  ['none of the scopes', { anyOf: ['read', 'write'] }, 'other', false]
]
for (const [name, wanted, scope, isAdmitted] of scopes) {
  t.test(`J12 ${name}: ${isAdmitted ? 'admitted' : 'refused'} (RFC 6749 §3.3)`, async t => {
    const { get, provider } = await build(t, { routes: app => app.get('/guarded', { preHandler: app.requireAuth({ scopes: wanted as string }) }, async () => 'in') })
    t.equal((await get('/guarded', provider.accessToken({ claims: { scope } }))).statusCode, isAdmitted ? 200 : 403)
  })
}

t.test('J12 a session has the scopes that came with its login', async t => {
  const { browser } = await build(t, {
    auth0: { authorizationParams: { scope: 'openid profile email read:messages' } },
    routes: app => app.get('/read', { preHandler: app.requireAuth({ scopes: ['openid', 'read:messages'] }) }, async request => request.auth0.scopes)
  })
  await browser.login('/login?returnTo=/me')
  t.same((await browser.fetch('/read')).json(), ['openid', 'profile', 'email', 'read:messages'])
  const refusal = await browser.fetch('/write')
  t.match(refusal.json(), { statusCode: 403, code: 'FST_AUTH0_SCOPE_MISSING' })
  t.notOk('www-authenticate' in refusal.headers, 'no other token would help')
})

const checks: Array<[name: string, options: RequireAuthOptions, claims: Json, statusCode: number]> = [
  ['check that says yes', { check: user => user.sub === 'auth0|ada' }, {}, 200],
  ['check that says no', { check: user => user.sub === 'auth0|grace' }, {}, 403],
  ['check that says yes in a while', { check: async () => true }, {}, 200],
  ['check that says no in a while', { check: async () => false }, {}, 403],
  ['check that says something', { check: (() => 'yes') as never }, {}, 403],
  ['check that says nothing', { check: (() => {}) as never }, {}, 403],
  ['check that sees the request', { check: (_user, { url }) => url === '/guarded' }, {}, 200],
  ['roles', { roles: 'admin' }, { roles: ['admin'] }, 200],
  ['other roles', { roles: 'admin' }, { roles: ['user'] }, 403],
  ['permissions', { permissions: ['a', 'b'] }, { permissions: ['b', 'a'] }, 200],
  ['one permission of two', { permissions: ['a', 'b'] }, { permissions: ['a'] }, 403],
  ['a claim', { claims: { plan: 'pro' } }, { plan: 'pro' }, 200],
  ['an organization', { organization: 'org_1' }, { org_id: 'org_2' }, 403]
]
for (const [name, options, claims, statusCode] of checks) {
  t.test(`a guard judges a token as a session: ${name}`, async t => {
    const { get, provider } = await build(t, { routes: app => app.get('/guarded', { preHandler: app.requireAuth(options) }, async () => 'in') })
    t.equal((await get('/guarded', provider.accessToken({ claims }))).statusCode, statusCode)
  })
}

// Step-up

const stepUps: Array<[name: string, demand: RequireAuthOptions, claims: (now: number) => Json, parameters: string | null]> = [
  ['acr', { acr: ['gold', 'silver'] }, () => ({ acr: 'silver' }), null],
  ['another acr', { acr: ['gold', 'silver'] }, () => ({ acr: 'bronze' }), 'acr_values="gold silver"'],
  ['no acr', { acr: 'gold' }, () => ({}), 'acr_values="gold"'],
  ['acr in a list', { acr: 'gold' }, () => ({ acr: ['gold'] }), 'acr_values="gold"'],
  ['acr with quotes and letters that headers do not take', { acr: '"größe"' }, () => ({}), 'acr_values="\'gr\'\'e\'"'],
  ['a fresh login', { maxAge: 300 }, now => ({ auth_time: now - 299 }), null],
  ['an old login', { maxAge: 300 }, now => ({ auth_time: now - 331 }), 'max_age="300"'],
  ['a login of no time', { maxAge: 300 }, () => ({}), 'max_age="300"'],
  ['a login to come', { maxAge: 300 }, now => ({ auth_time: now + 31 }), 'max_age="300"'],
  ['both, and one of them is there', { acr: 'gold', maxAge: 0 }, now => ({ acr: 'gold', auth_time: now - 40 }), 'acr_values="gold", max_age="0"']
]
for (const [name, demand, claims, parameters] of stepUps) {
  t.test(`J18 ${name} (RFC 9470 §3)`, async t => {
    const clock = travelInTime(t, { isFrozen: true })
    const { get, provider } = await build(t, { routes: app => app.get('/sure', { preHandler: app.requireAuth(demand) }, async () => 'in') })
    const { statusCode, headers } = await get('/sure', provider.accessToken({ claims: claims(clock.now()) }))
    t.equal(statusCode, parameters === null ? 200 : 401)
    t.equal(headers['www-authenticate'], parameters === null ? undefined : `${REALM}, error="insufficient_user_authentication", error_description="Log in again to use this resource", ${parameters}`)
  })
}

// By what a caller may prove who they are

const ways: Array<[url: string, caller: 'nobody' | 'session' | 'token' | 'bad token', statusCode: number, sub?: string | null]> = [
  ['/page', 'nobody', 401], ['/page', 'session', 200, 'auth0|ada'], ['/page', 'token', 401], ['/page', 'bad token', 401],
  ['/api', 'nobody', 401], ['/api', 'session', 401], ['/api', 'token', 200, 'auth0|grace'], ['/api', 'bad token', 401],
  ['/either', 'nobody', 401], ['/either', 'session', 200, 'auth0|ada'], ['/either', 'token', 200, 'auth0|grace'], ['/either', 'bad token', 401],
  ['/both', 'session', 200, 'auth0|ada'], ['/both', 'token', 200, 'auth0|grace'],
  ['/optional', 'nobody', 200, null], ['/optional', 'session', 200, 'auth0|ada'], ['/optional', 'token', 200, 'auth0|grace'], ['/optional', 'bad token', 401],
  ['/optional-api', 'nobody', 200, null], ['/optional-api', 'token', 200, 'auth0|grace'], ['/optional-api', 'bad token', 401],
  ['/optional-page', 'nobody', 200, null], ['/optional-page', 'token', 401],
  ['/optional-admin', 'nobody', 200, null], ['/optional-admin', 'session', 403], ['/optional-admin', 'token', 403],
  ['/open', 'nobody', 200, null], ['/open', 'session', 200, 'auth0|ada'], ['/open', 'token', 200, 'auth0|grace'], ['/open', 'bad token', 200, null]
]
t.test('guards take what they say, and an unguarded route is told', async t => {
  const { browser, provider } = await build(t)
  await browser.login()
  const tokens = { nobody: undefined, session: undefined, token: provider.accessToken({ claims: { sub: 'auth0|grace' } }), 'bad token': provider.accessToken({ claims: { exp: 1 } }) }
  for (const [url, caller, statusCode, sub] of ways) {
    const token = tokens[caller]
    const response = await browser.fetch(url, { headers: { ...token !== undefined && bearer(token), ...caller !== 'session' && { cookie: undefined } } })
    t.equal(response.statusCode, statusCode, `${url} for ${caller}`)
    if (sub !== undefined) t.equal(response.json().user?.sub ?? null, sub)
  }
})

t.test('a route for tokens is a mistake where none are accepted', async t => {
  const { app } = await buildApp(t)
  for (const via of ['bearer', ['session', 'bearer']] as const) {
    t.throws(() => app.requireAuth({ via }), { code: 'FST_AUTH0_OPTIONS_INVALID', message: /option "via" is "bearer", which needs option "api" of the plugin/ })
  }
})

t.test('where no tokens are accepted, one that comes is not looked at', async t => {
  const { browser, provider } = await buildApp(t)
  await browser.login()
  t.equal((await browser.fetch('/profile', { headers: bearer(provider.accessToken({ claims: { sub: 'auth0|grace' } })) })).json().sub, 'auth0|ada')
})

const options: Array<[name: string, options: unknown, message: RegExp]> = [
  ['another way', { via: 'cookie' }, /option "via" must be "session", "bearer", or a list of both/],
  ['no way', { via: [] }, /option "via"/],
  ['"optional" as text', { optional: 'yes' }, /option "optional" must be true or false/],
  ['a scope with a space', { scopes: 'read write' }, /option "scopes" must be a scope, scopes, or \{ anyOf: scopes \}, each without spaces/],
  ['a scope with quotes', { scopes: { anyOf: ['read', '"'] } }, /option "scopes"/],
  ['no scopes', { scopes: [] }, /option "scopes"/],
  ['scopes that are undefined', { scopes: process.env.NO_SUCH_SCOPE }, /option "scopes" is undefined/],
  ['a check that is none', { check: true }, /option "check" must be a function/]
]
t.test('what a guard would guard less by than it seems to is an error when the route is defined', async t => {
  const { app } = await build(t)
  for (const [name, given, message] of options) t.throws(() => app.requireAuth(given as RequireAuthOptions), { code: 'FST_AUTH0_OPTIONS_INVALID', message }, name)
})

// Cookie and token of different people

for (const [kind, session] of [['a cookie', () => ({})], ['a store', () => ({ session: { store: new MemoryStore() } })], ['a cookie with revocations', () => ({ revocations: {} })]] as Array<[string, () => Auth0Options]>) {
  t.test(`J17 beside a session in ${kind} the token alone counts, never a mixture`, async t => {
    const { browser, provider } = await build(t, { auth0: session() })
    await browser.login('/login?returnTo=/me')
    const token = provider.accessToken({ claims: { sub: 'auth0|grace', name: undefined } })
    const call = (url: string, method = 'GET') => browser.fetch(url, { method, headers: bearer(token) })

    const { user, session: seen, via } = (await call('/open')).json()
    t.equal(user.sub, 'auth0|grace')
    t.notOk('email' in user, 'nothing of the session')
    t.same([seen, via], [null, 'bearer'])
    for (const url of ['/update', '/token', '/tokens', '/fetch']) t.match((await call(url)).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' }, url)
    t.equal((await call('/page')).statusCode, 401)
    t.equal((await call('/api')).json().user.sub, 'auth0|grace')
    t.equal((await call('/either')).json().user.sub, 'auth0|grace')
    const bad = await browser.fetch('/either', { headers: bearer('x') })
    t.equal(bad.statusCode, 401, 'and a bad token does not fall back on the cookie')
    t.equal((await browser.fetch('/open', { headers: bearer('x') })).json().user, null)
    t.same((await call('/open')).setCookies, [], 'nor is the cookie written')
    t.equal((await browser.fetch('/open')).json().user.sub, 'auth0|ada', 'without the token the session is there as before')
  })

  t.test(`J17 logging out ends a session in ${kind}, whatever token comes with it`, async t => {
    const { browser, provider } = await build(t, { auth0: session() })
    await browser.login('/login?returnTo=/me')
    const before = browser.cookies.header(new URL(appBaseUrl), 'strict')
    t.equal((await browser.post('/logout', {}, { headers: bearer(provider.accessToken({ claims: { sub: 'auth0|grace' } })) })).statusCode, 303)
    t.same(browser.cookieNames(), [])
    if (kind !== 'a cookie') t.equal((await browser.fetch('/open', { headers: { cookie: before } })).json().user, null)
  })
}

t.test('J17 a stranger\'s page logs nobody out by a token of its own', async t => {
  const { browser, provider } = await build(t)
  await browser.login('/login?returnTo=/me')
  t.equal((await browser.post('/logout', {}, { site: 'cross-site', headers: bearer(provider.accessToken()) })).statusCode, 403)
  t.equal((await browser.get('/me')).json().isAuthenticated, true)
})

t.test('a token needs no proof that the request comes from our pages: no page can make a browser send one', async t => {
  const { browser, provider } = await build(t)
  t.equal((await browser.fetch('/form', { method: 'POST', site: 'cross-site', headers: bearer(provider.accessToken()) })).statusCode, 200)
})

// Keys that cannot be had

t.test('a token that nobody can judge is a 503, and never nobody', async t => {
  const { app, get, provider } = await build(t)
  await app.ready()
  provider.failAll('503')
  const token = provider.accessToken()
  for (const url of ['/api', '/either', '/optional']) {
    const { statusCode, headers, ...response } = await get(url, token)
    t.equal(statusCode, 503)
    t.equal(response.json().code, 'FST_AUTH0_PROVIDER_UNAVAILABLE')
    t.equal(headers['retry-after'], '7', 'as the provider says')
    t.equal(headers['www-authenticate'], undefined)
  }
  t.equal((await get('/open', token)).statusCode, 503)
  t.equal((await get('/public', token)).statusCode, 200, 'and who does not ask is not told')
  t.equal((await get('/api', 'x')).statusCode, 401, 'what is no token is none')
  provider.heal()
  t.equal((await get('/api', token)).statusCode, 200)
})

t.test('an issuer whose answers cannot be used has no keys either: a 503', async t => {
  for (const endpoint of ['discovery', 'jwks'] as const) {
    const { get, provider } = await build(t, { provider: failing(endpoint) })
    const response = await get('/api', provider.accessToken())
    t.match(response.json(), { statusCode: 503, code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' })
    t.equal(response.headers['retry-after'], '10')
  }
})

t.test('J14 an issuer that is not on the list is asked for nothing (RFC 8725 §3.10)', async t => {
  const { app, get, provider } = await build(t)
  await app.ready()
  while (provider.calls.length === 0) await delay(5) // the metadata, for logins
  const { length } = provider.calls
  const issuers = ['https://attacker.example/', 'https://tenant.example.com.attacker.example/', 'https://tenant.example.com/other', 'tenant.example.com', '__proto__', 'constructor', '', 7, null, {}, ['https://tenant.example.com/']]
  for (const iss of issuers) t.equal((await get('/api', provider.accessToken({ claims: { iss } }))).statusCode, 401)
  t.equal(provider.calls.length, length)
})

// Revocation

const verdicts: Array<[name: string, isRevoked: () => unknown, statusCode: number]> = [
  ['false', () => false, 200],
  ['a promise of false', async () => false, 200],
  ['true', () => true, 401],
  ['a promise of true', async () => true, 401],
  ['nothing', () => undefined, 401],
  ['a promise of nothing', async () => {}, 401],
  ['null', () => null, 401],
  ['0', () => 0, 401],
  ['an error', () => { throw new Error('the list is gone') }, 500],
  ['a promise of an error', async () => { throw new Error('the list is gone') }, 500],
  ['an error of null', async () => { throw null }, 500] // eslint-disable-line no-throw-literal -- as applications do
]
for (const [name, isRevoked, statusCode] of verdicts) {
  t.test(`J15 isRevoked says ${name}: ${statusCode}, also to who may come without`, async t => {
    const { get, provider } = await build(t, { api: { isRevoked: isRevoked as () => boolean } })
    const token = provider.accessToken()
    for (const url of ['/api', '/api', '/optional']) t.equal((await get(url, token)).statusCode, statusCode)
    t.equal((await get('/open', token)).statusCode, statusCode === 401 ? 200 : statusCode)
  })
}

t.test('J15 a token that is revoked stops at once, though it was taken a moment ago', async t => {
  const revoked = new Set<unknown>()
  const seen: Array<Readonly<User>> = []
  const isRevoked: ApiOptions['isRevoked'] = (claims, request) => {
    t.equal(request.url, '/api')
    seen.push(claims)
    return revoked.has(claims.jti)
  }
  const { get, provider } = await build(t, { api: { isRevoked } })
  const [one, other] = [provider.accessToken({ claims: { jti: 'one' } }), provider.accessToken({ claims: { jti: 'other' } })]
  t.equal((await get('/api', one)).statusCode, 200)
  revoked.add('one')
  const response = await get('/api', one)
  t.equal(response.statusCode, 401)
  t.equal(response.headers['www-authenticate'], NO_TOKEN)
  t.equal((await get('/api', other)).statusCode, 200)
  t.equal(seen.length, 3)
  await get('/api', provider.accessToken({ claims: { exp: 1 } }))
  t.equal(seen.length, 3, 'nobody is asked of a token that does not verify')
})

t.test('a refusal is told to whoever listens, also when isRevoked failed', async t => {
  const { get, provider } = await build(t, { api: { isRevoked: () => { throw new Error('the list is gone') } } })
  const told: unknown[] = []
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
  const listen = (message: unknown) => told.push(message)
  subscribe('fastify-auth0:refusal', listen)
  t.teardown(() => unsubscribe('fastify-auth0:refusal', listen))
  await get('/api', provider.accessToken())
  t.match(told, [{ code: 'FST_AUTH0_FAILED', statusCode: 500 }])
})

// In applications of many kinds

t.test('HEAD is guarded as GET, and OPTIONS of a browser asks nobody (CORS)', async t => {
  const { app, provider } = await build(t, {
    routes: app => app.options('/api', async (_request, reply) => reply.code(204).header('access-control-allow-origin', 'https://spa.example.com').header('access-control-allow-headers', 'authorization').send())
  })
  t.equal((await app.inject({ method: 'HEAD', url: '/api' })).statusCode, 401)
  t.equal((await app.inject({ method: 'HEAD', url: '/api', headers: bearer(provider.accessToken()) })).statusCode, 200)
  const preflight = await app.inject({ method: 'OPTIONS', url: '/api', headers: { origin: 'https://spa.example.com', 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' } })
  t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': 'https://spa.example.com' } })
  t.same(Object.keys(preflight.headers).filter(name => /^(vary|www-authenticate|cache-control|access-control-allow-credentials)$/.test(name)), [], 'and nothing is added')
})

t.test('the answer to a token opens nothing to other origins', async t => {
  const { app, provider } = await build(t)
  for (const headers of [bearer(provider.accessToken()), bearer('x'), {}]) {
    const response = await app.inject({ url: '/api', headers: { ...headers, origin: 'https://spa.example.com' } })
    t.same(Object.keys(response.headers).filter(name => name.startsWith('access-control-')), [])
  }
})

for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  t.test(`guards as ${hook}, of a route and of a context`, async t => {
    const { get, provider } = await build(t, {
      routes: async app => {
        app.get('/one', { [hook]: app.requireAuth({ via: 'bearer' }) }, async request => request.auth0.user)
        await app.register(async child => {
          child.addHook(hook as 'preHandler', app.requireAuth)
          child.get('/two', async request => request.auth0.user)
        })
      }
    })
    for (const url of ['/one', '/two']) {
      t.equal((await get(url)).statusCode, 401)
      t.equal((await get(url, 'x')).statusCode, 401)
      t.equal((await get(url, provider.accessToken())).json().sub, 'auth0|ada')
    }
  })
}

t.test('a hook from before this plugin comes too early to know: it lets nobody in, and says why', async t => {
  const early: unknown[] = []
  const { get, provider } = await build(t, {
    before: app => {
      app.addHook('onRequest', async (request, reply) => {
        if (request.url === '/early') await app.requireAuth({ via: 'bearer' })(request, reply)
        else early.push(request.auth0.user)
      })
    },
    routes: app => app.get('/early', async () => 'in')
  })
  t.match((await get('/early', provider.accessToken())).json(), { statusCode: 500, code: 'FST_AUTH0_OPTIONS_INVALID', message: /A guard ran before it was known who is calling: register the plugin before/ })
  t.equal((await get('/api', provider.accessToken())).statusCode, 200, 'and who asked too early is told when it is known')
  t.same(early, [null])
})

t.test('a handler that asks twice verifies once', async t => {
  let count = 0
  const isRevoked = () => { count++; return false }
  const { get, provider } = await build(t, { api: { isRevoked }, routes: app => app.get('/twice', { onRequest: app.requireAuth(), preHandler: app.requireAuth() }, async ({ auth0: { user, claims } }) => user === claims) })
  t.equal((await get('/twice', provider.accessToken())).body, 'true')
  t.equal(count, 1)
})

t.test('instances beside each other accept the tokens of their own API alone', async t => {
  const partner = new Provider({ issuer: 'https://partners.example.com/', user: { sub: 'auth0|grace' } })
  const { get, provider } = await build(t, {
    routes: async app => {
      const identity = { domain: 'partners.example.com', clientId: 'partner-client', clientSecret: partner.clientSecret, secret, appBaseUrl }
      await app.register(auth0, { ...identity, name: 'partners', prefix: '/partners', fetch: partner.fetch, api: { audience: 'urn:partners', dpop: 'off' } })
      app.get('/partners/api', { preHandler: app.partners.requireAuth({ via: 'bearer' }) }, async request => request.partners.user?.sub)
      app.get('/whoever', async request => [request.auth0.user?.sub ?? null, request.partners.user?.sub ?? null])
    }
  })
  const ours = provider.accessToken()
  const theirs = partner.accessToken({ claims: { aud: 'urn:partners' } })
  t.equal((await get('/api', ours)).statusCode, 200)
  t.equal((await get('/api', theirs)).statusCode, 401)
  t.equal((await get('/partners/api', theirs)).body, 'auth0|grace')
  const refusal = await get('/partners/api', ours)
  t.equal(refusal.headers['www-authenticate'], NO_TOKEN.replace('"auth0"', '"partners"'))
  t.same((await get('/whoever', ours)).json(), ['auth0|ada', null])
  t.same((await get('/whoever', theirs)).json(), [null, 'auth0|grace'])
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const form = (payload: string, headers: Record<string, string> = {}) => ({ headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }, payload })

/** What a server with the application answers to a request with these lines in its head. */
async function statusOver (app: FastifyInstance, lines: string[]): Promise<number> {
  const { port } = app.server.address() as AddressInfo
  const socket = connect(port, 'localhost')
  await once(socket, 'connect')
  const answer = text(socket)
  socket.write(['GET /api HTTP/1.1', 'Host: localhost', 'Connection: close', ...lines, '', ''].join('\r\n'))
  return Number((await answer).split(' ')[1])
}

/** A provider whose endpoint answers, but not with what we asked for. */
function failing (endpoint: 'discovery' | 'jwks'): Provider {
  const provider = new Provider()
  provider.fail(endpoint, '404')
  return provider
}

type Options = BuildOptions & { api?: Partial<ApiOptions>, provider?: Provider }

async function build (t: Test, { api, ...options }: Options = {}) {
  const provider = options.provider ?? new Provider()
  const built = await buildApp(t, {
    ...options,
    provider,
    auth0: { api: { audience: AUDIENCE, dpop: 'off', ...api }, ...options.auth0 },
    routes: async app => {
      await app.register(formbody)
      const tell = async ({ auth0: { user, claims, isAuthenticated, session, via, scopes, permissions, roles } }: { auth0: RequestAuth0 }) => ({ user, claims, isAuthenticated, session, via, scopes, permissions, roles })
      app.get('/open', tell)
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, tell)
      app.get('/page', { preHandler: app.requireAuth({ via: 'session' }) }, tell)
      app.get('/either', { preHandler: app.requireAuth() }, tell)
      app.get('/both', { preHandler: app.requireAuth({ via: ['bearer', 'session'] }) }, tell)
      app.get('/optional', { preHandler: app.requireAuth({ optional: true }) }, tell)
      app.get('/optional-api', { preHandler: app.requireAuth({ optional: true, via: 'bearer' }) }, tell)
      app.get('/optional-page', { preHandler: app.requireAuth({ optional: true, via: 'session' }) }, tell)
      app.get('/optional-admin', { preHandler: app.requireAuth({ optional: true, roles: 'admin' }) }, tell)
      app.get('/write', { preHandler: app.requireAuth({ scopes: 'write:messages' }) }, tell)
      app.get('/admin', { preHandler: app.requireAuth({ roles: 'admin' }) }, tell)
      app.post('/form', { preHandler: app.requireAuth({ via: 'bearer' }) }, tell)
      app.get('/update', async request => request.auth0.updateSession({ seen: true }))
      app.get('/token', async request => request.auth0.getAccessToken())
      app.get('/tokens', async request => app.auth0.getTokenSet(request))
      app.get('/fetch', async request => app.auth0.fetch(request, 'https://api.example.com/'))
      if (options.routes) await options.routes(app)
    }
  })
  return { ...built, provider, get: (url: string, token?: string) => built.app.inject({ url, headers: token === undefined ? {} : bearer(token) }) }
}
