import { createHash, createHmac, randomUUID } from 'node:crypto'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { LruMap } from 'toad-cache'
import { createBearerTokens } from '../lib/api/bearer-tokens.ts'
import { createTokenIssuers } from '../lib/api/token-issuers.ts'
import type { AnyRequest } from '../lib/fastify.ts'
import type { ApiOptions } from '../lib/index.ts'
import type { ApiConfig } from '../lib/options.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { buildApp } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Forge } from './helpers/id-token-forgeries.ts'
import { encode, publicJwk, rsaKey, signJwt, type Json } from './helpers/id-tokens.ts'
import type { Provider } from './helpers/provider.ts'

const DAY = 86_400

// When keys are asked for

t.test('keys are asked for once, however many requests wait for them', async t => {
  const { status, provider } = await build(t)
  provider.fail('jwks', 'slow')
  const statuses = await Promise.all(Array.from({ length: 50 }, () => status(provider.accessToken())))
  t.ok(statuses.every(status => status === 200))
  t.equal(provider.callsTo('jwks').length, 1)
  t.equal(provider.callsTo('discovery').length, 1)
})

t.test('keys that are unknown are asked for twice a minute, whatever comes', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  const [, payload, signature] = provider.accessToken().split('.')
  const unknown = () => `${encode({ alg: 'RS256', typ: 'at+jwt', kid: randomUUID() })}.${payload}.${signature}`
  const flood = async () => {
    const statuses = await Promise.all(Array.from({ length: 1000 }, () => status(unknown())))
    t.ok(statuses.every(status => status === 401))
    return provider.callsTo('jwks').length - 1
  }
  t.equal(await flood(), 1, 'once for all that came')
  clock.advance(29)
  t.equal(await flood(), 1)
  clock.advance(1)
  t.equal(await flood(), 2)
  clock.advance(29)
  t.equal(await flood(), 2, 'in a minute')
  t.equal(await status(provider.accessToken()), 200)
  t.equal(provider.callsTo('jwks').length, 3, 'and known keys need no asking')
})

t.test('a key that is new is found at once (OpenID Connect Core 1.0 §10.1.1)', async t => {
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  provider.rotateKeys()
  t.equal(await status(provider.accessToken()), 200)
  t.equal(provider.callsTo('jwks').length, 2)
})

// When they cannot be had

t.test('without any keys nobody is judged: a 503, and as soon as there are some, an answer', async t => {
  const { get, status, provider } = await build(t)
  provider.fail('jwks', '503')
  const response = await get(provider.accessToken())
  t.equal(response.statusCode, 503)
  t.equal(response.headers['retry-after'], '7')
  t.equal(await status(provider.accessToken('a foreign key under our kid')), 503)
  t.equal(await status(provider.accessToken('kid unknown')), 503)
  provider.heal()
  t.equal(await status(provider.accessToken()), 200)
})

for (const [name, down] of [['keys', (provider: Provider) => provider.fail('jwks', 'connection refused')], ['all', (provider: Provider) => provider.failAll('500')]] as const) {
  t.test(`known keys serve on for a day while the endpoint of ${name} is down`, async t => {
    const clock = travelInTime(t, { isFrozen: true })
    const { status, provider, logs } = await build(t)
    t.equal(await status(provider.accessToken()), 200)
    down(provider)
    for (const seconds of [301, 600, 3600, DAY - 4501]) {
      clock.advance(seconds)
      t.equal(await status(provider.accessToken()), 200)
      t.equal(await status(provider.accessToken('a foreign key under our kid')), 401)
      t.equal(await status(provider.accessToken('kid unknown')), 401)
      await delay(5) // for what is asked beside
    }
    clock.advance(1)
    for (const forgery of [{}, 'kid unknown', 'a foreign key under our kid'] as const) t.equal(await status(provider.accessToken(forgery)), 503)
    provider.heal()
    t.equal(await status(provider.accessToken()), 200)
    t.equal(logs.lines.filter(({ msg }) => msg === 'keys not renewed: those there are serve on').length, 1, 'told once')
  })
}

