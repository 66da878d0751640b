import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { APP_BASE_URL, build } from './candidates/ours.ts'
import { logIn } from './sessions.ts'
import { createTenant } from './tenant.ts'

const LATENCY = 100 // milliseconds of the token endpoint
const LIFETIME = 1 // seconds of an access token
const AT_ONCE = 50

/** What it took to give many requests a new access token at once. */
export interface Refreshes {
  sessionsIn: string
  /** From the first request to the last answer, one for each expiry. */
  milliseconds: number[]
  /** Of the token endpoint, for one expiry. */
  calls: number
  failures: number
}

/** Lets access tokens expire so many times, each time with fifty requests of one person at once. */
export async function measureRefreshes (redisUrl: string, expiries: number): Promise<Refreshes[]> {
  return [await measure('an encrypted cookie', {}, expiries), await measure('Redis', { session: { redis: redisUrl } }, expiries)]
}

async function measure (sessionsIn: string, options: Parameters<typeof build>[2], expiries: number): Promise<Refreshes> {
  const tenant = createTenant(LIFETIME)
  let calls = 0
  const result: Refreshes = { sessionsIn, milliseconds: [], calls: 0, failures: 0 }
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (String(init?.body ?? '').includes('grant_type=refresh_token')) {
      calls++
      await delay(LATENCY)
    }
    return tenant.fetch(input, init as { body?: unknown })
  }
  const app = build(tenant, Fastify({ trustProxy: true }), { fetch, authorizationParams: { scope: 'openid profile email offline_access' }, ...options })
  app.register(async app => {
    app.get('/token', { preHandler: app.requireAuth() }, async request => request.auth0.getAccessToken())
  })
  const headers = { host: new URL(APP_BASE_URL).host, 'x-forwarded-proto': 'https', cookie: await logIn(app, tenant, 0) }
  for (let expiry = 0; expiry < expiries; expiry++) {
    await delay(LIFETIME * 1000 + 100)
    const startedAt = performance.now()
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => app.inject({ url: '/token', headers })))
    result.milliseconds.push(performance.now() - startedAt)
    result.failures += answers.filter(({ statusCode }) => statusCode !== 200).length
    const renewed = answers.flatMap(({ cookies }) => cookies).find(({ value }) => value !== '')
    if (renewed !== undefined) headers.cookie = `${renewed.name}=${renewed.value}`
  }
  await app.close()
  result.calls = calls / expiries
  return result
}
