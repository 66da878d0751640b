// Refreshes in bursts: `tsx evidence/refreshes.ts [expiries]`. Prints what it found as JSON.
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Test } from 'tap'
import auth0, { type Auth0Options } from '../lib/index.ts'
import { secret } from '../test/helpers/app.ts'
import { Browser } from '../test/helpers/browser.ts'
import { travelInTime } from '../test/helpers/clock.ts'
import { startHost, startProvider, type Host } from '../test/helpers/processes.ts'
import { Provider } from '../test/helpers/provider.ts'
import type { Answer } from '../test/helpers/provider-faults.ts'
import { startRedis } from '../test/helpers/redis.ts'

/** What bursts of requests for access tokens made of one login. */
export interface Refreshes {
  sessions: string
  processes: number
  /** At once, at each expiry. */
  requests: number
  expiries: number
  tokenCalls: number
  /** Spent refresh tokens that were used. */
  reuses: number
  /** Requests that got no token which the provider knows. */
  failures: number
  /** Milliseconds. */
  slowest: number
}

const REQUESTS = 50
const LATENCIES = [0, 500, 1000, 2000] // milliseconds of the token endpoint, in turn
const LIFETIME = 600 // seconds of an access token
const LOST = 0.3 // of answers, where some never arrive
const SETTINGS: Auth0Options = { authorizationParams: { scope: 'openid profile offline_access' } }

const expiries = Number(process.argv[2] ?? 20)
const teardowns: Array<() => unknown> = []
// All that the helpers want of a test.
const lifetime = { teardown: (end: () => unknown) => { teardowns.unshift(end) } } as unknown as Test
const clock = travelInTime(lifetime)

const found = [...await inRedis(), await inCookies()]
console.log(JSON.stringify(found))
for (const end of teardowns) await end()
process.exit()

async function inRedis (): Promise<Refreshes[]> {
  const redis = await startRedis(lifetime)
  const provider = Object.assign(await startProvider(lifetime), { accessTokenLifetime: LIFETIME })
  const hosts = await Promise.all([1, 2, 3, 4].map(() => startHost(lifetime, provider, { ...SETTINGS, session: { redis: redis.url } }, { isMeasured: false })))
  const results: Refreshes[] = []
  for (const count of [1, 2, 4]) results.push(await spread('in Redis', provider, hosts.slice(0, count), hosts))
  return results
}

async function spread (sessions: string, provider: Provider, hosts: Host[], all: Host[]): Promise<Refreshes> {
  const browser = new Browser({ baseUrl: hosts[0]!.url, provider })
  await browser.login('/login?returnTo=/me')
  return measure(sessions, provider, hosts.length, async () => {
    clock.advance(LIFETIME)
    await Promise.all(all.map(host => host.advance(LIFETIME)))
    return () => Array.from({ length: REQUESTS }, (_, at) => browser.fetch(`${hosts[at % hosts.length]!.url}/token`))
  })
}

/** One process and a browser whose answers arrive in any order, and some never. */
async function inCookies (): Promise<Refreshes> {
  const provider = Object.assign(new Provider({ issuer: 'http://127.0.0.1:9/' }), { accessTokenLifetime: LIFETIME })
  const app = Fastify({ forceCloseConnections: true })
  lifetime.teardown(() => app.close())
  const { issuer, clientId, clientSecret } = provider
  const appBaseUrl = 'http://localhost:3000'
  await app.register(auth0, { ...SETTINGS, issuer, clientId, clientSecret, secret, appBaseUrl, fetch: provider.fetch })
  app.get('/me', async request => request.auth0.user)
  app.get('/token', async request => request.auth0.getTokenSet())
  app.get<{ Params: { note: string } }>('/note/:note', async ({ auth0, params }) => {
    await auth0.updateSession(params)
    return auth0.getTokenSet()
  })
  const browser = new Browser({ baseUrl: appBaseUrl, app, provider })
  await browser.login('/login?returnTo=/me')
  const site = new URL(appBaseUrl)
  const send = (url: string) => app.inject({ url, headers: { host: site.host, cookie: browser.cookies.header(site) } })
  const keep = ({ headers }: Awaited<ReturnType<typeof send>>) => { for (const header of [headers['set-cookie'] ?? []].flat()) browser.cookies.keep(header, site, 'strict') }
  return measure('in encrypted cookies; answers in any order, three in ten never arrive', provider, 1, async () => {
    keep(await send('/me')) // whatever the browser missed it gets with this one
    clock.advance(LIFETIME)
    return () => Array.from({ length: REQUESTS }, async (_, at) => {
      const answer = await send(at % 5 === 0 ? `/note/${at}` : '/token')
      delay(Math.random() * 50).then(() => { if (Math.random() > LOST) keep(answer) })
      return answer
    })
  })
}

/** @param expire lets the tokens expire, and gives what sends the requests */
async function measure (
  sessions: string, provider: Provider, processes: number, expire: () => Promise<() => Array<Promise<{ statusCode: number, json: () => { accessToken: string } }>>>
): Promise<Refreshes> {
  const before = { calls: provider.refreshes.length, reuses: provider.reuses }
  let failures = 0
  let slowest = 0
  for (let expiry = 0; expiry < expiries; expiry++) {
    const send = await expire()
    provider.fail('token', late(LATENCIES[expiry % LATENCIES.length]!))
    const startedAt = performance.now()
    const answers = await Promise.all(send().map(async sent => {
      const answer = await sent
      slowest = Math.max(slowest, performance.now() - startedAt)
      return answer
    }))
    failures += answers.filter(({ statusCode, json }) => statusCode !== 200 || provider.tokenInfo(json().accessToken) === null).length
    await delay(60) // for answers on their way
  }
  provider.heal()
  return { sessions, processes, requests: REQUESTS, expiries, tokenCalls: provider.refreshes.length - before.calls, reuses: provider.reuses - before.reuses, failures, slowest }
}

function late (milliseconds: number): Answer {
  return async ({ signal, honest }) => {
    await delay(milliseconds, undefined, { signal })
    return honest()
  }
}
