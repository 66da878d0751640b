import { createHmac } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import auth0, { FST_AUTH0_OPTIONS_INVALID, type ApiIssuerOptions, type ApiOptions, type Auth0Options } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { appBaseUrl, buildApp, secret } from './helpers/app.ts'
import type { Forge, Forgery } from './helpers/id-token-forgeries.ts'
import { encode, rsaKey, signJwt, type Json } from './helpers/id-tokens.ts'
import { Provider } from './helpers/provider.ts'

const JOBS = 'internal-jobs'
const JOBS_SECRET = '0f9a3c7e5b1d2846f0e1d2c3b4a59687'

t.test('an API takes tokens of several issuers, and asks the right one alone', async t => {
  const { call, own, realm, tenant } = await build(t)
  const before = [own, realm, tenant].map(provider => provider.calls.length)
  t.match(await call(realm.accessToken()), { sub: 'auth0|ada', iss: realm.issuer })
  t.same([own, realm, tenant].map((provider, index) => provider.calls.slice(before[index]).map(({ endpoint }) => endpoint)), [[], ['discovery', 'jwks'], []])
  t.match(await call(tenant.accessToken()), { iss: tenant.issuer })
  t.match(await call(own.accessToken()), { iss: own.issuer })
  t.match(await call(job()), { iss: JOBS })
  t.same([realm, tenant].map(provider => provider.callsTo('jwks').length), [1, 1])
})

t.test('J14 an issuer that is not on the list is asked for nothing, nor is anybody else (RFC 8725 §3.10)', async t => {
  const { call, own, realm, tenant, calls } = await build(t)
  await call(own.accessToken())
  const { length } = calls
  const issuers = ['https://id.example.com/realms/b', 'https://id.example.com/realms/a/b', 'https://id.example.com', 'http://id.example.com/realms/a', 'https://ID.example.com/realms/a', 'https://id.example.com/realms/a//', ' https://id.example.com/realms/a', 'internal-jobs/', 'Internal-Jobs', 'toString', undefined, 7]
  for (const iss of issuers) {
    for (const provider of [realm, tenant]) t.equal(await call(provider.accessToken({ claims: { iss } })), 401, String(iss))
    t.equal(await call(job({ iss })), 401)
  }
  t.equal(calls.length, length)
})

t.test('J13 a token of one issuer that another signed is refused, by whatever name of a key (RFC 8725 §3.8)', async t => {
  const { call, own, realm, tenant } = await build(t)
  for (const [issuer, signer] of [[own, realm], [realm, own], [realm, tenant], [tenant, realm]] as const) {
    for (const kid of [issuer.key.kid, signer.key.kid, undefined]) {
      const forged: Forge = ({ header, claims }) => signJwt({ header: { ...header, kid }, payload: claims, key: signer.key })
      t.equal(await call(issuer.accessToken(forged)), 401)
    }
  }
  t.equal(await call(job({ iss: realm.issuer })), 401, 'nor by a secret')
  t.equal(await call(realm.accessToken({ claims: { iss: JOBS } })), 401, 'nor where a secret is due')
  const byPublicKey = realm.key.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  t.equal(await call(job({ iss: realm.issuer }, byPublicKey)), 401)
})

const spellings: Array<[configured: string, told: string]> = [
  ['https://c.example.com', 'https://c.example.com'], ['https://c.example.com', 'https://c.example.com/'], ['https://c.example.com/', 'https://c.example.com'],
  ['https://c.example.com/realms/a', 'https://c.example.com/realms/a'], ['https://C.example.com:443/realms/a', 'https://c.example.com/realms/a']
]
for (const [configured, told] of spellings) {
  t.test(`an issuer that is written ${configured} and calls itself ${told} signs in its own spelling alone`, async t => {
    const provider = new Provider({ issuer: told })
    const { call } = await build(t, { issuers: [{ issuer: configured }], more: [provider] })
    t.match(await call(provider.accessToken()), { iss: told })
    const other = told.endsWith('/') ? told.slice(0, -1) : `${told}/`
    t.equal(await call(provider.accessToken({ claims: { iss: other } })), 401)
  })
}

