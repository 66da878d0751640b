import { createHmac, verify, X509Certificate } from 'node:crypto'
import Fastify from 'fastify'
import { compactVerify, decodeJwt, decodeProtectedHeader } from 'jose'
import * as client from 'openid-client'
import { t } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import { attackerCertificate, attackerKey } from './helpers/attacker.ts'
import { Browser } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'
import { forgeries, forgeFor, oddities, type Forge, type ForgeryName } from './helpers/id-token-forgeries.ts'
import { rsaKey, signDraft, type Draft } from './helpers/id-tokens.ts'
import { createProvider, type Provider, type ProviderOptions } from './helpers/provider.ts'
import type { FaultName } from './helpers/provider-faults.ts'

const redirectUri = 'https://app.example.com/callback'

/** A login as openid-client makes it, with all its checks on. */
async function login (provider: Provider, parameters: Record<string, string> = {}, { pushed = false, basic = false } = {}) {
  const options = { [client.customFetch]: provider.fetch as client.CustomFetch, execute: [client.enableNonRepudiationChecks], timeout: 0.2 }
  const authentication = basic ? client.ClientSecretBasic(provider.clientSecret) : undefined
  const config = await client.discovery(new URL(provider.issuer), provider.clientId, provider.clientSecret, authentication, options)
  const codeVerifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const nonce = client.randomNonce()
  const request = {
    redirect_uri: redirectUri,
    scope: 'openid profile email',
    code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...parameters
  }
  const url = pushed ? await client.buildAuthorizationUrlWithPAR(config, request) : client.buildAuthorizationUrl(config, request)
  const { method, url: target, parameters: callback } = provider.authorize(url)
  const response = method === 'GET' ? target : new Request(target, { method, body: callback })
  const checks = { pkceCodeVerifier: codeVerifier, expectedState: state, expectedNonce: nonce, ...(parameters.max_age && { maxAge: Number(parameters.max_age) }) }
  const exchange = () => client.authorizationCodeGrant(config, response, checks)
  const tokens = await exchange()
  return { config, url, tokens, claims: tokens.claims()!, exchange }
}

t.test('an honest client logs in', async t => {
  const provider = createProvider()
  const { config, tokens, claims, exchange } = await login(provider, { max_age: '300', acr_values: 'a b', organization: 'org_7' })
  t.match(claims, { sub: 'auth0|ada', email: 'ada@example.com', acr: 'a', org_id: 'org_7', auth_time: Number })
  t.match(await client.fetchUserInfo(config, tokens.access_token, claims.sub), { name: 'Ada Lovelace' })
  t.equal(provider.callsTo('token')[0]!.params.get('redirect_uri'), redirectUri)
  t.ok(provider.secrets.has(tokens.access_token))
  await t.rejects(exchange(), { message: /error in the response body/ })
})

const ways: Array<[name: string, options: ProviderOptions, parameters: Record<string, string>, how: { pushed?: boolean, basic?: boolean }]> = [
  ['by client_secret_basic with odd characters', { clientId: 'a:b c', clientSecret: 'ü% +&:secret' }, {}, { basic: true }],
  ['by a pushed request', { metadata: { require_pushed_authorization_requests: true } }, {}, { pushed: true }],
  ['by form_post', {}, { response_mode: 'form_post' }, {}],
  ['at an issuer with path and port', { issuer: 'https://id.example.com:8443/realms/a' }, {}, {}],
  ['with iss in the callback', { metadata: { authorization_response_iss_parameter_supported: true } }, {}, {}],
  ['with several keys', { keys: [rsaKey('key-1'), rsaKey('key-2')] }, {}, {}]
]
for (const [name, options, parameters, how] of ways) {
  t.test(`an honest client logs in ${name}`, t => t.resolves(login(createProvider(options), parameters, how)))
}

t.test('the provider is strict about the request', async t => {
  const wrong = [{ scope: 'profile' }, { code_challenge_method: 'plain' }, { response_type: 'token' }, { response_mode: 'fragment' }, { redirect_uri: 'https://evil.example' }]
  for (const parameters of wrong as Array<Record<string, string>>) {
    await t.rejects(login(createProvider({ redirectUris: [redirectUri] }), parameters), { message: /^invalid_request/ }, JSON.stringify(parameters))
  }
})

