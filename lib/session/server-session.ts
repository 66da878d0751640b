import { promisify } from 'node:util'
import { FST_AUTH0_OPTIONS_INVALID, FST_AUTH0_SESSION_UNAVAILABLE, FST_AUTH0_TRUST_PROXY_MISSING } from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { HANDLE } from '../store/handle.ts'
import type { SessionStoreLike } from '../store/session-store.ts'
import { isFailure } from './explained-store.ts'

/** A cookie with the id of a session. */
export interface SessionCookie {
  readonly name: string
  readonly attributes: { readonly domain?: string | null, readonly path: string, readonly secure: boolean }
}

/** `request.session`, as @fastify/session has it. */
export interface ServerSession {
  readonly sessionId: string
  readonly encryptedSessionId: string
  readonly cookie: SessionCookie['attributes']
  [member: string]: unknown
  regenerate (keep: string[]): Promise<void>
  destroy (): Promise<void>
  save (): Promise<void>
}

/** What @fastify/session and @fastify/cookie add. Not by their types: an application may have others of the same names. */
interface WithSession {
  session: ServerSession | null
  sessionStore: unknown
  cookies: Record<string, string | undefined>
}

interface WithCookies {
  clearCookie (name: string, attributes: object): void
}

/** Members that are not the application's. */
const FOREIGN = new Set(['cookie', 'sessionId', 'encryptedSessionId', HANDLE])

/**
 * The session of a request; `null` when it was destroyed, or the cookie's path does not cover the request.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} 500 when @fastify/session has another store than we
 */
export function sessionOf (request: AnyRequest, store: SessionStoreLike): ServerSession | null {
  const { session, sessionStore } = request as unknown as WithSession
  if (sessionStore !== store) {
    throw new FST_AUTH0_OPTIONS_INVALID('- Option "session.store": @fastify/session is registered with another store. Give both the same one')
  }
  return session?.sessionId === undefined ? null : session
}

/**
 * Verifies that the cookie of a session would be set: @fastify/session leaves a `Secure` one out, and does not say so, when the request seems to have
 * come over http.
 *
 * @throws {FST_AUTH0_TRUST_PROXY_MISSING} 400
 * @throws {FST_AUTH0_OPTIONS_INVALID} 500 when the application registered @fastify/session for https, and is on http
 */
export function verifyCookieIsSet (request: AnyRequest, isSecure: boolean): void {
  const { session } = request as unknown as WithSession
  if (request.protocol === 'https') return
  if (isSecure) throw new FST_AUTH0_TRUST_PROXY_MISSING()
  if (session?.cookie?.secure === true) throw new FST_AUTH0_OPTIONS_INVALID('- Option "appBaseUrl" is http, and @fastify/session has a Secure cookie, which is never set there: register it with "cookie: { secure: false }"')
}

/** The application's own members of a session. */
export function ownFieldsOf (session: ServerSession): Record<string, unknown> {
  return Object.fromEntries(Object.entries(session).filter(([name]) => !FOREIGN.has(name)))
}

/**
 * Gives the session a new id, against session fixation (ASVS 5.0 §7.2.4), and ends the one under the old id.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export function regenerateSession (request: AnyRequest, keepsFields: boolean): Promise<ServerSession> {
  return replaceSession(request, async holder => {
    // Destroyed by this very request, or outside of the cookie's path.
    if (holder.session?.sessionId === undefined) await load(request, '')
    await holder.session.regenerate(keepsFields ? Object.keys(ownFieldsOf(holder.session)) : [])
  })
}

/**
 * Gives the request the session that another one began: as though it came with its cookie.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export function joinSession (request: AnyRequest, encryptedSessionId: string): Promise<ServerSession> {
  return replaceSession(request, async () => load(request, encryptedSessionId))
}

async function replaceSession (request: AnyRequest, replace: (holder: { session: ServerSession }) => Promise<void>): Promise<ServerSession> {
  const holder = request as unknown as { session: ServerSession }
  const sent = sentCookieOf(request)
  try {
    await available(replace(holder))
  } finally {
    if (sent !== null) hideStaleCookie(request, sent.name)
  }
  return holder.session
}

/** Gives the request the session of a signed id; an empty one for what is none. */
function load (request: AnyRequest, encryptedSessionId: string): Promise<void> {
  const { decryptSession } = request.server as unknown as { decryptSession (sessionId: string, request: AnyRequest, done: (error?: Error) => void): void }
  return promisify(decryptSession)(encryptedSessionId, request)
}

/**
 * Writes the session, and has its cookie set.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export async function saveSession (session: ServerSession): Promise<void> {
  await available(session.save())
}

/**
 * Whether a session is still in its store: what another request destroyed must not be written again.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export function isStored (session: ServerSession | null, store: SessionStoreLike): Promise<boolean> {
  if (session === null) return Promise.resolve(false)
  return available(new Promise((resolve, reject) =>
    store.get(session.sessionId, (error, found) => isFailure(error) ? reject(error) : resolve(found != null))))
}

/** @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 */
export async function destroySession (request: AnyRequest): Promise<void> {
  await available((request as unknown as { session: ServerSession }).session.destroy())
}

/** The cookie that the session of a request came with; `null` when it came with none. */
export function sentCookieOf (request: AnyRequest): SessionCookie | null {
  const { session, cookies } = request as unknown as WithSession
  if (session?.sessionId === undefined) return null
  // One that was signed with an older secret is of the same session.
  const isOf = (cookie = '') => cookie.endsWith(session.encryptedSessionId) || cookie.includes(`${session.sessionId}.`)
  const [name] = Object.entries(cookies).find(([, value]) => isOf(value)) ?? []
  return name === undefined ? null : { name, attributes: session.cookie }
}

/**
 * Keeps @fastify/session from clearing a cookie whose session is over, or has another id by now. It would do so without `Secure`, which browsers refuse for a
 * name that begins with `__Host-`; and the answer to a request from before a login would take away the new session.
 */
export function hideStaleCookie (request: AnyRequest, name: string): void {
  const { session, cookies } = request as unknown as WithSession
  if (session?.sessionId === undefined) return // nothing is cleared either
  if (cookies[name] !== session.encryptedSessionId) cookies[name] = undefined
}

/** Whether a request came with the cookie of the session that it has. */
export function hasCookie (request: AnyRequest, name: string): boolean {
  const { session, cookies } = request as unknown as WithSession
  return session?.encryptedSessionId !== undefined && cookies[name] === session.encryptedSessionId
}

/** Makes the browser forget the cookie of a session: @fastify/session leaves that of a destroyed one. */
export function clearSessionCookie (reply: AnyReply, { name, attributes: { domain, path, secure } }: SessionCookie): void {
  (reply as unknown as WithCookies).clearCookie(name, { ...domain == null ? {} : { domain }, path, secure, httpOnly: true })
}

/** What a store of others throws says nothing to a visitor. */
async function available<T> (work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof FST_AUTH0_SESSION_UNAVAILABLE ? error : new FST_AUTH0_SESSION_UNAVAILABLE({ cause: error })
  }
}
