import { Writable } from 'node:stream'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createBackchannelLogout } from '../lib/backchannel-logout.ts'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../lib/errors.ts'
import { auth0, oidc } from '../lib/provider/presets.ts'
import { createDpopProofs } from '../lib/provider/dpop.ts'
import { createProvider } from '../lib/provider/provider.ts'
import type { ProviderLogout, Sessions } from '../lib/session/sessions.ts'
import { travelInTime } from './helpers/clock.ts'
import { publicJwk, rsaKey, signJwt } from './helpers/id-tokens.ts'
import { Provider } from './helpers/provider.ts'

const INVALID = { code: 'FST_AUTH0_LOGOUT_TOKEN_INVALID', statusCode: 400 }
const AWAY = { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE', statusCode: 503 }
const typed = { acceptUntypedLogoutTokens: false, revokeOnBackchannelLogout: false }

/** Counts what it is told to end, and fails when told to. */
class CountedSessions implements Pick<Sessions, 'endByProvider' | 'seenTokens'> {
  readonly ended: ProviderLogout[] = []
  /** Lifetimes, by what was remembered. */
  readonly seen = new Map<string, number>()
  count = 3
  fault: 'has' | 'endByProvider' | 'add' | null = null

  endByProvider: Sessions['endByProvider'] = async logout => {
    this.#mayFail('endByProvider')
    this.ended.push(logout)
    return this.count
  }

  seenTokens: Sessions['seenTokens'] = {
    has: async jti => {
      this.#mayFail('has')
      return this.seen.has(jti)
    },
    add: async (jti, lifetime) => {
      this.#mayFail('add')
      this.seen.set(jti, lifetime)
    }
  }

  #mayFail (what: CountedSessions['fault']): void {
    if (this.fault === what) throw new FST_AUTH0_SESSION_UNAVAILABLE()
  }
}

interface BuildOptions {
  provider?: Provider
  sessions?: CountedSessions
  config?: Partial<Parameters<typeof createBackchannelLogout>[0]['config']>
}

/** Back-channel logout over a provider in memory. */
function build (t: Test, { provider = new Provider(), sessions = new CountedSessions(), config = {} }: BuildOptions = {}) {
  const lines: Array<Record<string, unknown> & { level: number }> = []
  const stream = new Writable({
    write (line, _encoding, done) {
      lines.push(JSON.parse(line))
      done()
    }
  })
  const { log } = Fastify({ logger: { level: 'trace', stream } })
  const complete = { name: 'auth0', preset: oidc(provider.issuer), clientId: provider.clientId, clockTolerance: 30, ...typed, ...config }
  const client = createProvider({
    ...complete,
    clientSecret: provider.clientSecret,
    clientAuthMethod: 'client_secret_post',
    clientAssertionAudience: 'issuer',
    clientKey: null,
    clientCertificate: null,
    signedAuthorizationRequests: false,
    pushedAuthorizationRequests: false,
    dpop: false,
    userInfo: false,
    fetch: provider.fetch,
    httpTimeout: 5000
  }, createDpopProofs(), log)
  t.teardown(() => client.close())
  return { logout: createBackchannelLogout({ config: complete, provider: client, sessions, log }), provider, sessions, lines }
}

// What it ends

t.test('I18 a token with sid ends that session, one with sub all of the person, one with both that session only (OpenID Connect Back-Channel Logout 1.0 §2.4)', async t => {
  const { logout, provider, sessions } = build(t)
  const issuedAt = 1_800_000_000
  travelInTime(t, { isFrozen: true }).advance(issuedAt - Date.now() / 1000)
  const iat = Math.floor(Date.now() / 1000)
  for (const claims of [{ sid: 's', sub: undefined }, { sub: 'ada' }, { sid: 's', sub: 'ada' }]) {
    t.equal(await logout(provider.logoutToken({ claims })), 3)
  }
  t.strictSame(sessions.ended, [{ sid: 's', issuedAt: iat }, { sub: 'ada', issuedAt: iat }, { sid: 's', issuedAt: iat }])
})

t.test('I19 nobody with this sid: nothing to do, and no error', async t => {
  const { logout, provider, sessions } = build(t)
  sessions.count = 0
  t.equal(await logout(provider.logoutToken()), 0)
})