t.test('the configured provider, too, signs in its own spelling', async t => {
  const { call, own } = await build(t, { own: new Provider({ issuer: 'https://tenant.example.com/', metadata: { issuer: 'https://tenant.example.com' } }) })
  t.match(await call(own.accessToken({ claims: { iss: 'https://tenant.example.com' } })), { sub: 'auth0|ada' })
  t.equal(await call(own.accessToken()), 401)
})

const policies: Array<[name: string, issuer: Partial<ApiIssuerOptions>, api: Partial<ApiOptions>, forgery: Forgery, isAccepted: boolean]> = [
  ['the audience of all', {}, {}, {}, true],
  ['an audience of its own', { audience: 'urn:a' }, {}, { claims: { aud: 'urn:a' } }, true],
  ['the audience of all, where it has one of its own', { audience: 'urn:a' }, {}, {}, false],
  ['one of several audiences', { audience: ['urn:a', 'urn:b'] }, {}, { claims: { aud: ['x', 'urn:b'] } }, true],
  ['RS256 by default', {}, {}, {}, true],
  ['another algorithm by default', {}, {}, 'RS384', false],
  ['an algorithm that it lists', { algorithms: ['RS384'] }, {}, 'RS384', true],
  ['RS256 where it lists another', { algorithms: ['RS384'] }, {}, {}, false],
  ['an algorithm that only the configured provider has', {}, { algorithms: ['RS384'] }, 'RS384', false],
  ['no typ by default (RFC 9068 §4)', {}, {}, { header: { typ: undefined } }, false],
  ['a clock that is off by less than it may be', { clockTolerance: 60 }, {}, { claims: { nbf: Math.floor(Date.now() / 1000) + 50 } }, true],
  ['a clock that is off by more than all may be', {}, {}, { claims: { nbf: Math.floor(Date.now() / 1000) + 50 } }, false],
  ['typ JWT where it says so', { acceptUntypedTokens: true }, {}, { header: { typ: 'JWT' } }, true],
  ['typ JWT where all say so', {}, { acceptUntypedTokens: true }, { header: { typ: 'JWT' } }, true],
  ['typ JWT where it alone does not', { acceptUntypedTokens: false }, { acceptUntypedTokens: true }, { header: { typ: 'JWT' } }, false]
]
for (const [name, issuer, api, forgery, isAccepted] of policies) {
  t.test(`an issuer may have a policy of its own: ${name}, ${isAccepted ? 'accepted' : 'refused'}`, async t => {
    const provider = new Provider({ issuer: 'https://c.example.com/' })
    // Its published key says RS256, or the algorithm would be refused for that.
    provider.jwks = provider.jwks.map(({ alg, ...jwk }) => jwk)
    const { call } = await build(t, { issuers: [{ issuer: 'https://c.example.com', ...issuer }], api, more: [provider] })
    const answer = await call(provider.accessToken(forgery))
    if (isAccepted) t.match(answer, { sub: 'auth0|ada' })
    else t.equal(answer, 401)
  })
}

