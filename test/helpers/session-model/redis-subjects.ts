import type { Cluster, Redis } from 'ioredis'
import type { Test } from 'tap'
import type { SessionOptions } from '../../../lib/index.ts'
import { startCluster, startRedis, until, type RedisServer } from '../redis.ts'
import { indexOf, pluginSubject, type Identified, type Subject } from './subjects.ts'

const IDLE = 60 // seconds
const LONG_AGO = IDLE * 1000 + 1 // milliseconds

/** As if it had been used that much earlier. */
const AGE = "if redis.call('HEXISTS', KEYS[1], 'u') == 1 then redis.call('HINCRBY', KEYS[1], 'u', ARGV[1]) end"

/** Two hosts, each with connections of its own to one redis-server. */
export async function redisSubject (t: Test): Promise<Subject> {
  const server = await startRedis(t)
  return inRedis(t, 'redis-server', [server], server.client(), [{ redis: server.url }, { redis: server.url }])
}

/** Two hosts, each with a client of its own to a Redis Cluster of three masters. */
export async function clusterSubject (t: Test): Promise<Subject> {
  const cluster = await startCluster(t)
  return inRedis(t, 'Redis Cluster', cluster.nodes, cluster.client(), [{ redis: cluster.client() }, { redis: cluster.client() }])
}

async function inRedis (t: Test, name: string, servers: readonly RedisServer[], redis: Redis | Cluster, sessions: [SessionOptions, SessionOptions]): Promise<Subject> {
  const connections = servers.map(server => server.client())
  await until('Redis answers', () => redis.ping().then(() => true, () => false))

  /** An entry of an index, as if it had been made long ago. */
  async function age (index: string, session: string): Promise<void> {
    const entry = (await redis.call('ZRANGE', index, 0, -1) as string[]).find(entry => entry.endsWith(`.${session}`))
    if (entry === undefined) return
    const madeAt = String(Number.parseInt(entry, 10) - LONG_AGO).padStart(15, '0')
    await redis.zrem(index, entry)
    await redis.zadd(index, '1', `${madeAt}.${session}`)
  }

  const subject = await pluginSubject(t, {
    name,
    sessions: [{ ...sessions[0], idleTimeout: IDLE }, { ...sessions[1], idleTimeout: IDLE }],
    expire: async (session, login, others) => {
      await redis.del(`auth0:session:${session}`)
      if (login !== null) for (const index of indexesOf(login)) await age(index, session)
      for (const other of others) await redis.call('EVAL', AGE, 1, `auth0:session:${other}`, -IDLE * 600)
      return 0
    },
    loseEverything: async () => {
      await Promise.all(connections.map(connection => connection.flushall()))
      return 0
    }
  })
  for (const host of subject.hosts) await until('the host is connected', () => host.list('nobody').then(() => true, () => false))
  await subject.tidy()
  return subject
}

function indexesOf ({ sub, sid }: Pick<Identified, 'sub' | 'sid'>): string[] {
  return [indexOf('sub', sub), indexOf('sid', sid)].map(name => `auth0:index:{${name}}`)
}
