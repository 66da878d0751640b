import { createHash } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { StoredLogins } from '../test/helpers/stored-logins.ts'
import { build, SECRET } from './candidates/ours.ts'
import { person } from './people.ts'
import { startRedis } from './redis.ts'
import { CLIENT_ID, createTenant, ISSUER, type Tenant } from './tenant.ts'

const WARM_UP = 30 // people, before the first that counts
const FIRST_PERSON = 1_000_000 // the crowd's are below

/** What an errand took among so many sessions of others. */
export interface Ends {
  errand: string
  crowd: number
  /** One for each person, in an order that is the same in all crowds. */
  milliseconds: number[]
  /** Commands for one person, as sent by the application. */
  sent: number
  /** Commands for one person, as Redis counts them: those in scripts too. */
  commands: number
}

/** What sessions take in Redis, in bytes. */
export interface Bytes {
  /** Of its memory, for one session of many, with all that belongs to it. */
  perSession: number
  /** Of its memory, for the session itself. */
  itself: number
  /** The login in it, sealed. */
  sealed: number
}

/** Does what is asked for about one person, and gives how many sessions it found. */
type Errand = (crowd: Crowd, person: Person) => () => Promise<number>

const ERRANDS: Record<string, Errand> = {
  'back-channel logout by sid': ({ app, tenant }, { sids }) => {
    const token = tenant.logoutToken({ sid: sids[0] })
    return () => app.auth0.handleBackchannelLogout(token).then(count => count + sids.length - 1)
  },
  'back-channel logout by sub': ({ app, tenant }, { sub }) => {
    const token = tenant.logoutToken({ sub })
    return () => app.auth0.handleBackchannelLogout(token)
  },
  'sessions.list': ({ app }, { sub }) => () => app.auth0.sessions.list(sub).then(sessions => sessions.length)
}

/**
 * Measures what it costs to end or to list the sessions of one person among those of others: wall time, one after the other, and commands. The
 * crowds take turns, so that noise of the machine hits all alike.
 *
 * @param crowds how many sessions of others there are
 * @param people how many are asked about, with one to three sessions each
 */
export async function measureEnds (crowds: readonly number[], people: number): Promise<{ ends: Ends[], bytes: Bytes }> {
  const gathered: Crowd[] = []
  try {
    for (const size of crowds) gathered.push(await gather(size, people + WARM_UP))
    const ends: Ends[] = []
    for (const errand of Object.keys(ERRANDS)) ends.push(...await measureErrand(errand, gathered))
    return { ends, bytes: (gathered.at(-1) as Crowd).bytes }
  } finally {
    for (const crowd of gathered) await crowd.disperse()
  }
}

async function measureErrand (errand: string, crowds: Crowd[]): Promise<Ends[]> {
  const results = crowds.map(({ size }): Ends => ({ errand, crowd: size, milliseconds: [], sent: 0, commands: 0 }))
  const people = (crowds[0] as Crowd).people.get(errand) as Person[]
  for (const [at, person] of people.entries()) {
    for (const [which, crowd] of crowds.entries()) {
      const run = (ERRANDS[errand] as Errand)(crowd, person)
      const before = await crowd.count()
      const startedAt = performance.now()
      const found = await run()
      const took = performance.now() - startedAt
      const after = await crowd.count()
      if (found !== person.sids.length) throw new Error(`${errand} found ${found} sessions of ${person.sids.length}`)
      if (at < WARM_UP) continue
      const result = results[which] as Ends
      result.milliseconds.push(took)
      result.sent += (after.sent - before.sent) / (people.length - WARM_UP)
      result.commands += (after.commands - before.commands) / (people.length - WARM_UP)
    }
  }
  return results
}

/** Somebody, and the provider's ids of their sessions. */
interface Person {
  sub: string
  sids: string[]
}

/** Many people with sessions in a Redis of their own, and an application on it. */
interface Crowd {
  size: number
  app: FastifyInstance
  tenant: Tenant
  /** Whom each errand is about. */
  people: Map<string, Person[]>
  bytes: Bytes
  count (): Promise<{ sent: number, commands: number }>
  disperse (): Promise<void>
}

async function gather (size: number, perErrand: number): Promise<Crowd> {
  const server = await startRedis()
  const [redis, ours] = [new Redis(server.url), new Redis(server.url)]
  const logins = new StoredLogins({ client: redis, issuer: ISSUER, clientId: CLIENT_ID, secret: SECRET })
  const usedBefore = await usedMemory(redis)
  await logins.addAll(sessionsOf(0, size))
  const perSession = (await usedMemory(redis) - usedBefore) / size
  const [key] = await redis.keys('auth0:session:*') // all are of one size
  const itself = Number(await redis.memory('USAGE', key as string, 'SAMPLES', 0))
  const bytes = { perSession, itself, sealed: await redis.hstrlen(key as string, 'l') }

  const people = new Map<string, Person[]>()
  for (const [at, errand] of Object.keys(ERRANDS).entries()) {
    const first = FIRST_PERSON + at * perErrand
    people.set(errand, Array.from({ length: perErrand }, (_, index) => personAt(first + index)))
    await logins.addAll(sessionsOf(first, Infinity, first + perErrand))
  }
  logins.close()

  let sent = 0
  const { call } = ours
  ours.call = ((...request: Parameters<typeof call>) => {
    sent++
    return call.apply(ours, request)
  }) as typeof call
  const tenant = createTenant()
  const app = build(tenant, Fastify(), { session: { redis: ours } })
  await app.ready()
  return {
    size,
    app,
    tenant,
    people,
    bytes,
    count: async () => ({ sent, commands: await commands(redis) }),
    async disperse () {
      await app.close()
      for (const client of [redis, ours]) client.disconnect()
      server.end()
    }
  }
}

function personAt (number: number): Person {
  const sids = Array.from({ length: 1 + number % 3 }, (_, session) => createHash('sha256').update(`session ${session} of ${number}`).digest('base64url').slice(0, 32))
  return { sub: person(number).sub, sids }
}

/** So many sessions at most, of the people from one number to another. */
function * sessionsOf (first: number, limit: number, end = Infinity) {
  let left = limit
  for (let number = first; number < end; number++) {
    for (const sid of personAt(number).sids) {
      if (left-- <= 0) return
      yield { ...person(number), iss: ISSUER, sid }
    }
  }
}

async function usedMemory (redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
}

/** How many commands Redis has carried out, but for those that ask. */
async function commands (redis: Redis): Promise<number> {
  const stats = [...(await redis.info('commandstats')).matchAll(/cmdstat_(\S+):calls=(\d+)/g)]
  return stats.filter(([, name]) => name !== 'info').reduce((sum, [, , calls]) => sum + Number(calls), 0)
}