t.test('J11 roles and permissions are where each issuer keeps them', async t => {
  const keycloak = new Provider({ issuer: 'https://keycloak.example.com/realms/staff' })
  const cognito = new Provider({ issuer: 'https://cognito.example.com/pool' })
  const plain = new Provider({ issuer: 'https://plain.example.com/' })
  const { app, own } = await build(t, {
    issuers: [
      { issuer: keycloak.issuer, rolesClaim: ['realm_access', 'roles'], permissionsClaim: ['resource_access', 'api', 'roles'] }, { issuer: cognito.issuer, rolesClaim: 'cognito:groups' },
      { issuer: 'https://plain.example.com' }, { issuer: JOBS, secret: JOBS_SECRET, permissionsClaim: 'r' }
    ],
    more: [keycloak, cognito, plain],
    auth0: { rolesClaim: 'https://example.com/roles' }
  })
  // Each token has all of them: only that of its issuer counts.
  const claims = {
    realm_access: { roles: ['of Keycloak'] }, resource_access: { api: { roles: ['may, at Keycloak'] } }, 'cognito:groups': ['of Cognito'], 'https://example.com/roles': ['of all others'], permissions: ['may'], roles: ['x'], r: ['of jobs']
  }
  const heldBy = async (token: string) => {
    const { roles, permissions } = (await app.inject({ url: '/held', headers: { authorization: `Bearer ${token}` } })).json()
    return [roles, permissions]
  }
  t.same(await heldBy(keycloak.accessToken({ claims })), [['of Keycloak'], ['may, at Keycloak']])
  t.same(await heldBy(cognito.accessToken({ claims })), [['of Cognito'], ['may']])
  t.same(await heldBy(job(claims, JOBS_SECRET)), [['of all others'], ['of jobs']])
  for (const provider of [plain, own]) t.same(await heldBy(provider.accessToken({ claims })), [['of all others'], ['may']])
})

t.test('J7 Auth0 types its access tokens as JWT: those of a domain are accepted so, unless an option says no', async t => {
  const untyped = { header: { typ: 'JWT' } }
  const { call, own, tenant, realm } = await build(t)
  t.match(await call(own.accessToken(untyped)), { iss: own.issuer })
  t.match(await call(tenant.accessToken(untyped)), { iss: tenant.issuer })
  t.equal(await call(realm.accessToken(untyped)), 401)
  const strict = await build(t, { api: { acceptUntypedTokens: false } })
  t.equal(await strict.call(strict.own.accessToken(untyped)), 401)
  t.equal(await strict.call(strict.tenant.accessToken(untyped)), 401)
})

const jobs: Array<[name: string, claims: Json, header: Json, isAccepted: boolean]> = [
  ['as agreed', {}, {}, true],
  ['for another API', { aud: 'urn:other' }, {}, false],
  ['that is over', { exp: 1 }, {}, false],
  ['without an end', { exp: undefined }, {}, false],
  ['of nobody', { sub: undefined }, {}, false],
  ['without a typ', {}, { typ: undefined }, false],
  ['of another algorithm', {}, { alg: 'HS512' }, false],
  ['of no algorithm', {}, { alg: 'none' }, false]
]
t.test('an internal service signs by a secret that both have (RFC 7518 §3.2)', async t => {
  const { call } = await build(t)
  for (const [name, claims, header, isAccepted] of jobs) {
    const answer = await call(job(claims, JOBS_SECRET, header))
    if (isAccepted) t.match(answer, { sub: 'job-1' }, name)
    else t.equal(answer, 401, name)
  }
  t.equal(await call(job({}, 'another-secret-of-thirty-two-letters')), 401)
  t.equal(await call(job({}, '')), 401)
  const bytes = await build(t, { issuers: [{ issuer: JOBS, secret: new TextEncoder().encode(JOBS_SECRET) }] })
  t.match(await bytes.call(job()), { sub: 'job-1' }, 'also where it is bytes')
})

t.test('J21 a token by a wrong secret, and one of nobody, are answered alike', async t => {
  const { app } = await build(t)
  const tokens = [job({}, 'another-secret-of-thirty-two-letters'), job({ sub: '' }), job().slice(0, -1) + (job().endsWith('A') ? 'E' : 'A'), `${job().slice(0, -43)}${'A'.repeat(43)}`]
  const answers = await Promise.all(tokens.map(async token => {
    const { statusCode, body, headers } = await app.inject({ url: '/api', headers: { authorization: `Bearer ${token}` } })
    return JSON.stringify([statusCode, body, headers['www-authenticate']])
  }))
  t.equal(new Set(answers).size, 1)
})

