import type { RedisOptions } from 'ioredis'
import type { RedisClient } from './redis-link.ts'

/** A client that is ours to close. */
export interface OwnRedisClient extends RedisClient {
  disconnect (): void
}

type OwnOptions = Omit<RedisOptions, 'replyMapping'>

/** An application may choose otherwise. */
const DEFAULTS: OwnOptions = {
  connectTimeout: 2000,
  socketTimeout: 1000, // a connection whose other end is gone without a word is given up, and made anew
  sentinelCommandTimeout: 1000,
  connectionName: 'fastify-auth0'
}

/** An application may not choose otherwise. */
const FIXED = {
  // A command that was answered with 503 is never carried out later.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  // Redis is found again, soon after it is back.
  retryStrategy: (times: number) => Math.min(times * 50, 500),
  // The shapes that our scripts' answers have.
  stringNumbers: false,
  replyMapping: 'legacy'
} as const

/**
 * Makes a client from a URL (`redis://`, `rediss://`) or ioredis' options, `sentinels` among them. It connects in the background,
 * and again whenever the connection is lost: Redis need not be there yet.
 *
 * ioredis' options count, except those that decide what happens without a connection: `enableOfflineQueue`,
 * `autoResendUnfulfilledCommands`, `maxRetriesPerRequest` and `retryStrategy`; and `stringNumbers` and `replyMapping`.
 */
export async function connectRedis (connection: string | object): Promise<OwnRedisClient> {
  const { Redis } = await import('ioredis')
  const client = typeof connection === 'string'
    ? new Redis(connection, { ...DEFAULTS, ...FIXED })
    : new Redis({ ...DEFAULTS, ...afterFailover(connection), ...connection, ...FIXED })
  // A URL's query may set options, too.
  Object.assign(client.options, FIXED)
  // RedisLink hears of errors, too; without any listener ioredis prints them.
  return client.on('error', () => {})
}

/** Behind Sentinels, a server that has become a replica is left for the new master. */
function afterFailover (connection: object): OwnOptions {
  return 'sentinels' in connection ? { reconnectOnError: error => error.message.startsWith('READONLY') } : {}
}