t.test('nobody waits for an endpoint that failed: it is asked beside', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  provider.failNext('jwks', 'connection refused')
  provider.fail('jwks', 'hang')
  clock.advance(301)
  t.equal(await status(provider.accessToken()), 200, 'after one who waited')
  t.equal(provider.callsTo('jwks').length, 2)
  clock.advance(29)
  t.equal(await status(provider.accessToken()), 200)
  t.equal(provider.callsTo('jwks').length, 2, 'for half a minute it is left alone')
  clock.advance(1)
  const began = performance.now()
  for (let count = 0; count < 20; count++) t.equal(await status(provider.accessToken()), 200)
  t.ok(performance.now() - began < 4000, 'while a call to it hangs')
  await delay(5)
  t.equal(provider.callsTo('jwks').length, 3)
  t.equal(provider.callsTo('jwks').at(-1)?.aborted, false)
})

t.test('an endpoint that is back is used again, and a later outage is told again', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider, logs } = await build(t)
  const told = () => logs.lines.filter(({ msg }) => msg === 'keys not renewed: those there are serve on').length
  const outage = async () => {
    provider.fail('jwks', 'connection refused')
    clock.advance(301)
    t.equal(await status(provider.accessToken()), 200)
  }
  t.equal(await status(provider.accessToken()), 200)
  await outage()
  const withdrawn = provider.key
  provider.heal()
  provider.rotateKeys({ keepOld: false })
  clock.advance(31)
  t.equal(await status(provider.accessToken(by(withdrawn.kid))), 200, 'as long as nobody knows better')
  await delay(20)
  t.equal(await status(provider.accessToken()), 200, 'with the new keys')
  t.equal(await status(provider.accessToken(by(withdrawn.kid))), 401)
  t.equal(told(), 1)
  await outage()
  t.equal(told(), 2)
})

t.test('an outage that only an unknown key notices costs nobody who is known', async t => {
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  provider.fail('jwks', '500')
  t.equal(await status(provider.accessToken('kid unknown')), 401)
  t.equal(await status(provider.accessToken()), 200)
})

// When keys change

t.test('a key that was withdrawn stops within five minutes, also for a token that was taken a moment ago', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  t.equal(await status(token), 200)
  provider.rotateKeys({ keepOld: false })
  clock.advance(299)
  t.equal(await status(token), 200)
  clock.advance(1)
  t.equal(await status(token), 401)
})

t.test('a key that was withdrawn while keys were on their way stops five minutes after they were asked for', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  const { goOn, isThere } = holdKeys(provider)
  const first = status(token)
  await isThere
  provider.rotateKeys({ keepOld: false })
  clock.advance(10)
  goOn()
  t.equal(await first, 200)
  clock.advance(289)
  t.equal(await status(token), 200)
  clock.advance(1)
  t.equal(await status(token), 401)
})

t.test('a key that was withdrawn stops as soon as others were asked for', async t => {
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  t.equal(await status(token), 200)
  provider.rotateKeys({ keepOld: false })
  t.equal(await status(provider.accessToken()), 200)
  t.equal(await status(token), 401)
})

t.test('keys that change without notice, again and again within a second, under load: no good token is refused, and none counts once its key is gone', async t => {
  travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const clients = () => Array.from({ length: 50 }, () => status(provider.accessToken()))
  const withdrawn: string[] = []
  t.equal(await status(provider.accessToken()), 200)
  for (let round = 1; round <= 10; round++) {
    const before = clients()
    provider.rotateKeys()
    t.ok((await Promise.all([...before, ...clients()])).every(status => status === 200))
    for (const token of withdrawn) t.equal(await status(token), 401)
    withdrawn.push(provider.accessToken(by(provider.jwks.pop()!.kid as string)))
    t.equal(provider.callsTo('jwks').length, 1 + round, 'each is asked for once')
  }
})

t.test('a key that is published while keys are under way is asked for once more', async t => {
  travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  provider.rotateKeys({ keepOld: false })
  const { goOn, isThere } = holdKeys(provider)
  const first = status(provider.accessToken())
  await isThere
  const { kid } = provider.rotateKeys()
  const waiting = Array.from({ length: 20 }, () => status(provider.accessToken()))
  await turn()
  goOn()
  t.equal(await first, 200)
  t.ok((await Promise.all(waiting)).every(status => status === 200), `with ${kid}`)
  t.equal(provider.callsTo('jwks').length, 3, 'by one request for all of them')
})

