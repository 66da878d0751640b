import session from '@fastify/session'
import type { InjectOptions } from 'fastify'
import type { Test } from 'tap'
import { MemoryStore, type AccessTokenOptions, type Auth0Options } from '../../lib/index.ts'
import { buildApp, type BuildOptions } from './app.ts'
import { travelInTime } from './clock.ts'
import type { Json } from './id-tokens.ts'
import type { Provider } from './provider.ts'
import type { RedisServer } from './redis.ts'
import { connected } from './stores.ts'

export const SCOPE = 'openid profile email offline_access'
export const API = 'https://api.example.com'
/** Seconds that an access token lives. */
export const LIFETIME = 3600

/** A way to keep sessions. */
export interface SessionKind {
  name: string
  options: () => Auth0Options
  /** Whether the login itself is in the browser's cookie. */
  isInCookie?: boolean
}

export function sessionKinds (redis: RedisServer): SessionKind[] {
  return [
    { name: 'encrypted cookies', options: () => ({}), isInCookie: true },
    { name: 'encrypted cookies, with revocations in Redis', options: () => ({ revocations: { redis: redis.url } }), isInCookie: true },
    { name: 'a MemoryStore', options: () => ({ session: { store: new MemoryStore() } }) },
    { name: 'Redis', options: () => ({ session: { redis: redis.url } }) },
    { name: 'a store of others', options: () => ({ session: { store: new session.MemoryStore() } }) },
    { name: 'a store of others, with revocations', options: () => ({ session: { store: new session.MemoryStore() }, revocations: {} }) }
  ]
}

export interface TokenSiteOptions extends BuildOptions {
  /** Whether time passes only by the clock that is given back. */
  isFrozen?: boolean
  /** Where the login begins. */
  page?: string
}

/**
 * Somebody logged in, on an application that tells their tokens. Routes beside the usual ones: `/token`, which takes the options of
 * `getAccessToken` as JSON.
 */
export async function buildTokenSite (t: Test, { isFrozen = false, page = '/login?returnTo=/me', ...options }: TokenSiteOptions = {}) {
  const clock = travelInTime(t, { isFrozen })
  const built = await buildApp(t, {
    ...options,
    auth0: { authorizationParams: { scope: SCOPE, audience: API }, ...options.auth0 },
    routes: async app => {
      app.route<{ Querystring: { options?: string } }>({
        method: ['GET', 'POST'],
        url: '/token',
        handler: async ({ auth0, query }) => auth0.getTokenSet(query.options === undefined ? undefined : JSON.parse(query.options))
      })
      if (options.routes !== false) await options.routes?.(app)
    }
  })
  await connected(built.app)
  const { app, browser, provider } = built
  provider.accessTokenLifetime = LIFETIME
  await browser.login(page)
  return {
    ...built,
    clock,
    /** The browser's cookies now, as a header. */
    cookie: () => browser.cookies.header(new URL('https://app.example.com')),
    /** Asks with a copy of a cookie, as a script of our own site does. */
    send: (url: string, cookie: string, { headers, ...more }: InjectOptions = {}) =>
      app.inject({ url, ...more, headers: { cookie, 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', ...headers } }),
    ask: (wanted?: AccessTokenOptions) => browser.fetch(`/token${wanted === undefined ? '' : `?options=${encodeURIComponent(JSON.stringify(wanted))}`}`),
    isLoggedIn: async () => (await browser.fetch('/me')).json().isAuthenticated as boolean
  }
}

/** An answer of the token endpoint that says no (RFC 6749 §5.2). */
export const says = (error: string, status = 400, headers: Record<string, string> = {}) => () =>
  new Response(JSON.stringify({ error, error_description: 'as the provider says' }), { status, headers: { 'content-type': 'application/json', ...headers } })

/** A refresh that the provider has done, and whose answer is on its way until the test lets it arrive. */
export interface HeldRefresh {
  /** When the provider has done it. */
  done: Promise<Json>
  release: () => void
}

/** Holds the answer to the next refresh. */
export function holdRefresh (provider: Provider): HeldRefresh {
  const [done, tell] = promised<Json>()
  const [opened, open] = promised<undefined>()
  provider.failNext('token', async ({ honest }) => {
    const answer = await honest()
    tell(await answer.clone().json() as Json)
    await opened
    return answer
  })
  return { done, release: () => open(undefined) }
}

function promised<T> (): [promise: Promise<T>, resolve: (value: T) => void] {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>(_resolve => { resolve = _resolve })
  return [promise, resolve]
}