t.test('the provider is strict about the code', async t => {
  const provider = createProvider()
  const url = new URL('https://tenant.example.com/authorize')
  const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM' // of the verifier below, from RFC 7636 appendix B
  const request = { client_id: 'client-id', redirect_uri: redirectUri, response_type: 'code', scope: 'openid', state: 's', nonce: 'n', code_challenge: challenge, code_challenge_method: 'S256' }
  url.search = String(new URLSearchParams(request))
  const exchange = async (changes: Record<string, string>) => {
    const code = provider.authorize(url).parameters.get('code')!
    const body = { grant_type: 'authorization_code', code, code_verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk', redirect_uri: redirectUri, client_id: 'client-id', client_secret: provider.clientSecret, ...changes }
    return (await (await provider.fetch('https://tenant.example.com/oauth/token', { method: 'POST', body: new URLSearchParams(body) })).json()) as { error?: string }
  }
  t.equal((await exchange({})).error, undefined)
  t.equal((await exchange({ code_verifier: 'other' })).error, 'invalid_grant')
  t.equal((await exchange({ redirect_uri: 'https://app.example.com/other' })).error, 'invalid_grant')
  t.equal((await exchange({ code: 'other' })).error, 'invalid_grant')
  t.equal((await exchange({ client_secret: 'other' })).error, 'invalid_client')
  t.equal((await exchange({ grant_type: 'password' })).error, 'unsupported_grant_type')
})

t.test('rotated keys: new tokens verify with the new key only', async t => {
  const provider = createProvider()
  const old = provider.key
  provider.rotateKeys({ keepOld: false })
  await t.resolves(login(provider))
  provider.key = old
  await t.rejects(login(provider))
})

t.test('UserInfo as JWT, and forged', async t => {
  const provider = createProvider()
  provider.userInfoAs = 'jwt'
  provider.onlyInUserInfo = ['email']
  const { config, tokens, claims } = await login(provider)
  t.notOk('email' in claims)
  t.match(await client.fetchUserInfo(config, tokens.access_token, claims.sub), { email: 'ada@example.com' })
  provider.forgeNext('userinfo', 'aud of another')
  await t.rejects(client.fetchUserInfo(config, tokens.access_token, claims.sub))
  await t.resolves(client.fetchUserInfo(config, tokens.access_token, claims.sub))
})

// What a client without defences of its own does at the token endpoint: the answers that are honest but late or long, it takes.
const harmless: FaultName[] = ['oversized', 'oversized, declared']
const fatal: FaultName[] = ['hang', 'hang after the headers', 'trickle', 'slow', 'connection reset', 'reset while reading', '429', '500', 'html', 'invalid JSON', 'deep JSON', 'empty', 'array', 'null',
  'redirect', 'invalid_client', 'invalid_client with a challenge', 'invalid_grant', 'temporarily_unavailable', 'no access token', 'numeric access token', 'numeric id token', 'no token type', 'token type mac']
for (const fault of fatal) {
  t.test(`token endpoint: ${fault}`, async t => {
    const provider = createProvider()
    provider.failNext('token', fault)
    await t.rejects(login(provider))
    await t.resolves(login(provider), 'the next login is well')
  })
}
for (const fault of harmless) {
  t.test(`token endpoint: ${fault}`, async t => {
    const provider = createProvider()
    provider.failNext('token', fault)
    await t.resolves(login(provider))
    t.equal(provider.callsTo('token')[0]!.bytesRead, 4 * 1024 * 1024)
  })
}
for (const fault of ['other issuer', 'no issuer', 'http endpoints', 'numeric endpoints', 'array', 'html'] as FaultName[]) {
  t.test(`discovery: ${fault}`, async t => {
    const provider = createProvider()
    provider.fail('discovery', fault)
    await t.rejects(login(provider))
    provider.heal()
    await t.resolves(login(provider))
  })
}
for (const fault of ['no keys', 'keys that are no array', '500', 'connection refused'] as FaultName[]) {
  t.test(`jwks: ${fault}`, async t => {
    const provider = createProvider()
    provider.fail('jwks', fault)
    await t.rejects(login(provider))
  })
}
t.test('who follows a redirect hands the attacker its secrets, and never notices', async t => {
  const provider = createProvider()
  provider.fail('jwks', 'redirect')
  t.match(await (await provider.fetch('https://tenant.example.com/.well-known/jwks.json')).json(), { keys: [{ kid: 'key-1' }] })
  t.equal(provider.callsTo('attacker').length, 1)
})

// Refresh tokens.

/** A login with offline access, of a client that refreshes with its first refresh token unless another is given. */
async function offline (provider: Provider, parameters: Record<string, string> = {}) {
  const { config, tokens, claims } = await login(provider, { scope: 'openid profile offline_access', ...parameters })
  const first = tokens.refresh_token!
  const refresh = (token = first, parameters: Record<string, string> = {}) => client.refreshTokenGrant(config, token, parameters)
  return { config, tokens, claims, first, refresh }
}
/** What openid-client throws at an answer of this error and status. */
const says = (error: string, status: number) => ({ name: 'ResponseBodyError', error, status })
const spent = { ...says('invalid_grant', 403), error_description: 'Unknown or invalid refresh token.' }

t.test('an honest client refreshes, and gets other tokens each time', async t => {
  const provider = createProvider()
  const { config, tokens, first, refresh } = await offline(provider)
  const second = await refresh()
  const third = await refresh(second.refresh_token)
  const given = [tokens, second, third].flatMap(({ access_token: access, refresh_token: refresh, id_token: id }) => [access, refresh!, id!])
  t.equal(new Set(given).size, 9)
  t.same([tokens.expires_in, second.expires_in], [86_400, 86_400])
  t.ok(given.every(token => provider.secrets.has(token)))
  t.match(await client.fetchUserInfo(config, third.access_token, 'auth0|ada'), { name: 'Ada Lovelace' })
  t.same(provider.refreshes.map(({ params }) => params.get('refresh_token')), [first, second.refresh_token])
  t.equal(provider.reuses, 0)
})

const withoutOffline: Array<[name: string, scope: string, grantsOffline: boolean]> = [
  ['was not asked for', 'openid profile', true],
  ['is not granted', 'openid offline_access profile', false]
]
for (const [name, scope, grantsOffline] of withoutOffline) {
  t.test(`no refresh token where offline access ${name}`, async t => {
    const provider = createProvider()
    provider.grantsOffline = grantsOffline
    const { tokens } = await offline(provider, { scope })
    t.notOk('refresh_token' in tokens)
    t.equal(tokens.scope, 'openid profile')
    t.match(provider.tokenInfo(tokens.access_token), { scope: 'openid profile' })
  })
}

for (const lifetime of [60, undefined]) {
  t.test(`access tokens live for ${lifetime ?? 'untold'} seconds`, async t => {
    const { now } = travelInTime(t, { isFrozen: true })
    const provider = createProvider()
    provider.accessTokenLifetime = lifetime
    const { tokens, refresh } = await offline(provider)
    for (const answer of [tokens, await refresh()]) {
      t.equal(answer.expires_in, lifetime)
      t.match(provider.tokenInfo(answer.access_token), { sub: 'auth0|ada', expiresAt: lifetime === undefined ? null : now() + lifetime })
    }
  })
}

t.test('who uses a spent token again loses the family (RFC 9700 §4.14.2)', async t => {
  const provider = createProvider()
  const { first, refresh } = await offline(provider)
  const other = await offline(provider)
  const { refresh_token: second } = await refresh()
  await t.rejects(refresh(first), spent)
  await t.rejects(refresh(second), spent, 'the newest too')
  t.equal(provider.reuses, 1, 'which is no second theft')
  t.same([first, second!, other.first].map(token => provider.isRevoked(token)), [true, true, false])
  await t.resolves(other.refresh(), 'other logins are not concerned')
})

t.test('within the leeway, the token spent last gives one more of its family each time', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const provider = createProvider()
  provider.reuseLeeway = 2000
  const { first, refresh } = await offline(provider)
  const { refresh_token: second } = await refresh()
  clock.advance(1)
  const { refresh_token: third } = await refresh()
  const { refresh_token: fourth } = await refresh()
  t.equal(new Set([first, second, third, fourth]).size, 4)
  t.same([await refresh(second), await refresh(third)].map(({ token_type: type }) => type), ['bearer', 'bearer'], 'all are good')
  t.equal(provider.reuses, 0)
  provider.reuseLeeway = 0
  await t.rejects(refresh(first), spent)
  t.ok(provider.isRevoked(fourth!))
})