t.test('a key that came and went before anybody asked for it keeps nobody from the next one', async t => {
  travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  for (let round = 1; round <= 3; round++) {
    provider.rotateKeys({ keepOld: false })
    const missed = Array.from({ length: 3 }, () => provider.accessToken())
    provider.rotateKeys({ keepOld: false })
    t.equal(await status(provider.accessToken()), 200)
    for (const token of missed) t.equal(await status(token), 401)
    t.equal(provider.callsTo('jwks').length, 1 + 2 * round, 'it is asked for once')
  }
  provider.rotateKeys()
  t.equal(await status(provider.accessToken()), 200)
})

t.test('a key that came while keys were asked for in vain is found half a minute later', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  t.equal(await status(provider.accessToken('kid unknown')), 401)
  provider.rotateKeys()
  clock.advance(29)
  t.equal(await status(provider.accessToken()), 401)
  clock.advance(1)
  t.equal(await status(provider.accessToken()), 200)
  provider.rotateKeys()
  t.equal(await status(provider.accessToken()), 200, 'and one that came later at once')
})

t.test('a change of keys pays for one request in vain, and not for long', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  const inVain = async (): Promise<number> => {
    const before = provider.callsTo('jwks').length
    for (let count = 0; count < 5; count++) t.equal(await status(provider.accessToken({ header: { kid: randomUUID() } })), 401)
    return provider.callsTo('jwks').length - before
  }
  const change = async () => {
    provider.rotateKeys()
    t.equal(await status(provider.accessToken()), 200)
  }
  await change()
  t.equal(await inVain(), 2)
  t.equal(await inVain(), 0)
  clock.advance(30)
  await change()
  clock.advance(29)
  t.equal(await inVain(), 2)
  clock.advance(30)
  await change()
  clock.advance(30)
  t.equal(await inVain(), 1)
})

t.test('a key that was withdrawn, or asked for in vain, is asked for twice a minute, and in nobody\'s way', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const withdrawn = provider.accessToken()
  t.equal(await status(withdrawn), 200)
  provider.rotateKeys({ keepOld: false })
  t.equal(await status(provider.accessToken()), 200)
  const missing = provider.accessToken('kid unknown')
  t.equal(await status(missing), 401)
  t.equal(provider.callsTo('jwks').length, 3)
  for (let calls = 4; calls < 8; calls++) {
    clock.advance(29)
    for (const token of [withdrawn, missing]) t.equal(await status(token), 401)
    t.equal(provider.callsTo('jwks').length, calls - 1)
    clock.advance(1)
    for (const token of [withdrawn, missing, withdrawn]) t.equal(await status(token), 401)
    t.equal(provider.callsTo('jwks').length, calls)
  }
  provider.rotateKeys()
  t.equal(await status(provider.accessToken()), 200)
})

t.test('a key that is back, as when two servers of the provider do not agree, is found again', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  const { jwks } = provider
  t.equal(await status(token), 200)
  provider.jwks = []
  clock.advance(300)
  t.equal(await status(token), 401)
  provider.jwks = jwks
  clock.advance(30)
  t.equal(await status(token), 200)
  t.equal(provider.callsTo('jwks').length, 4)
})

t.test('a provider that publishes other keys each time is asked twice a second, however many tokens are made up', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  const key = provider.jwks[0]!
  provider.fail('jwks', () => Response.json({ keys: [key, { ...key, kid: randomUUID() }] }))
  for (const minutes of [0, 1, 2, 3]) {
    for (let count = 0; count < 200; count++) t.equal(await status(provider.accessToken({ header: { kid: randomUUID() } })), 401)
    t.equal(provider.callsTo('jwks').length, 1 + 62 * (minutes + 1))
    clock.advance(30)
  }
})

t.test('a provider whose keys take turns is asked twice a minute: none of them is new', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  t.equal(await status(provider.accessToken()), 200)
  const key = provider.jwks[0]!
  let turns = 0
  provider.fail('jwks', () => Response.json({ keys: [key, { ...key, kid: `turn-${turns++ % 2}` }] }))
  const flood = async () => { for (let count = 0; count < 50; count++) t.equal(await status(provider.accessToken({ header: { kid: randomUUID() } })), 401) }
  await flood()
  clock.advance(60)
  const before = provider.callsTo('jwks').length
  await flood()
  t.equal(provider.callsTo('jwks').length, before + 1)
})