t.test('without an audience for all, the configured provider is none of the issuers', async t => {
  const { call, own, realm } = await build(t, { api: { audience: undefined }, issuers: [{ issuer: 'https://id.example.com/realms/a', audience: AUDIENCE }] })
  t.match(await call(realm.accessToken()), { iss: realm.issuer })
  t.equal(await call(own.accessToken()), 401)
})

t.test('an issuer that is down keeps nobody out but those whom it alone knows', async t => {
  const { call, own, realm } = await build(t)
  realm.failAll('connection refused')
  t.match(await call(own.accessToken()), { iss: own.issuer })
  t.equal(await call(realm.accessToken()), 503)
  realm.heal()
  t.match(await call(realm.accessToken()), { iss: realm.issuer })
})

t.test('F1 metadata of another issuer are none of this one', async t => {
  const { call, realm } = await build(t)
  realm.fail('discovery', 'other issuer')
  t.equal(await call(realm.accessToken()), 503)
})

t.test('options are read once: what is changed later counts for nothing', async t => {
  const audience = [AUDIENCE]
  const algorithms = ['RS256']
  const bytes = new TextEncoder().encode(JOBS_SECRET)
  const { call, own } = await build(t, { api: { audience, algorithms }, issuers: [{ issuer: JOBS, secret: bytes, audience }] })
  audience[0] = 'urn:other'
  algorithms.length = 0
  bytes.fill(0)
  t.match(await call(own.accessToken()), { iss: own.issuer })
  t.match(await call(job()), { sub: 'job-1' })
})

// What is wrong with options

const good = { domain: 'tenant.example.com', clientId: 'client-id', clientSecret: 'client-secret-of-the-tests', secret, appBaseUrl }
const realm = { issuer: 'https://id.example.com/realms/a', audience: 'a' }
const shared = { issuer: JOBS, audience: 'a', secret: JOBS_SECRET }
const NO_URL = 'must be an absolute URL such as "https://app.example.com", without query, fragment, user, wildcard and empty path segments'
const NO_PATH = 'must be the name of a claim, or the path to it as an array of names'
const NO_NAMES = 'must be a name, or a list of names'
const NO_SECRET = 'must be 32 random bytes or more, e.g. from "openssl rand -hex 32"'
const NO_ALGORITHMS = 'must be a list of signatures by a private key, such as ["RS256", "ES256"]'