t.test('beyond the leeway, a spent token is refused as ever', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const provider = createProvider()
  provider.reuseLeeway = 2000
  const { refresh } = await offline(provider)
  await refresh()
  clock.advance(1)
  await refresh()
  clock.advance(1)
  await t.rejects(refresh(), spent, 'the time runs from its first use')
  const other = await offline(provider)
  const { refresh_token: second } = await other.refresh()
  await other.refresh(second)
  await t.rejects(other.refresh(), spent, 'a later one was spent')
  t.equal(provider.reuses, 2)
})

t.test('without rotation, a token stays good', async t => {
  const provider = createProvider()
  provider.rotation = false
  const { refresh } = await offline(provider)
  t.notOk('refresh_token' in await refresh())
  await t.resolves(refresh())
  t.equal(provider.reuses, 0)
})

const api = 'https://api.example.com'
const all = 'openid profile offline_access'
const askedAndGranted: Array<[name: string, login: Record<string, string>, asked: Record<string, string>, granted: { audience: string | null, scope: string }]> = [
  ['nothing, of a login without audience', {}, {}, { audience: null, scope: all }],
  ['nothing, of a login for an API', { audience: api }, {}, { audience: api, scope: all }],
  ['nothing, of a login for a resource (RFC 8707)', { resource: api }, {}, { audience: api, scope: all }],
  ['less', { audience: api }, { scope: 'profile openid' }, { audience: api, scope: 'profile openid' }],
  ['the same audience', { audience: api }, { audience: api, scope: 'openid' }, { audience: api, scope: 'openid' }],
  ['another audience', { audience: api }, { audience: `${api}/2` }, { audience: `${api}/2`, scope: all }],
  ['another audience with a scope of its own', {}, { audience: api, scope: 'read write' }, { audience: api, scope: 'read write' }],
  ['another resource with a scope of its own', {}, { resource: api, scope: 'read' }, { audience: api, scope: 'read' }]
]
for (const [name, parameters, asked, granted] of askedAndGranted) {
  t.test(`a refresh that asks for ${name}`, async t => {
    const provider = createProvider()
    const { tokens, first, refresh } = await offline(provider, parameters)
    const answer = await refresh(first, asked)
    t.equal(answer.scope, granted.scope)
    t.match(provider.tokenInfo(answer.access_token), granted)
    t.match(provider.tokenInfo(tokens.access_token), { audience: parameters.audience ?? parameters.resource ?? null, scope: all }, 'the login\'s stays what it was')
  })
}

