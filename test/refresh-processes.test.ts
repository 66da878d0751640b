import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { Browser, type BrowserResponse } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'
import { startHost, startProvider, type Host } from './helpers/processes.ts'
import type { Answer } from './helpers/provider-faults.ts'
import { skipWithoutRedis, startRedis, until } from './helpers/redis.ts'

const LIFETIME = 600 // seconds of an access token
const REQUESTS = 50
const LATENCIES = [0, 100, 300] // milliseconds, one for each expiry
const LEASE = 3000 // milliseconds
const authorizationParams = { scope: 'openid profile offline_access' }

t.test('processes that share a Redis', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const clock = travelInTime(t)
  const provider = await startProvider(t)
  provider.accessTokenLifetime = LIFETIME
  const inRedis: Auth0Options = { authorizationParams, session: { redis: redis.url } }
  const inCookies: Auth0Options = { authorizationParams, revocations: { redis: redis.url } }
  const [one, two, three, four, five, six] = await Promise.all([inRedis, inRedis, inRedis, inRedis, inCookies, inCookies].map(auth0 => startHost(t, provider, auth0, { isMeasured: false }))) as [Host, Host, Host, Host, Host, Host]
  const all = [one, two, three, four, five, six]

  /** All access tokens are over. */
  const expire = async () => {
    clock.advance(LIFETIME)
    await Promise.all(all.map(host => host.advance(LIFETIME)))
  }
  const logIn = async ({ url }: Host) => {
    const browser = new Browser({ baseUrl: url, provider })
    await browser.login('/login?returnTo=/me')
    return browser
  }
  /** On a machine that is too busy Redis answers too late: then people are told to try again, and do. */
  const token = async (browser: Browser, host: Host, attempts = 5): Promise<BrowserResponse> => {
    const answer = await browser.fetch(`${host.url}/token`)
    if (answer.statusCode !== 503 || answer.json().code !== 'FST_AUTH0_SESSION_UNAVAILABLE' || attempts === 1) return answer
    t.comment('Redis was too slow')
    await delay(200)
    return token(browser, host, attempts - 1)
  }
  const tokens = (browser: Browser, hosts: Host[], count: number) =>
    Promise.all(Array.from({ length: count }, (_, at) => token(browser, hosts[at % hosts.length]!)))
  const unusable = (answers: BrowserResponse[]) =>
    answers.filter(({ statusCode, json }) => statusCode !== 200 || provider.tokenInfo(json().accessToken)?.sub !== 'auth0|ada').map(({ statusCode, body }) => `${statusCode} ${body}`)

  const groups: Array<[name: string, hosts: Host[]]> = [
    ['sessions in Redis, one process', [one]], ['sessions in Redis, two processes', [one, two]], ['sessions in Redis, four processes', [one, two, three, four]],
    ['encrypted cookies, two processes with revocations in one Redis', [five, six]]
  ]
  for (const [name, hosts] of groups) {
    t.test(`D14, promise 3: ${REQUESTS} requests at once make one refresh: ${name}`, async t => {
      const browser = await logIn(hosts[0]!)
      for (const latency of LATENCIES) {
        await expire()
        provider.fail('token', late(latency))
        const before = provider.refreshes.length
        const answers = await tokens(browser, hosts, REQUESTS)
        t.same(unusable(answers), [], `${latency} ms`)
        t.equal(new Set(answers.map(({ json }) => json().accessToken)).size, 1)
        t.equal(provider.refreshes.length - before, 1)
        t.equal(provider.reuses, 0)
      }
    })
  }

  t.test('promise 4: a process is killed while it holds the lease; the others go on, and nobody is logged out', async t => {
    provider.heal()
    // What the provider made of the call by then: nothing, or it spent the refresh token, and Auth0's overlap lets it pass once more.
    const fates: Array<[name: string, victim: Host, fate: Answer]> = [
      ['it has not answered', three, ({ signal }) => hangUp(signal)],
      ['it has answered, and nobody heard', four, async ({ signal, honest }) => {
        await honest()
        return hangUp(signal)
      }]
    ]
    provider.reuseLeeway = 60_000
    const victims = []
    for (const [name, victim, fate] of fates) victims.push({ name, victim, fate, browser: await logIn(one) })
    await expire()
    for (const { name, victim, fate, browser } of victims) {
      const before = provider.refreshes.length
      provider.failNext('token', fate)
      const lost = t.rejects(browser.fetch(`${victim.url}/token`), `of the process: ${name}`)
      await until('the provider is asked', () => provider.refreshes.length === before + 1)
      await delay(50)
      const startedAt = performance.now()
      const others = tokens(browser, [one, two], REQUESTS)
      await delay(50)
      await victim.kill()
      await lost
      t.same(unusable(await others), [], name)
      const waited = performance.now() - startedAt
      t.ok(waited > LEASE / 2 && waited < LEASE + 1500, `${name}: ${waited.toFixed()} ms`)
      t.equal(provider.refreshes.length, before + 2)
      t.equal(provider.reuses, 0)
      t.match((await browser.fetch(`${one.url}/me`)).body, 'auth0|ada')
    }
  })
})

function late (milliseconds: number): Answer {
  return async ({ signal, honest }) => {
    await delay(milliseconds, undefined, { signal })
    return honest()
  }
}

function hangUp (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}
