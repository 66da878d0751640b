import type { Config, MaxSessions, RedisSource, RevocationOptions, SessionOptions } from '../options.ts'
import type { RedisClient } from '../store/redis-link.ts'
import { SessionStore, type SessionStoreLike } from '../store/session-store.ts'
import { DEFAULTS } from './defaults.ts'
import type { Report, Source } from './source.ts'
import { parseObject, parseOneOf, parseWholeNumber } from './values.ts'

const MANY = { unit: 'sessions', max: 1000 }

/** Where sessions are kept, and what is known of them. */
export interface StorageConfig extends Pick<Config, 'store' | 'maxSessions' | 'revocations'> {
  /** Whether they can be ended from elsewhere than their browser. */
  knowsSessions: boolean
}

export function parseStorage ({ options, report }: Source): StorageConfig {
  const session: SessionOptions = parseObject('session', options.session, () => {}) // reported where times are read
  const store = parseStore(session, report)
  const isOurs = store !== null && ('redis' in store || store.given instanceof SessionStore)
  const revocations = parseRevocations(options.revocations, report)
  if (isOurs && revocations !== null) report('revocations', 'is for encrypted cookies and other stores: a RedisStore or a MemoryStore ends sessions itself. Leave it out')
  const maxSessions = parseMaxSessions(session.maxSessions, report)
  if (maxSessions !== null && !isOurs) report('session.maxSessions', 'needs sessions that the server knows: set "session.redis"')
  return { store, revocations, maxSessions, knowsSessions: isOurs || revocations !== null }
}

function parseStore ({ redis, store }: SessionOptions, report: Report): Config['store'] {
  if (redis !== undefined && store !== undefined) report('session.store', 'and "session.redis" exclude each other')
  if (redis !== undefined) return { redis: parseRedis('session.redis', redis, report) }
  if (store === undefined) return null
  if (!isStore(store)) report('session.store', 'must be a store of @fastify/session: an object with get, set and destroy, such as a RedisStore')
  return { given: store }
}

function parseRevocations (given: RevocationOptions | undefined, report: Report): Config['revocations'] {
  if (given === undefined) return null
  const { redis } = parseObject('revocations', given, report)
  return { redis: redis === undefined ? null : parseRedis('revocations.redis', redis, report) }
}

function parseRedis (name: string, given: unknown, report: Report): RedisSource {
  if (isClient(given)) return { client: given }
  const isUrl = typeof given === 'string' && /^rediss?:\/\//.test(given) && URL.canParse(given)
  if (!isUrl && !isPlainObject(given)) report(name, 'must be a URL such as "redis://localhost:6379", options of ioredis, or a client of ioredis such as app.redis')
  return { connection: given as string | object }
}

function parseMaxSessions (given: number | MaxSessions | undefined, report: Report): Config['maxSessions'] {
  if (given === undefined) return null
  const { onExceed } = DEFAULTS.maxSessions
  if (typeof given !== 'object') return { limit: parseWholeNumber('session.maxSessions', given, 1, MANY, report), onExceed }
  const { limit, ...more }: Partial<MaxSessions> = parseObject('session.maxSessions', given, report)
  if (limit === undefined && given !== null && !Array.isArray(given)) report('session.maxSessions.limit', 'is missing')
  return {
    limit: parseWholeNumber('session.maxSessions.limit', limit, 1, MANY, report),
    onExceed: parseOneOf('session.maxSessions.onExceed', more.onExceed, onExceed, ['end-oldest', 'refuse-login'], report)
  }
}

function isStore (given: unknown): given is SessionStoreLike {
  return typeof given === 'object' && given !== null && ['get', 'set', 'destroy'].every(verb => verb in given && typeof given[verb as keyof typeof given] === 'function')
}

function isClient (given: unknown): given is RedisClient {
  return typeof given === 'object' && given !== null && 'call' in given && typeof given.call === 'function' && 'status' in given
}

function isPlainObject (given: unknown): boolean {
  return typeof given === 'object' && given !== null && [Object.prototype, null].includes(Object.getPrototypeOf(given))
}