const mistakes: Array<[name: string, api: unknown, ...problems: Array<[option: string, text: string]>]> = [
  ['no API', {}, ['api.audience', 'is missing: give the identifier of the API, which has to be in "aud" of its tokens']],
  ['an API that is a list', [], ['api', 'must be an object'], ['api.audience', 'is missing: give the identifier of the API, which has to be in "aud" of its tokens']],
  ['an empty audience', { audience: '' }, ['api.audience', NO_NAMES]],
  ['an audience that is null', { audience: null }, ['api.audience', NO_NAMES]],
  ['no audiences', { audience: [] }, ['api.audience', NO_NAMES]],
  ['audiences with a hole', { audience: new Array(1) }, ['api.audience', NO_NAMES]],
  ['an empty audience among others', { audience: ['a', ''] }, ['api.audience', NO_NAMES]],
  ['no algorithms', { audience: 'a', algorithms: [] }, ['api.algorithms', NO_ALGORITHMS]],
  ['an algorithm that is text', { audience: 'a', algorithms: 'RS256' }, ['api.algorithms', NO_ALGORITHMS]],
  ['algorithms with a hole', { audience: 'a', algorithms: new Array(1) }, ['api.algorithms', NO_ALGORITHMS]],
  ...['none', 'HS256', 'HS512', 'rs256', 'RS1', 'RSA-OAEP', 7, null].map((algorithm): typeof mistakes[number] => [`J8 the algorithm ${algorithm}`, { audience: 'a', algorithms: ['RS256', algorithm] }, ['api.algorithms', NO_ALGORITHMS]]),
  ['algorithms of nobody', { algorithms: ['ES256'], issuers: [realm] }, ['api.algorithms', 'is of the configured provider: give "api.audience", too, or each of "api.issuers" algorithms of its own']],
  ['untyped tokens that are neither accepted nor not', { audience: 'a', acceptUntypedTokens: 'yes' }, ['api.acceptUntypedTokens', 'must be one of true, false']],
  ['introspection of nobody', { introspection: true, issuers: [realm] }, ['api.introspection', 'asks the configured provider: give "api.audience", too']],
  ['a cache that is a number', { audience: 'a', cache: 60 }, ['api.cache', 'must be one of true, false']],
  ['an isRevoked that is none', { audience: 'a', isRevoked: true }, ['api.isRevoked', 'must be a function']],
  ['an unknown option', { audience: 'a', audiance: 'b' }, ['api.audiance', 'is unknown. Did you mean "api.audience"?']],

  ['a resource that is no URL', { audience: 'a', resource: '/api' }, ['api.resource', NO_URL]],
  ['a resource with a query', { audience: 'a', resource: 'https://api.example.com/?a=b' }, ['api.resource', NO_URL]],
  ['a resource over http', { audience: 'a', resource: 'http://api.example.com' }, ['api.resource', 'must be https, or on this machine']],
  ['a resource in letters that headers do not take', { audience: 'a', resource: 'https://api.exämple.com' }, ['api.resource', 'must be written as a browser sends it, without spaces, quotes and letters beyond ASCII']],
  ['a resource with a space', { audience: 'a', resource: ' https://api.example.com' }, ['api.resource', 'must be written as a browser sends it, without spaces, quotes and letters beyond ASCII']],
  ['scopes that are none', { audience: 'a', scopesSupported: [7] }, ['api.scopesSupported', NO_NAMES]],

  ['issuers that are no list', { issuers: realm }, ['api.issuers', 'must be a list of issuers']],
  ['no issuers', { issuers: [] }, ['api.issuers', 'must be a list of issuers']],
  ['an issuer that is text', { issuers: ['https://id.example.com'] }, ['api.issuers[0]', 'must be an object'], ['api.issuers[0].audience', 'is missing: give it here, or for all as "api.audience"'], ['api.issuers[0].issuer', NO_URL]],
  ['an issuer without an audience', { issuers: [realm, { issuer: 'https://b.example.com' }] }, ['api.issuers[1].audience', 'is missing: give it here, or for all as "api.audience"']],
  ['an issuer with an empty audience', { audience: 'a', issuers: [{ ...realm, audience: '' }] }, ['api.issuers[0].audience', NO_NAMES]],
  ['an issuer without a name', { audience: 'a', issuers: [{}] }, ['api.issuers[0].issuer', NO_URL]],
  ['two issuers without a name', { audience: 'a', issuers: [{}, {}] }, ['api.issuers[0].issuer', NO_URL], ['api.issuers[1].issuer', NO_URL]],
  ['an issuer with two names', { audience: 'a', issuers: [{ ...realm, domain: 'b.example.com' }] }, ['api.issuers[0]', 'has "issuer" and "domain": give one']],
  ['an issuer with claims that are none', { audience: 'a', issuers: [{ ...realm, rolesClaim: '', permissionsClaim: [1] }] }, ['api.issuers[0].rolesClaim', NO_PATH], ['api.issuers[0].permissionsClaim', NO_PATH]],
  ['an issuer with a clock of another day', { audience: 'a', issuers: [{ ...realm, clockTolerance: 301 }] }, ['api.issuers[0].clockTolerance', 'must be a whole number of seconds from 0 to 300']],
  ['an issuer over http', { audience: 'a', issuers: [{ issuer: 'http://id.example.com' }] }, ['api.issuers[0].issuer', 'must be https: only a provider on this machine may use http (RFC 9700 §2.6)']],
  ['a domain that is a URL', { audience: 'a', issuers: [{ domain: 'https://b.example.com/' }] }, ['api.issuers[0].domain', 'must be "b.example.com", without "https://" in front and without a slash or path behind']],
  ['J8 an issuer with HMAC', { audience: 'a', issuers: [{ ...realm, algorithms: ['HS256'] }] }, ['api.issuers[0].algorithms', NO_ALGORITHMS]],
  ['an issuer with an unknown option', { audience: 'a', issuers: [{ ...realm, jwksUri: 'https://id.example.com/keys' }] }, ['api.issuers.jwksUri', 'is unknown. Known are api.issuers.issuer, api.issuers.domain, api.issuers.audience, api.issuers.algorithms, api.issuers.secret, api.issuers.acceptUntypedTokens, api.issuers.clockTolerance, api.issuers.rolesClaim, api.issuers.permissionsClaim']],
  ['an issuer\'s untyped tokens that are neither accepted nor not', { audience: 'a', issuers: [{ ...realm, acceptUntypedTokens: 1 }] }, ['api.issuers[0].acceptUntypedTokens', 'must be one of true, false']],

  ['an empty secret', { issuers: [{ ...shared, secret: '' }] }, ['api.issuers[0].secret', NO_SECRET]],
  ['a secret of 31 characters', { issuers: [{ ...shared, secret: JOBS_SECRET.slice(1) }] }, ['api.issuers[0].secret', NO_SECRET]],
  ['a secret of 31 bytes', { issuers: [{ ...shared, secret: new TextEncoder().encode(JOBS_SECRET.slice(1)) }] }, ['api.issuers[0].secret', NO_SECRET]],
  ['a secret of one letter', { issuers: [{ ...shared, secret: 'a'.repeat(64) }] }, ['api.issuers[0].secret', NO_SECRET]],
  ['a secret that is no bytes', { issuers: [{ ...shared, secret: 12345 }] }, ['api.issuers[0].secret', NO_SECRET]],
  ['a secret of nobody', { issuers: [{ ...shared, issuer: undefined }] }, ['api.issuers[0].issuer', 'is missing: give what stands in "iss" of its tokens']],
  ['a secret and an algorithm', { issuers: [{ ...shared, algorithms: ['HS256'] }] }, ['api.issuers[0].algorithms', 'is HS256 with "secret", and no other: leave it out']],

  ['one issuer twice', { issuers: [realm, realm] }, ['api.issuers', 'must name every issuer once; the configured provider is one of them where "api.audience" is given']],
  ['one issuer in two spellings', { issuers: [realm, { ...realm, issuer: `${realm.issuer}/` }] }, ['api.issuers', 'must name every issuer once; the configured provider is one of them where "api.audience" is given']],
  ['the configured provider once more', { audience: 'a', issuers: [{ domain: 'tenant.example.com' }] }, ['api.issuers', 'must name every issuer once; the configured provider is one of them where "api.audience" is given']],
  ['an issuer by its keys and by a secret', { issuers: [realm, { ...shared, issuer: realm.issuer }] }, ['api.issuers', 'must name every issuer once; the configured provider is one of them where "api.audience" is given']]
]
for (const [name, api, ...problems] of mistakes) {
  t.test(`refuses ${name}`, async t => t.same(await problemsOf(api), problems.map(([option, text]) => `- Option "${option}" ${text}`)))
}

