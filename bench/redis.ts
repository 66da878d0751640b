import type { Test } from 'tap'
import { startRedis as start, type RedisServer } from '../test/helpers/redis.ts'

const VARIABLE = 'BENCH_REDIS_URL'

/** A redis-server of the bench's own, on a free port. */
export interface BenchRedis extends RedisServer {
  end (): void
}

export async function startRedis (): Promise<BenchRedis> {
  const teardowns: Array<() => unknown> = []
  const server = await start({ teardown: (work: () => unknown) => { teardowns.push(work) } } as unknown as Test)
  return { ...server, end: () => { for (const work of teardowns) work() } }
}

/** Tells the processes that are started from now on where it is. */
export function announceRedis ({ url }: RedisServer): void {
  process.env[VARIABLE] = url
}

export function redisUrl (): string {
  const url = process.env[VARIABLE]
  if (url === undefined) throw new Error(`${VARIABLE} names no redis-server`)
  return url
}