const refused: Array<[name: string, asked: Record<string, string>, error: string, status: number]> = [
  ['more than the login (RFC 6749 §6)', { scope: 'openid email' }, 'invalid_scope', 400],
  ['more, and names the audience', { audience: api, scope: 'openid email' }, 'invalid_scope', 400],
  ['an unknown audience', { audience: `${api}/3` }, 'access_denied', 403],
  ['an unknown resource', { resource: `${api}/3` }, 'access_denied', 403]
]
for (const [name, asked, error, status] of refused) {
  t.test(`a refresh that asks for ${name} is refused, and spends nothing`, async t => {
    const provider = createProvider()
    provider.audiences = new Set([api, `${api}/2`])
    const { first, refresh } = await offline(provider, { audience: api })
    await t.rejects(refresh(first, asked), says(error, status))
    await t.resolves(refresh(first, { audience: `${api}/2` }))
  })
}

const narrowed: Array<[granted: string | undefined, scope: string]> = [['openid', 'openid'], [undefined, 'profile']]
for (const [granted, scope] of narrowed) {
  t.test(`a refresh that is granted ${granted ?? 'what it asks for, without a word'}`, async t => {
    const provider = createProvider()
    const asked: unknown[] = []
    provider.grantScope = (...of) => {
      asked.push(of)
      return granted
    }
    const { tokens, first, refresh } = await offline(provider, { audience: api })
    t.equal(tokens.scope, all, 'the login is not concerned')
    const answer = await refresh(first, { scope: 'profile' })
    t.equal(answer.scope, granted)
    t.match(provider.tokenInfo(answer.access_token), { scope })
    await refresh(answer.refresh_token)
    t.same(asked, [['profile', api], [null, api]])
  })
}