t.test('of ids of keys no more than a thousand are remembered', async t => {
  travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  t.equal(await status(token), 200)
  const key = provider.jwks[0]!
  provider.jwks = Array.from({ length: 1001 }, (_, index) => ({ ...key, kid: `made up ${index}` }))
  t.equal(await status(provider.accessToken({ header: { kid: 'made up 7' } })), 200)
  t.equal(await status(token), 401)
  t.equal(provider.callsTo('jwks').length, 3, 'for a key that was forgotten')
})

t.test('keys that are published in time and change at every moment, under load: no good token is refused', async t => {
  const { status, provider } = await build(t)
  const keys = Array.from({ length: 6 }, (_, index) => rsaKey(`ahead-${index}`))
  provider.jwks = [provider.jwks[0]!, ...keys.map(key => publicJwk(key))]
  t.equal(await status(provider.accessToken()), 200)
  const statuses = new Map<number, number>()
  const client = async () => {
    while (provider.jwks.length > 1) {
      const code = await status(provider.accessToken())
      statuses.set(code, (statuses.get(code) ?? 0) + 1)
    }
  }
  const clients = Array.from({ length: 100 }, client)
  for (const key of keys) {
    await delay(100)
    provider.key = key
    provider.jwks.shift() // until there is but the last one
  }
  await Promise.all(clients)
  t.same([...statuses.keys()], [200])
  t.ok(statuses.get(200)! > 100)
  t.equal(provider.callsTo('jwks').length, 1)
})

// Tokens that were verified a moment ago

t.test('a token is verified once while it is used again', async t => {
  const verified = countVerifications(t)
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  for (let count = 0; count < 5; count++) t.equal(await status(token), 200)
  t.equal(verified(), 1)
  t.equal(await status(provider.accessToken()), 200)
  t.equal(verified(), 2)
})

t.test('a token is verified each time where an option says so', async t => {
  const verified = countVerifications(t)
  const { status, provider } = await build(t, { cache: false })
  const token = provider.accessToken()
  for (let count = 0; count < 3; count++) t.equal(await status(token), 200)
  t.equal(verified(), 3)
})

t.test('a token that is over is not remembered', async t => {
  const verified = countVerifications(t)
  const clock = travelInTime(t, { isFrozen: true })
  const { status, provider } = await build(t)
  const token = provider.accessToken({ claims: { exp: clock.now() + 60 } })
  t.equal(await status(token), 200)
  clock.advance(59)
  t.equal(await status(token), 200)
  t.equal(verified(), 1)
  clock.advance(1)
  t.equal(await status(token), 200, 'clocks may differ')
  t.equal(verified(), 2)
  clock.advance(30)
  t.equal(await status(token), 401)
})

t.test('a token is verified anew when keys came since', async t => {
  const verified = countVerifications(t)
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  await status(token)
  provider.rotateKeys()
  await status(provider.accessToken())
  t.equal(verified(), 2)
  t.equal(await status(token), 200)
  t.equal(verified(), 3)
  t.equal(await status(token), 200)
  t.equal(verified(), 3)
})

t.test('J20 what was remembered is not mistaken for what is almost the same', async t => {
  const { status, provider } = await build(t)
  const token = provider.accessToken()
  t.equal(await status(token), 200)
  const [header, , signature] = token.split('.')
  t.equal(await status(`${header}.${encode({ iss: provider.issuer, sub: 'auth0|root', aud: AUDIENCE, exp: 9_999_999_999 })}.${signature}`), 401)
  t.equal(await status(token.slice(0, -8)), 401)
})

t.test('J20 invalid tokens leave nothing behind, however many', async t => {
  const verified = countVerifications(t)
  const { verify } = unit()
  const token = hmac({})
  await verify(token)
  for (let count = 0; count < 6000; count++) await verify(hmac({}, 'x'.repeat(32))).catch(() => {})
  const before = verified()
  await verify(token)
  t.equal(verified(), before, 'nothing that was remembered was forgotten for them')
  const invalid = hmac({}, 'x'.repeat(32))
  for (let count = 0; count < 2; count++) await verify(invalid).catch(() => {})
  t.equal(verified(), before + 2, 'nor is any of them remembered')
})