t.test('no message has a value in it, whatever was mixed up', async () => {
  const leak = 'S3cr3t/leak value'
  const value = fc.constantFrom<unknown>(leak, [leak], { value: leak }, `https://${encodeURIComponent(leak)}@host/`, `https://host/?${leak}`, `http://me:${leak}@h`, new TextEncoder().encode(leak))
  const issuer = fc.dictionary(fc.constantFrom('issuer', 'domain', 'audience', 'algorithms', 'secret', 'acceptUntypedTokens', 'clockTolerance', 'rolesClaim', 'permissionsClaim'), value)
  const api = fc.dictionary(fc.constantFrom('audience', 'algorithms', 'issuers', 'acceptUntypedTokens', 'resource', 'scopesSupported', 'cache', 'isRevoked'), fc.oneof(value, fc.array(issuer, { maxLength: 2 })))
  await fc.assert(fc.asyncProperty(api, async api => {
    const message = (await problemsOf(api)).join()
    return !message.includes('S3cr3t') && !message.includes('leak')
  }), { numRuns: 300 })
})

t.test('the audience may come from the environment, but not for issuers that have their own', async t => {
  process.env.AUTH0_AUDIENCE = AUDIENCE
  t.teardown(() => { delete process.env.AUTH0_AUDIENCE })
  const { call, own } = await build(t, { api: { audience: undefined, issuers: undefined } })
  t.match(await call(own.accessToken()), { iss: own.issuer })
  const others = await build(t, { api: { audience: undefined }, issuers: [{ issuer: 'https://id.example.com/realms/a', audience: 'a' }] })
  t.equal(await others.call(others.own.accessToken()), 401)
})