t.test('the ID token of a refresh tells of the same login, anew and without nonce (OpenID Connect Core 1.0 §12.2)', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const provider = createProvider()
  const { claims, first, refresh } = await offline(provider, { max_age: '300', acr_values: 'a', organization: 'org_7' })
  clock.advance(60)
  provider.user.name = 'Ada King'
  const refreshed = (await refresh(first, { scope: 'openid' })).claims()!
  const { nonce, at_hash: _, ...same } = claims
  t.type(nonce, 'string')
  t.match(refreshed, { ...same, iat: claims.iat + 60, exp: claims.exp + 60, name: 'Ada King' })
  t.notOk('nonce' in refreshed)
  t.not(refreshed.at_hash, claims.at_hash)
  t.not((await offline(createProvider())).claims.sid, claims.sid, 'another login, another session')
  t.equal(createProvider().user.name, 'Ada Lovelace', 'and a provider of its own')
})

t.test('the ID token of a refresh is without auth_time when the login\'s was', async t => {
  const { claims, refresh } = await offline(createProvider())
  t.notOk('auth_time' in claims)
  t.notOk('auth_time' in (await refresh()).claims()!)
})

t.test('the ID token of a refresh can be left out, and forged', async t => {
  const provider = createProvider()
  provider.idTokenOnRefresh = false
  const { refresh } = await offline(provider)
  const { id_token: idToken, refresh_token: second } = await refresh()
  t.equal(idToken, undefined)
  provider.idTokenOnRefresh = true
  provider.forgeNext('idToken', 'iss of another')
  await t.rejects(refresh(second), { cause: { message: /"iss"/ } })
  t.equal(provider.reuses, 0)
})

t.test('unknown access tokens are nothing', t => {
  t.equal(createProvider().tokenInfo('access-token'), null)
  t.end()
})

t.test('a client ends its refresh tokens (RFC 7009)', async t => {
  const provider = createProvider()
  const { config, first, refresh } = await offline(provider)
  const other = await offline(provider)
  const { refresh_token: second } = await refresh()
  t.notOk(provider.isRevoked(second!))
  await client.tokenRevocation(config, first)
  t.ok(provider.isRevoked(second!), 'with all of the family')
  await t.rejects(refresh(second), spent)
  await t.resolves(other.refresh())
  t.equal(provider.callsTo('revocation')[0]!.params.get('token'), first)
  t.equal(provider.reuses, 0)
})

t.test('an administrator ends all refresh tokens', async t => {
  const provider = createProvider()
  const [one, other] = [await offline(provider), await offline(provider)]
  provider.revokeAll()
  await t.rejects(one.refresh(), spent)
  await t.rejects(other.refresh(), spent)
  await t.resolves((await offline(provider)).refresh(), 'a later login is well')
  t.equal(provider.reuses, 0)
})

t.test('a test that asks for a token that never was is told so', t => {
  t.throws(() => createProvider().isRevoked('refresh-token'), { message: /not a refresh token/ })
  t.end()
})

t.test('the token and revocation endpoints are strict', async t => {
  const provider = createProvider()
  const { tokens, first } = await offline(provider)
  const ask = async (path: string, body: Record<string, string>, method = 'POST') => {
    const request = method === 'POST' ? { method, body: new URLSearchParams({ client_id: 'client-id', client_secret: provider.clientSecret, ...body }) } : { method }
    const response = await provider.fetch(`https://tenant.example.com${path}`, request)
    return [response.status, await response.text()]
  }
  const refresh = { grant_type: 'refresh_token', refresh_token: first }
  t.match(await ask('/oauth/token', { ...refresh, client_secret: 'other' }), [401, /invalid_client/])
  t.match(await ask('/oauth/token', { ...refresh, refresh_token: 'other' }), [403, /"Unknown or invalid refresh token."/])
  t.match(await ask('/oauth/token', { grant_type: 'refresh_token' }), [403, /invalid_grant/])
  t.match(await ask('/oauth/token', {}, 'GET'), [405, /invalid_request/])
  t.match(await ask('/oauth/revoke', { token: first, client_secret: 'other' }), [401, /invalid_client/])
  t.match(await ask('/oauth/revoke', {}), [400, /invalid_request/])
  t.match(await ask('/oauth/revoke', {}, 'GET'), [405, /invalid_request/])
  t.same(await ask('/oauth/revoke', { token: 'other' }), [200, ''], 'unknown tokens are fine (RFC 7009 §2.2)')
  t.same(await ask('/oauth/revoke', { token: tokens.access_token }), [200, ''])
  t.notOk(provider.isRevoked(first))
  t.match(await ask('/oauth/token', refresh), [200, /"refresh_token"/])
})