t.test('J20 of the valid tokens those that were used last are remembered', async t => {
  const verified = countVerifications(t)
  const { verify } = unit()
  const [first, second] = [hmac({}), hmac({})]
  await verify(first)
  await verify(second)
  for (let count = 0; count < 4998; count++) await verify(hmac({}))
  await verify(first)
  t.equal(verified(), 5000)
  await verify(hmac({}))
  await verify(first)
  t.equal(verified(), 5001)
  await verify(second)
  t.equal(verified(), 5002, 'the one that nobody used for longest was forgotten')
})

t.test('J20 a token is remembered by its hash: a dump of the memory shall not hold them all', async t => {
  const names: unknown[] = []
  const { set } = LruMap.prototype
  LruMap.prototype.set = function (name, value) {
    names.push(name)
    return set.call(this, name, value)
  }
  t.teardown(() => { LruMap.prototype.set = set })
  const token = hmac({})
  await unit().verify(token)
  t.same(names, [createHash('sha256').update(token).digest('base64')])
})

const SECRET = '0f9a3c7e5b1d2846f0e1d2c3b4a59687'

/** A token by a secret: thousands in a second. */
function hmac (claims: Json, secret = SECRET): string {
  const input = `${encode({ alg: 'HS256', typ: 'at+jwt' })}.${encode({ iss: 'jobs', sub: 'job-1', aud: AUDIENCE, exp: Math.floor(Date.now() / 1000) + 3600, jti: randomUUID(), ...claims })}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

/** What verifies tokens, without a server around it. */
function unit () {
  const jobs = { issuer: 'jobs', isOwn: false, audiences: [AUDIENCE], algorithms: ['HS256'], secret: new TextEncoder().encode(SECRET), mustBeTyped: true, clockTolerance: 30, rolesClaim: null, permissionsClaim: null }
  const config = { issuers: [jobs], isCached: true, isRevoked: undefined } as unknown as ApiConfig
  const nobody = () => { throw new Error('nobody is asked') }
  const issuers = createTokenIssuers(config, { signer: nobody, signerOf: nobody }, Fastify().log)
  const bearerTokens = createBearerTokens(config, { issuers, verifyPossession: async () => {}, introspect: null })
  const request = (token: string) => ({ headers: { authorization: `Bearer ${token}` }, raw: { rawHeaders: [] }, query: {} }) as unknown as AnyRequest
  return { verify: (token: string) => bearerTokens(request(token), () => true) }
}

/** Counts how many signatures are verified. */
function countVerifications (t: Test): () => number {
  const { subtle } = globalThis.crypto
  let count = 0
  const verify = (...call: Parameters<typeof subtle.verify>) => {
    count++
    return Object.getPrototypeOf(subtle).verify.apply(subtle, call)
  }
  Object.defineProperty(subtle, 'verify', { value: verify, configurable: true })
  t.teardown(() => Reflect.deleteProperty(subtle, 'verify'))
  return () => count
}

const by = (kid: string): Forge => ({ header, claims }) => signJwt({ header: { ...header, kid }, payload: claims, key: rsaKey(kid) })

/** Holds the next answer with keys: it tells those that were there when it was asked for. */
function holdKeys (provider: Provider) {
  let [arrive, goOn] = [() => {}, () => {}]
  const isThere = new Promise<void>(resolve => { arrive = resolve })
  const opened = new Promise<void>(resolve => { goOn = resolve })
  provider.failNext('jwks', async ({ honest }) => {
    const answer = await honest()
    arrive()
    await opened
    return answer
  })
  return { isThere, goOn }
}

async function build (t: Test, api: Partial<ApiOptions> = {}) {
  const { app, provider, logs } = await buildApp(t, {
    auth0: { api: { audience: AUDIENCE, dpop: 'off', ...api } },
    routes: app => app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, async request => request.auth0.user)
  })
  const get = (token: string) => app.inject({ url: '/api', headers: { authorization: `Bearer ${token}` } })
  return { provider, logs, get, status: async (token: string) => (await get(token)).statusCode }
}
