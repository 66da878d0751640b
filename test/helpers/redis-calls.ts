import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../../lib/errors.ts'
import { connectRedis } from '../../lib/store/redis-client.ts'
import { RedisLink, type RedisClient } from '../../lib/store/redis-link.ts'
import { until } from './redis.ts'

/** Milliseconds for what takes 225 where nothing else is going on. */
export const PATIENCE = 1000

/** Milliseconds for what takes microseconds. */
export const AT_ONCE = 200

/** A link that remembers what it told, and how often its client was asked. */
export function watched (t: Test, client: RedisClient) {
  let count = 0
  const { call } = client
  client.call = (...request) => {
    count++
    return call.apply(client, request)
  }
  const link = new RedisLink(client)
  const events: string[] = []
  link.on('unavailable', cause => {
    events.push('unavailable')
    t.comment(`unavailable: ${cause.message}`)
  })
  link.on('available', () => { events.push('available') })
  t.teardown(() => link.close())
  return { link, events, touched: () => count }
}

/** As `watched`, once the client is connected: on a busy machine that may take longer than a call. */
export async function connected (t: Test, client: RedisClient) {
  await until('the client is connected', () => client.status === 'ready')
  return watched(t, client)
}

/** A client that we make. */
export async function own (t: Test, connection: string | object): Promise<RedisClient> {
  const client = await connectRedis(connection)
  t.teardown(() => client.disconnect())
  return client
}

/** A client as applications make them, with ioredis' defaults. */
export function theirs (t: Test, port: number): Redis {
  const client = new Redis({ host: '127.0.0.1', port })
  t.teardown(() => client.disconnect())
  return client
}

interface Refusal {
  within: number
  because?: RegExp
  isQuiet?: boolean
}

/** Asserts that a call fails as it does without Redis, and in time. */
export async function refuses (t: Test, call: Promise<unknown>, { within, because = /./, isQuiet = false }: Refusal): Promise<void> {
  const startedAt = performance.now()
  const error = await call.then(() => null, error => error)
  const took = performance.now() - startedAt
  if (!isQuiet) t.comment(`refused after ${took.toFixed(2)} ms: ${error?.cause?.message}`)
  t.ok(error instanceof FST_AUTH0_SESSION_UNAVAILABLE)
  t.match(error?.cause?.message, because)
  t.ok(took < within, `within ${within} ms`)
}

/** Waits until a link has told that Redis is back. */
export async function recovers (t: Test, events: string[]): Promise<void> {
  const startedAt = performance.now()
  await until('Redis is available', () => events.at(-1) === 'available')
  t.comment(`available after ${(performance.now() - startedAt).toFixed(0)} ms`)
}