t.test('faults of the token endpoint hit refreshes too', async t => {
  const provider = createProvider()
  const { refresh } = await offline(provider)
  provider.failNext('token', '500', 'invalid_grant', { json: { refresh_token: undefined } })
  await t.rejects(refresh(), { message: /unexpected HTTP response status code/ })
  await t.rejects(refresh(), says('invalid_grant', 400))
  t.equal(provider.reuses, 0, 'neither spent the token')
  t.notOk('refresh_token' in await refresh())
  await t.rejects(refresh(), spent, 'a successor that got lost leaves its token spent')
  t.equal(provider.refreshes.length, 4)
})

t.test('revocation endpoint: a fault', async t => {
  const provider = createProvider()
  const { config, first } = await offline(provider)
  provider.failNext('revocation', '503')
  await t.rejects(client.tokenRevocation(config, first))
  t.notOk(provider.isRevoked(first))
  await t.resolves(client.tokenRevocation(config, first))
  t.ok(provider.isRevoked(first))
})

// Forgeries: what they are, not who refuses them.

const now = Math.floor(Date.now() / 1000)
const draft: Draft = {
  header: { alg: 'RS256', typ: 'JWT', kid: 'key-1' },
  claims: { sub: 'auth0|ada', iss: 'https://tenant.example.com/', aud: 'client-id', iat: now, exp: now + 3600, nonce: 'n', auth_time: now, acr: 'a', at_hash: 'x', azp: undefined, name: 'Ada' },
  key: rsaKey('key-1'),
  clientSecret: 'client-secret-of-the-tests'
}
const honest = signDraft(draft)
const isSigned = (token: string, { publicKey } = draft.key) => {
  const [head, payload, signature] = token.split('.') as [string, string, string]
  return verify('sha256', Buffer.from(`${head}.${payload}`), publicKey, Buffer.from(signature, 'base64url'))
}
const header = (token: string): Record<string, unknown> => JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString())
const signature = (token: string) => token.split('.')[2]
const entries = (group: Record<string, Forge>) => Object.entries(group).map(([name, forge]) => [name, forge(draft)] as const)

t.test('forged claims differ in what they are named for, and are signed well', async t => {
  const { C1, C2, C3, C4, C11, C12, C13, C14, C15, C16, C17 } = forgeries
  for (const [name, token] of [C1, C2, C3, C4, C11, C12, C13, C14, C15, C16, C17].flatMap(entries)) {
    const claims = decodeJwt(token)
    const differing = new Set([...Object.keys(draft.claims), ...Object.keys(claims)].filter(claim => JSON.stringify(claims[claim]) !== JSON.stringify(draft.claims[claim])))
    t.ok(differing.delete(name.split(' ')[0]!), name)
    if (name === 'aud with a stranger, azp ours') differing.delete('azp')
    if (name === 'exp past') differing.delete('iat')
    t.equal(differing.size, 0, name)
    t.ok(isSigned(token), name)
  }
})

t.test('forged headers differ, and are signed well', async t => {
  for (const [name, token] of [forgeries.C10, forgeries.C18, forgeries.C19].flatMap(entries)) {
    t.not(JSON.stringify(header(token)), JSON.stringify(draft.header), name)
    t.ok(isSigned(token), name)
  }
})

t.test('C5: unsigned', async t => {
  for (const [name, token] of entries(forgeries.C5)) {
    t.ok(header(token).alg !== 'RS256' || !signature(token), name)
  }
})

t.test('C6: HS256 verifies with what is public', async t => {
  const key = draft.key.publicKey
  const token = forgeFor('HS256 with the public key as PEM')(draft)
  await t.resolves(compactVerify(token, Buffer.from(key.export({ type: 'spki', format: 'pem' }))))
  await t.resolves(compactVerify(forgeFor('HS256 with the public key as DER')(draft), key.export({ type: 'spki', format: 'der' })))
  await t.resolves(compactVerify(forgeFor('HS256 with the public key as PKCS #1 PEM')(draft), Buffer.from(key.export({ type: 'pkcs1', format: 'pem' }))))
  const empty = forgeFor('HS256 with an empty secret')(draft).split('.')
  t.equal(empty[2], createHmac('sha256', '').update(`${empty[0]}.${empty[1]}`).digest('base64url'))
})

t.test('C7: other algorithms, rightly signed', async t => {
  await t.resolves(compactVerify(forgeFor('PS256')(draft), draft.key.publicKey))
  await t.resolves(compactVerify(forgeFor('RS384')(draft), draft.key.publicKey))
  await t.resolves(compactVerify(forgeFor('HS256 with the client secret')(draft), Buffer.from(draft.clientSecret)))
})

