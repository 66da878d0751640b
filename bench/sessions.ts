import { randomBytes } from 'node:crypto'
import { sign } from '@fastify/cookie'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { PREFIX, SECRET } from './candidates/by-hand.ts'
import { build as buildOnRedis } from './candidates/ours-redis.ts'
import { APP_BASE_URL, build } from './candidates/ours.ts'
import { seal } from './floor-seal.ts'
import { person } from './people.ts'
import { createTenant } from './tenant.ts'

/** What the browsers of a run send as `Cookie`. */
export interface SessionCookies {
  /** One for each person, made by fastify-auth0 in a real login against a tenant in memory. */
  ours: string[]
  /** Many more, of the same people: their sessions, sealed anew by `updateSession`. */
  unseen: string[]
  /** One for each person, holding as many bytes in the floor's own seal. */
  floor: string[]
}

/** What browsers send whose sessions are in Redis. */
export interface StoredSessionCookies {
  /** One for each person, made by fastify-auth0 in a real login. */
  ours: string[]
  /** One for each person, of a session written by hand. */
  byHand: string[]
  /** For each person the name of a value that is as long as what is written by hand. */
  floor: string[]
}

/** Logs in so many people through the plugin, and makes the floor's cookies as large as theirs. */
export async function makeSessions (people: number, unseenCount: number): Promise<SessionCookies> {
  const tenant = createTenant()
  const app = build(tenant)
  app.register(async app => {
    app.post('/again', async request => request.auth0.updateSession({}))
  })
  const ours: string[] = []
  for (let number = 0; number < people; number++) ours.push(await logIn(app, tenant, number))
  const unseen: string[] = []
  for (let count = 0; count < unseenCount; count++) unseen.push(await sealAgain(app, ours[count % people] as string))
  await app.close()
  return { ours, unseen, floor: ours.map((cookie, number) => floorCookie(number, sealedBytes(cookie))) }
}

/** Logs in so many people through the plugin, with sessions in Redis, and writes as much by hand. */
export async function makeStoredSessions (people: number, redisUrl: string): Promise<StoredSessionCookies> {
  const redis = new Redis(redisUrl)
  const tenant = createTenant()
  const app = buildOnRedis(tenant, Fastify({ trustProxy: true }))
  const cookies: StoredSessionCookies = { ours: [], byHand: [], floor: [] }
  for (let number = 0; number < people; number++) cookies.ours.push(await logIn(app, tenant, number))
  const bytes = await storedBytes(redis)
  for (let number = 0; number < people; number++) {
    const sessionId = randomBytes(24).toString('base64url')
    const json = JSON.stringify({ cookie: { expires: null, originalMaxAge: null, sameSite: 'lax', secure: true, path: '/', httpOnly: true, domain: null }, ...sessionOfSize(number, bytes) })
    await redis.mset(PREFIX + sessionId, json, sessionId, json)
    cookies.byHand.push(`sessionId=${encodeURIComponent(sign(sessionId, SECRET))}`)
    cookies.floor.push(`session=${sessionId}`)
  }
  await app.close()
  redis.disconnect()
  return cookies
}

/** Bytes of plain text in a login that the plugin stored: all of them are of one size. */
async function storedBytes (redis: Redis): Promise<number> {
  for (const key of await redis.keys('auth0:session:*')) {
    const login = await redis.hget(key, 'l')
    if (login !== null) return sealedBytes(login) // else one that ended: that of the visitor who logged in
  }
  throw new Error('Nobody is logged in')
}

export async function logIn (app: FastifyInstance, tenant: ReturnType<typeof createTenant>, number: number): Promise<string> {
  const headers = { host: new URL(APP_BASE_URL).host, 'x-forwarded-proto': 'https' }
  const login = await app.inject({ url: '/login', headers })
  const authorizationUrl = new URL(login.headers.location as string)
  const query = new URLSearchParams({ code: tenant.codeFor(number, authorizationUrl), state: authorizationUrl.searchParams.get('state') ?? '' })
  const callback = await app.inject({ url: `/callback?${query}`, headers: { ...headers, cookie: cookieHeader(login.cookies) } })
  if (callback.statusCode !== 303) throw new Error(`Login failed: ${callback.statusCode} ${callback.body}`)
  return cookieHeader(callback.cookies)
}

async function sealAgain (app: FastifyInstance, cookie: string): Promise<string> {
  const headers = { host: new URL(APP_BASE_URL).host, 'sec-fetch-site': 'same-origin', cookie }
  const { cookies } = await app.inject({ method: 'POST', url: '/again', headers })
  return cookieHeader(cookies)
}

function cookieHeader (cookies: Array<{ name: string, value: string }>): string {
  return cookies.filter(({ value }) => value !== '').map(({ name, value }) => `${name}=${value}`).join('; ')
}

/** Bytes of plain text in what we seal: it is a JWE (RFC 7516 §7.1), and A256GCM keeps the length. */
function sealedBytes (sealed: string): number {
  const parts = sealed.split('.')
  if (parts.length !== 5) throw new Error(`Expected one seal, got ${sealed}`)
  return Buffer.from(parts[3] as string, 'base64url').length
}

function floorCookie (number: number, bytes: number): string {
  return `session=${seal(sessionOfSize(number, bytes))}`
}

/** The same claims, and in place of the rest as much text as makes the JSON `bytes` long. */
function sessionOfSize (number: number, bytes: number): object {
  const session = { user: person(number), idToken: '' }
  session.idToken = 'x'.repeat(bytes - JSON.stringify(session).length)
  return session
}
