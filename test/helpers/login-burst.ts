import { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { RedisLink } from '../../lib/store/redis-link.ts'
import { RedisRecords } from '../../lib/store/redis-records.ts'
import type { Place } from '../../lib/store/records.ts'
import { newEntry, newRecord } from './records.ts'

// A process of its own, to be killed: logs people in and out at the port that it is told, many at once, and says when it has begun.

const PEOPLE = 5
const AT_ONCE = 20

const redis = new Redis({ host: '127.0.0.1', port: Number(process.argv[2]) })
const records = new RedisRecords(new RedisLink(redis), 'auth0:', () => {})

async function logIn (person: number): Promise<string> {
  const session = randomUUID()
  const places: Place[] = []
  for (const index of [`sub ${person}`, `sid ${session}`].map(name => name.replace(' ', '-'))) {
    const entered = await records.enter(index, newEntry(session))
    if (entered.outcome === 'entered') places.push({ index, entry: entered.entry })
  }
  await records.create(session, newRecord({ places, fields: { cart: '[]' } }))
  return session
}

async function comeAndGo (person: number): Promise<void> {
  const session = await logIn(person)
  await records.commit(session, { cart: '["book"]' })
  await records.replaceLogin(session, 1, 'sealed again')
  if (Math.random() < 0.5) await records.end(session)
}

async function forEver (act: () => Promise<void>): Promise<never> {
  for (;;) await act().catch(() => {}) // a machine that is busy gives no answer in time
}

await redis.ping()
console.log('begun')
await Promise.all(Array.from({ length: AT_ONCE }, (_, number) => forEver(() => comeAndGo(number % PEOPLE))))
