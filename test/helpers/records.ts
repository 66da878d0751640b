import { Cluster, type Redis } from 'ioredis'
import type { Test } from 'tap'
import { MemoryRecords } from '../../lib/store/memory-records.ts'
import type { NewEntry, NewRecord, Records } from '../../lib/store/records.ts'
import { RedisLink, type RedisClient } from '../../lib/store/redis-link.ts'
import { RedisRecords } from '../../lib/store/redis-records.ts'
import { travelInTime } from './clock.ts'
import { startCluster, startRedis } from './redis.ts'

export const HOUR = 3_600_000 // milliseconds
export const DAY = 24 * HOUR

/** Records under test, and what a test can do to them from outside. */
export interface Subject {
  records: Records
  /** How often a record was told to be corrupt. */
  corrupt: () => number
  /** Lets milliseconds go by, for whatever is kept. */
  pass: (milliseconds: number) => Promise<void>
  /** Puts a session into an index as it was an hour ago; it may be over since then. */
  enterLongAgo: (index: string, session: string) => Promise<string>
  /** What stays for ever. */
  eternal: () => Promise<string[]>
}

export type Start = (t: Test) => Promise<Subject>

/** What begins to have subjects: one server for all of them. */
export const kinds: Array<[name: string, needsRedis: boolean, begin: (t: Test) => Promise<Start>]> = [
  ['in memory', false, async () => inMemory],
  ['in Redis', true, async t => {
    const client = (await startRedis(t)).client()
    return t => inRedis(t, client)
  }],
  ['in a Redis Cluster', true, async t => {
    const client = (await startCluster(t)).client()
    return t => inRedis(t, client)
  }]
]

/** A session that begins: an hour without use, a day at most. */
export function newRecord (more: Partial<NewRecord> = {}): NewRecord {
  return { fields: {}, login: 'sealed', places: [], idleTimeout: HOUR, absoluteTimeout: DAY, notAfter: null, ...more }
}

export function newEntry (session: string, more: Partial<NewEntry> = {}): NewEntry {
  return { session, issuedAt: 1000, idleTimeout: HOUR, absoluteTimeout: DAY, limit: null, refusesBeyond: false, ...more }
}

async function inMemory (t: Test): Promise<Subject> {
  const clock = travelInTime(t)
  const records = new MemoryRecords(1000)
  const pass = async (milliseconds: number) => clock.advance(milliseconds / 1000)
  return {
    records,
    corrupt: () => 0,
    pass,
    enterLongAgo: async (index, session) => {
      await pass(-HOUR)
      const entered = await records.enter(index, newEntry(session, { idleTimeout: 1 }))
      await pass(HOUR)
      return entered.outcome === 'entered' ? entered.entry : ''
    },
    eternal: async () => []
  }
}

/** As `RedisRecords` name it; nobody can set the clock of Redis, but times can be taken from what it keeps. */
const AGE = `
if redis.call('HEXISTS', KEYS[1], 'a') == 1 then
  redis.call('HINCRBY', KEYS[1], 'u', -ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'a', -ARGV[1])
end
`

async function inRedis (t: Test, client: Redis | Cluster): Promise<Subject> {
  for (const master of mastersOf(client)) await master.flushall()
  const { records, corrupt } = redisRecords(t, client)
  const keys = async () => (await Promise.all(mastersOf(client).map(master => master.keys('*')))).flat()
  return {
    records,
    corrupt,
    pass: async milliseconds => {
      for (const key of await keys()) {
        if (await client.type(key) === 'hash') await client.call('EVAL', AGE, 1, key, milliseconds)
        await client.pexpire(key, await client.pttl(key) - milliseconds)
      }
    },
    enterLongAgo: async (index, session) => {
      const enteredAt = Date.now() - HOUR
      const entry = `${String(enteredAt).padStart(15, '0')}.${session}`
      await client.zadd(`auth0:index:{${index}}`, enteredAt, entry)
      await client.pexpire(`auth0:index:{${index}}`, DAY)
      return entry
    },
    eternal: async () => {
      const lives = await Promise.all((await keys()).map(async key => [key, await client.pttl(key)] as const))
      return lives.filter(([, life]) => life === -1).map(([key]) => key)
    }
  }
}

export function redisRecords (t: Test, client: RedisClient, prefix: string = 'auth0:'): { records: RedisRecords, corrupt: () => number } {
  let count = 0
  const link = new RedisLink(client)
  t.teardown(() => link.close())
  return { records: new RedisRecords(link, prefix, () => { count++ }), corrupt: () => count }
}

function mastersOf (client: Redis | Cluster): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client]
}
