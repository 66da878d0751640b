import type { FastifyInstance } from 'fastify'
import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'
import type { SessionStoreLike } from '../store/session-store.ts'
import { forbidCaching } from './caching.ts'
import { isSet, unsetCookie, type CookieAttributes } from './cookies.ts'
import { hasCookie, hideStaleCookie } from './server-session.ts'
import { createSessionIdSigner } from './session-id-signer.ts'

/** What @fastify/session needs to know. */
export interface SessionPluginOptions {
  store: SessionStoreLike
  cookieName: string
  attributes: CookieAttributes
  /** Seconds; the store ends sessions earlier. */
  absoluteTimeout: number
  secrets: readonly string[]
  /** Whatever else has the same secret: its cookies are not ours. */
  realm: readonly string[]
}

/** On requests whose `request.session` is taken. */
const TAKEN = Symbol('fastify-auth0 keeps its logins in request.session')

/** Registers @fastify/session, and @fastify/cookie where that is missing, unless the application did. */
export async function registerSession (app: FastifyInstance, { store, cookieName, attributes, absoluteTimeout, secrets, realm }: SessionPluginOptions): Promise<void> {
  if (isRegistered(app)) return
  const [{ default: cookie }, { default: session }] = await Promise.all([import('@fastify/cookie'), import('@fastify/session')])
  if (!app.hasRequestDecorator('cookies')) await app.register(cookie)
  // Before its own hook, which clears such cookies.
  app.addHook('onSend', (request, _reply, _payload, done) => {
    hideStaleCookie(request, cookieName)
    done()
  })
  await app.register(session, {
    store: store as never, // its type says what sessions are made of
    cookieName,
    secret: createSessionIdSigner(secrets, realm),
    cookie: { path: '/', httpOnly: true, ...attributes, maxAge: absoluteTimeout * 1000 },
    // Its defaults would write every session at every request, and begin one for every visitor.
    saveUninitialized: false,
    rolling: false
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (isSet(reply, cookieName)) forbidCaching(reply)
    // It lasts as long as its session may. Set once more by an answer that comes late, it would take the place of one from a login since.
    if (hasCookie(request, cookieName)) unsetCookie(reply, cookieName)
    done()
  })
}

/**
 * Reserves `request.session` of a context, which has room for one login: another instance would end it, and not see its own.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} when it is taken
 */
export function claimSession (app: FastifyInstance): void {
  if (app.hasRequestDecorator(TAKEN)) throw new FST_AUTH0_OPTIONS_INVALID('- Option "session": another instance keeps its logins in request.session here. Keep those of one in cookies, or register the two in contexts beside each other')
  app.decorateRequest(TAKEN, null)
}

/**
 * Whether the application has registered @fastify/session.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} when `request.session` is something else
 */
export function isRegistered (app: FastifyInstance): boolean {
  if (app.hasDecorator('decryptSession')) return true
  if (!app.hasRequestDecorator('session')) return false
  throw new FST_AUTH0_OPTIONS_INVALID('- Option "session.store" or "session.redis": request.session is taken by another plugin than @fastify/session. Leave that out, or keep sessions in cookies')
}