// Once only

t.test('I17 a token that comes again has no effect, and makes one line in the log', async t => {
  const { logout, provider, sessions, lines } = build(t)
  const token = provider.logoutToken()
  t.equal(await logout(token), 3)
  t.equal(await logout(token), 0)
  t.equal(await logout(token), 0)
  t.equal(sessions.ended.length, 1)
  t.match(lines.filter(({ level }) => level === 30), [{ sessions: 3, msg: 'the provider logged somebody out' }])
  t.equal(await logout(provider.logoutToken()), 3, 'and another one has')
})

t.test('I17 a token is remembered for as long as it could come again', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  for (const [iat, lifetime] of [[0, 331], [-100, 231], [-330, 1], [30, 361], [-0.5, 331]] as const) {
    const { logout, provider, sessions } = build(t)
    await logout(provider.logoutToken({ claims: { iat: clock.now() + iat } }))
    t.same([...sessions.seen.values()], [lifetime])
  }
})

t.test('I17 the same jti of another issuer, or for another client, is another one', async t => {
  const sessions = new CountedSessions()
  for (const options of [{}, { issuer: 'https://other.example.com/' }, { clientId: 'another' }]) {
    const { logout, provider } = build(t, { sessions, provider: new Provider(options) })
    t.equal(await logout(provider.logoutToken({ claims: { jti: 'one' } })), 3)
  }
  t.notMatch([...sessions.seen.keys()].join(), 'one')
})

t.test('I22 after a fault of the store the provider\'s second try has effect', async t => {
  for (const fault of ['has', 'endByProvider', 'add'] as const) {
    const { logout, provider, sessions } = build(t)
    const token = provider.logoutToken()
    sessions.fault = fault
    await t.rejects(logout(token), { code: 'FST_AUTH0_SESSION_UNAVAILABLE', statusCode: 503 }, fault)
    sessions.fault = null
    t.equal(await logout(token), 3)
    t.equal(await logout(token), 0)
  }
})

// Who may

t.test('I15 typ must say what it is, unless this provider\'s do not, or an option says so', async t => {
  const untyped = { header: { typ: 'JWT' } }
  const strict = build(t)
  await t.rejects(strict.logout(strict.provider.logoutToken(untyped)), INVALID)
  const configured = build(t, { config: { acceptUntypedLogoutTokens: true } })
  t.equal(await configured.logout(configured.provider.logoutToken(untyped)), 3)
  const tenant = build(t, { config: { ...typed, preset: auth0('tenant.example.com') } })
  t.equal(await tenant.logout(tenant.provider.logoutToken(untyped)), 3)
  await t.rejects(tenant.logout(tenant.provider.logoutToken({ header: { typ: 'at+jwt' } })), INVALID)
})

t.test('I10 a signature must be by an algorithm that the provider advertises for ID tokens; RS256 where it advertises none', async t => {
  const bare = build(t, { provider: new Provider({ metadata: { id_token_signing_alg_values_supported: undefined } }) })
  t.equal(await bare.logout(bare.provider.logoutToken()), 3)
  await t.rejects(bare.logout(bare.provider.logoutToken('RS384')), INVALID)
  const unsafe = build(t, { provider: new Provider({ metadata: { id_token_signing_alg_values_supported: ['none', 'HS256'] } }) })
  for (const forgery of ['alg none', 'HS256 with the public key as PEM', 'HS256 with the client secret', {}] as const) {
    await t.rejects(unsafe.logout(unsafe.provider.logoutToken(forgery)), INVALID)
  }
})

t.test('I10 addresses of keys in a token are never asked', async t => {
  const { logout, provider } = build(t)
  for (const forgery of ['jku of the attacker', 'x5u of the attacker', 'jwk of the attacker'] as const) await t.rejects(logout(provider.logoutToken(forgery)), INVALID)
  t.equal(provider.callsTo('attacker').length, 0)
})

t.test('where the server knows of no sessions, it says what to configure', async t => {
  for (const missing of [{ endByProvider: null }, { seenTokens: null }]) {
    const sessions = Object.assign(new CountedSessions(), missing)
    const { logout, provider } = build(t, { sessions })
    await t.rejects(logout(provider.logoutToken()), { code: 'FST_AUTH0_STORE_REQUIRED', statusCode: 500, message: /"session\.redis" or "revocations"/ })
    t.equal(provider.calls.length, 0)
  }
})

