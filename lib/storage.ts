import type { FastifyInstance } from 'fastify'
import { FST_AUTH0_OPTIONS_INVALID } from './errors.ts'
import { createLoginTransactions, TRANSACTION_LIFETIME, type LoginTransactions } from './login-transaction.ts'
import type { Config, RedisSource } from './options.ts'
import { createCookieSessions } from './session/cookie-sessions.ts'
import { claimCookie } from './session/cookie-owners.ts'
import type { CookieAttributes } from './session/cookies.ts'
import { explainedStore } from './session/explained-store.ts'
import { createForeignSessions } from './session/foreign-sessions.ts'
import { loginCodec } from './session/login-codec.ts'
import { NO_SESSIONS } from './session/no-sessions.ts'
import { Revocations } from './session/revocations.ts'
import { createSeal, type Codec, type Seal } from './session/seal.ts'
import { claimSession, isRegistered, registerSession } from './session/session-plugin.ts'
import type { Sessions } from './session/sessions.ts'
import { createStoreSessions } from './session/store-sessions.ts'
import { Successors } from './session/successors.ts'
import { MemoryRecords } from './store/memory-records.ts'
import { MemoryStore } from './store/memory-store.ts'
import type { Records } from './store/records.ts'
import { connectRedis } from './store/redis-client.ts'
import type { RedisClient } from './store/redis-link.ts'
import { RedisStore } from './store/redis-store.ts'
import { SessionStore, type SessionStoreLike } from './store/session-store.ts'

const REMEMBERED_REVOCATIONS = 100_000
const REMEMBERED_RENEWALS = 10_000 // under way at one time

/** What is kept of logins and sessions: in the browser, in cookies of our own, and in a store where there is one. */
export interface Storage {
  sessions: Sessions
  /** `null`: nobody logs in. */
  transactions: LoginTransactions | null
  /** What all processes have in common; `null`: nothing. */
  shared: Records | null
}

type SealFor = (purpose: string, lifetime: number, codec?: Codec) => Seal

/** @throws {FST_AUTH0_OPTIONS_INVALID} when something else on this server has the same cookies, or the same `request.session` */
export async function createStorage (app: FastifyInstance, config: Config): Promise<Storage> {
  const { name, hasLogins, preset, clientId, secrets, cookie, appBaseUrls } = config
  if (!hasLogins) return { sessions: NO_SESSIONS, transactions: null, shared: await connectRevocations(app, config) }
  // Whatever else has the same secret: another instance, another client or another provider does not open our cookies.
  const realm = [name, preset.issuer.href, clientId]
  const sealFor: SealFor = (purpose, lifetime, codec) => createSeal(secrets, JSON.stringify([purpose, ...realm]), lifetime, codec)
  claimCookie(app.server, cookie.name, appBaseUrls, [realm, secrets])
  return {
    ...await createSessions(app, config, realm, sealFor),
    transactions: createLoginTransactions(cookie.name, sealFor('login 1', TRANSACTION_LIFETIME), transactionAttributes(config))
  }
}

async function createSessions (app: FastifyInstance, config: Config, realm: string[], sealFor: SealFor): Promise<Pick<Storage, 'sessions' | 'shared'>> {
  const { session: times, cookie, isSecure, secrets, maxSessions } = config
  const attributes: CookieAttributes = { secure: isSecure, sameSite: cookie.sameSite }
  const shared = await connectRevocations(app, config)
  const revocations = shared && new Revocations(shared, realm, times.absoluteTimeout)
  const successors = new Successors(shared ?? new MemoryRecords(REMEMBERED_RENEWALS), shared && { records: shared, realm, seal: sealFor('successor 1', times.absoluteTimeout) })
  if (config.store === null) {
    return { shared, sessions: createCookieSessions({ ...times, ...cookie, attributes, revocations, successors, seal: sealFor('session 2', times.absoluteTimeout, loginCodec) }) }
  }
  claimSession(app)
  const store = await createStore(app, config.store, config)
  const plugin = { ...times, cookieName: cookie.name, attributes, secrets, realm }
  const options = { ...times, isSecure, seal: sealFor('stored session 2', times.absoluteTimeout) }
  if (store instanceof SessionStore) {
    await registerSession(app, { ...plugin, store })
    return { shared: store.records, sessions: createStoreSessions({ ...options, store, realm, maxSessions }) }
  }
  const foreign = isRegistered(app) ? store : explainedStore(store)
  await registerSession(app, { ...plugin, store: foreign })
  return { shared, sessions: createForeignSessions({ ...options, store: foreign, revocations, successors }) }
}

async function createStore (app: FastifyInstance, kept: NonNullable<Config['store']>, { session }: Config): Promise<SessionStoreLike> {
  if ('given' in kept) {
    const { given } = kept
    if (given instanceof RedisStore) logAvailability(app, given)
    if (given instanceof MemoryStore && process.env.NODE_ENV === 'production') app.log.warn('sessions are in the memory of this process: they end with it, and no other process knows them. Use session.redis')
    return given
  }
  if (isRegistered(app)) throw new FST_AUTH0_OPTIONS_INVALID('- Option "session.redis": @fastify/session is registered already, with a store of its own. Give that store as "session.store", best a RedisStore')
  const store = new RedisStore({ ...session, client: await clientOf(app, kept.redis) })
  logAvailability(app, store)
  return store
}

/** Where revocations are, and whatever else all processes must know of sessions that are not kept here. */
async function connectRevocations (app: FastifyInstance, { revocations }: Config): Promise<Records | null> {
  if (revocations === null) return null
  if (revocations.redis === null) {
    app.log.warn('revocations are in the memory of this process: other processes accept what was ended here. Use revocations.redis')
    return new MemoryRecords(REMEMBERED_REVOCATIONS)
  }
  const store = new RedisStore({ client: await clientOf(app, revocations.redis) })
  logAvailability(app, store)
  return store.records
}

/** A client of the application's is the application's to close. */
async function clientOf (app: FastifyInstance, source: RedisSource): Promise<RedisClient> {
  if ('client' in source) return source.client
  const client = await connectRedis(source.connection)
  app.addHook('onClose', async () => client.disconnect())
  return client
}

function logAvailability (app: FastifyInstance, store: RedisStore): void {
  store.on('unavailable', (error: Error) => app.log.error({ err: error }, 'Redis gives no answer: whoever has a session is told to try again'))
  store.on('available', () => app.log.info('Redis is back'))
  store.on('corrupt', () => app.log.warn('a session in Redis could not be read, and was removed'))
  app.addHook('onClose', async () => store.close())
}

/** The browser comes back from the provider's site: by a link, which `lax` allows, or by a form, which only `none` does. */
function transactionAttributes ({ isSecure, isFormPost }: Config): CookieAttributes {
  return isFormPost ? { secure: true, sameSite: 'none' } : { secure: isSecure, sameSite: 'lax' }
}