t.test('C8: spoilt, while the honest one verifies', async t => {
  await t.resolves(compactVerify(honest, draft.key.publicKey))
  const spellings = ['a signature in standard base64', 'a signature with padding', 'a signature with a line break', 'a dot at the end', 'a fourth part']
  for (const [name, token] of entries(forgeries.C8)) {
    if (spellings.includes(name)) t.ok(token !== honest && isSigned(token), `${name}: the same bytes`)
    else await t.rejects(compactVerify(token, draft.key.publicKey), name)
  }
})

t.test('C9: signed by the attacker', async t => {
  for (const [name, token] of entries(forgeries.C9)) {
    t.ok(isSigned(token, attackerKey()), name)
    t.notOk(isSigned(token), name)
  }
  const certificate = new X509Certificate(attackerCertificate())
  t.ok(certificate.verify(attackerKey().publicKey))
  t.ok(certificate.publicKey.equals(attackerKey().publicKey))
})

t.test('C20: encrypted', async t => {
  for (const [name, token] of entries(forgeries.C20)) t.ok(decodeProtectedHeader(token).enc, name)
})

t.test('C23: signed well, and no two readers agree', async t => {
  for (const [name, token] of entries(forgeries.C23)) {
    t.ok(isSigned(token), name)
    if (!name.startsWith('claims') && !name.startsWith('a header')) t.equal(decodeJwt(token).sub, 'auth0|ada', name)
  }
})

for (const [name, oddity] of Object.entries(oddities)) {
  t.test(`odd but right: ${name}`, t => {
    const provider = createProvider()
    provider.forge('idToken', oddity)
    return t.resolves(login(provider))
  })
}

t.test('forgeries by name reach the client', async t => {
  for (const name of ['alg none', 'iss of another', 'a foreign key under our kid', 'jku of the attacker', 'nonce of another'] as ForgeryName[]) {
    const provider = createProvider()
    provider.forge('idToken', name)
    await t.rejects(login(provider), name)
  }
})

// The browser.

async function site (setCookie: string | string[], baseUrl = 'https://app.example.com') {
  const app = Fastify()
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async () => ({}))
  app.get('/set', (_request, reply) => reply.header('set-cookie', setCookie).send('set'))
  app.all('/echo', async ({ headers, method }) => ({ headers, method }))
  app.get('/there', (_request, reply) => reply.redirect('/echo', 303))
  return { app, browser: new Browser({ baseUrl, app, refusedCookies: 'note' }) }
}

const cookies: Array<[cookie: string, isKept: boolean, baseUrl?: string]> = [
  ['a=1', true],
  ['__Host-a=1; Path=/; Secure', true],
  ['__Host-a=1; Path=/', false],
  ['__Host-a=1; Secure', false],
  ['__Host-a=1; Path=/x; Secure', false],
  ['__Host-a=1; Path=/; Secure; Domain=app.example.com', false],
  ['__Secure-a=1', false],
  ['__Secure-a=1; Secure', true],
  ['a=1; Secure', false, 'http://app.example.com'],
  ['a=1; Secure', true, 'http://localhost:3000'],
  ['a=1; SameSite=None', false],
  ['a=1; Domain=other.example', false],
  ['a=1; Max-Age=0', false],
  ['a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT', false],
  [`a=${'x'.repeat(4095)}`, true],
  [`a=${'x'.repeat(4096)}`, false]
]
for (const [cookie, isKept, baseUrl] of cookies) {
  t.test(`the browser ${isKept ? 'keeps' : 'does not keep'} ${cookie.slice(0, 80)} ${baseUrl ?? ''}`, async t => {
    const { browser } = await site(cookie, baseUrl)
    await browser.get('/set')
    t.equal(browser.cookieNames().length, isKept ? 1 : 0)
  })
}

t.test('the browser says what it refuses', async t => {
  const { app } = await site('__Host-a=1')
  await t.rejects(new Browser({ baseUrl: 'https://app.example.com', app }).get('/set'), { message: /refuses the cookie __Host-a/ })
})

