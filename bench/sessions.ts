import type { FastifyInstance } from 'fastify'
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

async function logIn (app: FastifyInstance, tenant: ReturnType<typeof createTenant>, number: number): Promise<string> {
  const headers = { host: new URL(APP_BASE_URL).host }
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

/** Bytes of plain text in our cookie: it is a JWE (RFC 7516 §7.1), and A256GCM keeps the length. */
function sealedBytes (cookie: string): number {
  const parts = cookie.split('.')
  if (parts.length !== 5) throw new Error(`Expected the session in one cookie, got ${cookie}`)
  return Buffer.from(parts[3] as string, 'base64url').length
}

/** The same claims, and in place of the rest as much text as makes the payload `bytes` long. */
function floorCookie (number: number, bytes: number): string {
  const session = { user: person(number), idToken: '' }
  session.idToken = 'x'.repeat(bytes - JSON.stringify(session).length)
  return `session=${seal(session)}`
}
