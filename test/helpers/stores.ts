import cookie from '@fastify/cookie'
import fastifyRedis from '@fastify/redis'
import session from '@fastify/session'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { MemoryStore, RedisStore, type SessionOptions } from '../../lib/index.ts'
import { buildApp, secret, type BuildOptions, type Built } from './app.ts'
import { travelInTime } from './clock.ts'
import { until, type RedisServer } from './redis.ts'

/** How long sessions last, in seconds. */
export type Times = Required<Pick<SessionOptions, 'idleTimeout' | 'absoluteTimeout'>>

/** A way to keep sessions in a store of ours. */
export interface StoreKind {
  name: string
  /** Of the session, on https. */
  cookieName: string
  /** Where it is, unless it is in memory. */
  redis: RedisServer | null
  /** Like another one, but for the way to Redis. */
  isVariant?: boolean
  plan: (times: Times) => {
    before?: (app: FastifyInstance) => unknown
    session: (app: FastifyInstance) => SessionOptions
  }
}

export interface Kept extends Built {
  /** Of the session. */
  cookieName: string
  /** Lets time go by for the store: in Redis by its own clock, which nobody else looks at. */
  pass: (seconds: number) => Promise<void>
  /** Sends a request as it is, over what seems to be https. */
  send: (url: string, headers?: Record<string, string>) => Promise<LightMyRequestResponse>
  /** The session's cookie as the browser has it now, as a header. */
  cookie: () => string
}

const OURS = '__Host-auth0'
const THEIRS = 'sessionId' // @fastify/session's default

export function storeKinds (redis: RedisServer): StoreKind[] {
  const inRedis = { cookieName: OURS, redis }
  return [
    { name: 'a MemoryStore', cookieName: OURS, redis: null, plan: () => ({ session: () => ({ store: new MemoryStore() }) }) },
    { name: 'Redis, by URL', ...inRedis, plan: () => ({ session: () => ({ redis: redis.url }) }) },
    { name: 'Redis, by options of ioredis', ...inRedis, isVariant: true, plan: () => ({ session: () => ({ redis: { host: '127.0.0.1', port: redis.port } }) }) },
    { name: 'Redis, by a client', ...inRedis, isVariant: true, plan: () => ({ session: () => ({ redis: redis.client() }) }) },
    {
      name: 'Redis, by app.redis',
      ...inRedis,
      isVariant: true,
      plan: () => ({ before: app => app.register(fastifyRedis, { url: redis.url }), session: app => ({ redis: app.redis }) })
    },
    { name: 'a MemoryStore, with @fastify/session of the application', cookieName: THEIRS, redis: null, plan: times => ownSession(new MemoryStore(times)) },
    {
      name: 'a RedisStore, with @fastify/session of the application',
      cookieName: THEIRS,
      redis,
      plan: times => ownSession(new RedisStore({ ...times, client: redis.client() }))
    }
  ]
}

/** With the defaults of @fastify/session: a session for every visitor, written at every request. */
function ownSession (store: MemoryStore | RedisStore): ReturnType<StoreKind['plan']> {
  return {
    before: async app => {
      await app.register(cookie)
      await app.register(session, { store, secret })
    },
    session: () => ({ store })
  }
}

/** An application with sessions in a store. */
export async function buildKept (t: Test, kind: StoreKind, options: BuildOptions = {}): Promise<Kept> {
  const times = { idleTimeout: 1000, absoluteTimeout: 5000, ...options.auth0?.session }
  const { before, session } = kind.plan(times)
  const { redis } = kind
  await redis?.command('FLUSHALL')
  const clock = redis === null ? travelInTime(t) : null
  let app: FastifyInstance
  const built = await buildApp(t, {
    ...options,
    before: async instance => {
      app = instance
      await before?.(instance)
      await options.before?.(instance)
    },
    auth0: { ...options.auth0, get session () { return { ...times, ...session(app) } } }
  })
  await connected(built.app)
  return {
    ...built,
    cookieName: kind.cookieName,
    pass: async seconds => {
      clock?.advance(seconds)
      if (redis !== null) await age(redis, seconds)
    },
    send: (url, headers = {}) => built.app.inject({ url, headers: { 'x-forwarded-proto': 'https', ...headers } }),
    cookie: () => `${kind.cookieName}=${built.browser.cookie(kind.cookieName)}`
  }
}

/** Waits until an application reaches its Redis: on a busy machine that may take longer than a call. */
export async function connected (app: FastifyInstance): Promise<void> {
  await until('people can log in', async () => (await app.inject({ url: '/login', headers: { 'x-forwarded-proto': 'https' } })).statusCode !== 503)
}

// An entry of an index begins with the time at which it was made; a session knows its entries.
const AGE = `
local function older (entries, before)
  return string.gsub(entries, before .. '(%d+)%.', function (time) return string.format(before .. '%015d.', time - ARGV[1]) end)
end
for _, key in ipairs(redis.call('KEYS', 'auth0:session:*')) do
  if redis.call('HEXISTS', key, 'a') == 1 then
    redis.call('HINCRBY', key, 'u', -ARGV[1])
    redis.call('HINCRBY', key, 'a', -ARGV[1])
    local places = redis.call('HGET', key, 'x')
    if places then redis.call('HSET', key, 'x', (older(places, ' '))) end
    redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
  end
end
for _, key in ipairs(redis.call('KEYS', 'auth0:index:*')) do
  local entries = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for at = 1, #entries, 2 do
    redis.call('ZREM', key, entries[at])
    redis.call('ZADD', key, entries[at + 1] - ARGV[1], (older(entries[at], '')))
  end
  redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
end
`

/** Makes all sessions in Redis older: nobody can set its clock. */
export async function age (redis: RedisServer, seconds: number): Promise<void> {
  await redis.command('EVAL', AGE, 0, seconds * 1000)
}