t.test('the browser sends what browsers send', async t => {
  const { browser } = await site(['strict=1; SameSite=Strict', 'lax=1', 'none=1; SameSite=None; Secure'])
  await browser.get('/set')
  t.match((await browser.get('/echo')).json().headers, { host: 'app.example.com', 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', accept: /text\/html/, cookie: 'strict=1; lax=1; none=1' })
  t.match((await browser.get('/echo', { site: 'cross-site' })).json().headers, { 'sec-fetch-site': 'cross-site', cookie: 'lax=1; none=1' })
  t.match((await browser.post('/echo', { a: 'b' }, { site: 'cross-site' })).json(), { method: 'POST', headers: { 'sec-fetch-site': 'cross-site', origin: 'https://elsewhere.example', cookie: 'none=1' } })
  t.match((await browser.post('/echo')).json().headers, { 'sec-fetch-site': 'same-origin', origin: 'https://app.example.com', cookie: 'strict=1; lax=1; none=1' })
  t.match((await browser.fetch('/echo', { site: 'same-site', method: 'PUT', json: {} })).json().headers, { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors', cookie: 'strict=1; lax=1; none=1' })
  t.match((await browser.navigate('/there', { site: 'cross-site' })).json().headers, { 'sec-fetch-site': 'cross-site', cookie: 'lax=1; none=1' })
  t.notOk('sec-fetch-site' in (await browser.get('/echo', { legacy: true })).json().headers)
})

t.test('the browser goes over real sockets', async t => {
  const { app } = await site('a=1; HttpOnly')
  t.teardown(() => app.close())
  const browser = new Browser({ baseUrl: await app.listen({ port: 0 }) })
  await browser.get('/set')
  t.match((await browser.navigate('/there')).json().headers, { cookie: 'a=1', 'sec-fetch-mode': 'navigate' })
})

t.test('time travels, and cookies with it', async t => {
  const { browser } = await site('a=1; Max-Age=60')
  const before = Date.now()
  await t.test('in a test', async t => {
    const clock = travelInTime(t, { isFrozen: true })
    await browser.get('/set')
    clock.advance(59)
    t.equal(browser.cookie('a'), '1')
    clock.advance(2)
    t.equal(browser.cookie('a'), null)
    t.ok(new Date().getTime() - before >= 61_000)
    t.ok(new Date(0) instanceof Date)
  })
  t.ok(Date.now() - before < 10_000)
})

// The application.

t.test('a journey through the application', async t => {
  const { browser, provider, logs, newBrowser } = await buildApp(t)
  t.match((await browser.login()).json(), { name: 'Ada Lovelace' })
  t.match((await browser.get('/me')).json(), { isAuthenticated: true, via: 'session' })
  t.equal((await browser.post('/notes')).statusCode, 415, 'the application has no parser for forms')
  t.equal((await browser.fetch('/notes', { method: 'POST', json: {} })).statusCode, 200)
  t.equal((await newBrowser().get('/')).body, 'Hello stranger')
  t.equal((await browser.submit('/logout')).url.pathname, '/')
  t.equal((await browser.get('/')).body, 'Hello stranger')
  t.equal(provider.logouts.length, 1)
  t.ok(logs.lines.length > 0)
})

for (const [name, auth0] of [['form_post', { authorizationParams: { response_mode: 'form_post' } }], ['strict cookies', { session: { cookie: { sameSite: 'strict' } } }]] as Array<[string, Auth0Options]>) {
  t.test(`a journey with ${name}`, async t => {
    const { browser } = await buildApp(t, { auth0 })
    const response = await browser.login()
    t.equal(response.url.pathname, '/profile')
  })
}

t.test('a login in steps', async t => {
  const { browser, provider } = await buildApp(t)
  const callback = await browser.leave('/login?returnTo=/me', { authorize: { user: { sub: 'auth0|grace', name: 'Grace' } } })
  const response = await browser.comeBack(callback)
  t.match(response, { statusCode: 303, location: { pathname: '/me' } })
  t.match((await browser.get('/me')).json(), { user: { sub: 'auth0|grace' } })
  const denied = await browser.leave('/login', { authorize: { callback: { error: 'access_denied', error_description: 'No <b>' } } })
  t.match(await browser.comeBack(denied), { statusCode: 403 })
  t.equal(provider.callsTo('token').length, 1)
})

t.test('a login that fails says so', async t => {
  const { browser, provider } = await buildApp(t)
  provider.fail('token', '500')
  await t.rejects(browser.login(), { message: /the login ended with 50\d at \/callback/ })
  provider.heal()
  await t.rejects(browser.login('/public'), { message: /did not ask for a login/ })
})