// The provider's keys

t.test('I23 F6 a flood of unknown keys is one request for keys, then at most two a minute', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { logout, provider } = build(t)
  await logout(provider.logoutToken())
  t.equal(provider.callsTo('jwks').length, 1)
  let count = 0
  const flood = () => Promise.all(Array.from({ length: 200 }, () => t.rejects(logout(provider.logoutToken({ header: { kid: `unknown-${count++}` } })), INVALID)))
  await flood()
  t.equal(provider.callsTo('jwks').length, 2, 'once for all that came')
  clock.advance(25)
  await flood()
  t.equal(provider.callsTo('jwks').length, 2)
  clock.advance(6)
  await flood()
  t.equal(provider.callsTo('jwks').length, 3)
  t.equal(count, 600)
  t.equal(await logout(provider.logoutToken()), 3, 'and a known key serves on')
  t.equal(provider.callsTo('discovery').length, 1)
})

t.test('I23 what is refused for another reason asks for no keys', async t => {
  const { logout, provider } = build(t)
  await logout(provider.logoutToken())
  for (const forgery of ['alg none', 'HS256 with an empty secret', 'a foreign key under our kid', 'aud of another', 'not a token', 'kid of 100 KB'] as const) {
    await t.rejects(logout(provider.logoutToken(forgery)), INVALID)
  }
  t.equal(provider.callsTo('jwks').length, 1)
})

t.test('F7 after a change of keys every token that comes at once is accepted, by one request', async t => {
  const { logout, provider } = build(t)
  await logout(provider.logoutToken())
  provider.rotateKeys({ keepOld: false })
  provider.fail('jwks', 'slow')
  t.same(await Promise.all(Array.from({ length: 20 }, () => logout(provider.logoutToken()))), Array(20).fill(3))
  t.equal(provider.callsTo('jwks').length, 2)
})

t.test('I22 an unknown key, while keys cannot be had, is no word that the token is wrong: 503, for as long as nobody asks again', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { logout, provider } = build(t)
  await logout(provider.logoutToken())
  provider.rotateKeys()
  provider.fail('jwks', '503')
  const token = provider.logoutToken()
  await t.rejects(logout(token), { ...AWAY, cause: { retryAfter: 7 } })
  await t.rejects(logout(token), AWAY)
  t.equal(provider.callsTo('jwks').length, 2, 'F6 and not asked again meanwhile')
  t.equal(await logout(provider.logoutToken(({ header, claims }) => signJwt({ header: { ...header, kid: 'key-1' }, payload: claims, key: rsaKey('key-1') }))), 3, 'F8 known keys serve on')
  provider.heal()
  clock.advance(31)
  t.equal(await logout(token), 3)
})

t.test('a provider that was never reached is a 503, also for its logout tokens', async t => {
  for (const endpoint of ['discovery', 'jwks'] as const) {
    const { logout, provider } = build(t)
    provider.fail(endpoint, 'connection refused')
    await t.rejects(logout(provider.logoutToken()), AWAY)
    provider.heal()
    t.equal(await logout(provider.logoutToken()), 3)
  }
})

t.test('F9 a key that the provider withdrew counts five minutes more, at most', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { logout, provider } = build(t)
  await logout(provider.logoutToken())
  provider.jwks = [publicJwk(rsaKey('key-2'))]
  clock.advance(290)
  t.equal(await logout(provider.logoutToken()), 3)
  clock.advance(11)
  await t.rejects(logout(provider.logoutToken()), INVALID)
})

t.test('promise 8: no token, and neither sub nor sid, is in the log', async t => {
  const { logout, provider, lines, sessions } = build(t)
  const token = provider.logoutToken({ claims: { sid: 'sid-canary', sub: 'sub-canary', jti: 'jti-canary' } })
  await logout(token)
  await logout(token)
  sessions.fault = 'has'
  await t.rejects(logout(token))
  t.equal(lines.length, 2)
  t.notMatch(JSON.stringify(lines), /canary/)
  for (const secret of provider.secrets) t.notOk(JSON.stringify(lines).includes(secret))
})