async function problemsOf (api: unknown): Promise<string[]> {
  const app = Fastify()
  try {
    await app.register(auth0, { ...good, api } as Auth0Options)
    return []
  } catch (error) {
    if (!(error instanceof FST_AUTH0_OPTIONS_INVALID)) throw error
    return error.message.split('\n').slice(1)
  } finally {
    await app.close()
  }
}

/** A token of the service that shares a secret with us. */
function job (claims: Json = {}, secret = JOBS_SECRET, header: Json = {}): string {
  const now = Math.floor(Date.now() / 1000)
  const input = `${encode({ alg: 'HS256', typ: 'at+jwt', ...header })}.${encode({ iss: JOBS, sub: 'job-1', aud: AUDIENCE, iat: now, exp: now + 60, ...claims })}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

interface Arranged {
  own?: Provider
  /** Over the audience of all. */
  api?: { [Name in keyof ApiOptions]: ApiOptions[Name] | undefined }
  auth0?: Auth0Options
  issuers?: ApiIssuerOptions[]
  more?: Provider[]
}

/** An API that takes tokens of its tenant, of a realm, of another tenant and of a service, all behind one `fetch`. */
async function build (t: Test, { own = new Provider(), api = {}, issuers, more = [], auth0 }: Arranged = {}) {
  const realm = new Provider({ issuer: 'https://id.example.com/realms/a', keys: [rsaKey('realm-1')] })
  const tenant = new Provider({ issuer: 'https://b.example.com/', keys: [rsaKey('tenant-1')] })
  const calls: string[] = []
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { href, origin } = new URL(input instanceof Request ? input.url : input)
    calls.push(href)
    const provider = [own, realm, tenant, ...more].find(({ issuer }) => new URL(issuer).origin === origin)
    if (provider === undefined) throw new Error(`nobody is at ${origin}`)
    return provider.fetch(input, init)
  }
  const known: ApiIssuerOptions[] = issuers ?? [{ issuer: realm.issuer }, { domain: 'b.example.com' }, { issuer: JOBS, secret: JOBS_SECRET }]
  const { app } = await buildApp(t, {
    provider: own,
    auth0: { ...auth0, fetch, api: { audience: AUDIENCE, issuers: known, dpop: 'off', ...api } as ApiOptions },
    routes: app => {
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, async request => request.auth0.user)
      app.get('/held', async ({ auth0: { roles, permissions } }) => ({ roles, permissions }))
    }
  })
  await app.ready()
  while (own.calls.length === 0) await delay(5) // the metadata, for logins
  return {
    app,
    own,
    realm,
    tenant,
    calls,
    /** The claims that the route sees, or the status. */
    async call (token: string): Promise<unknown> {
      const response = await app.inject({ url: '/api', headers: { authorization: `Bearer ${token}` } })
      return response.statusCode === 200 ? response.json() : response.statusCode
    }
  }
}
