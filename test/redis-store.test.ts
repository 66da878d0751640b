import { Cluster, Redis } from 'ioredis'
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5'
import t from 'tap'
import { RedisStore } from '../lib/index.ts'
import { nameOf } from '../lib/store/session-store.ts'
import { Gate } from './helpers/gates.ts'
import { skipWithoutRedis, startCluster, startRedis, until } from './helpers/redis.ts'
import { buildSite, RECOMMENDED, redisPlace, type Members } from './helpers/session-site.ts'

const HOUR = 3600 // seconds
const idle = { lazyConnect: true }

t.test('in Redis', { skip: skipWithoutRedis }, async t => {
  t.test('H3 writes those members alone that changed', async t => {
    const { build, server } = await redisPlace(t)
    const { visitor } = await build()
    const ada = visitor()
    await ada.run(session => { Object.assign(session, { a: 1, b: { c: 2 }, d: 3 }) })
    const written = async (act: (session: Members) => unknown) => {
      await server.command('CONFIG', 'RESETSTAT')
      await ada.run(act)
      const stats = String(await server.command('INFO', 'commandstats'))
      return ['evalsha', 'hset', 'hdel', 'pexpire'].map(command => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0))
    }
    t.same(await written(() => {}), [0, 0, 0, 0], 'nothing')
    t.same(await written(session => { session.a = 1 }), [0, 0, 0, 0], 'the same')
    t.same(await written(session => { session.a = 2 }), [1, 2, 0, 1], 'one member, and when it was used')
    t.same(await written(session => { delete session.d }), [1, 1, 1, 1])
    t.same(await written(session => { Object.assign(session, { a: 3, b: 4 }) }), [1, 3, 0, 1])
    t.same(await written(async session => {
      session.a = 4
      await session.save()
      await session.save()
    }), [1, 2, 0, 1])
  })

  t.test('many requests at once on a session that is not due to be extended write nothing', async t => {
    const { build, server, pass } = await redisPlace(t)
    const { visitor } = await build(RECOMMENDED, { idleTimeout: HOUR })
    const ada = visitor()
    await ada.run(session => { session.cart = 1 })
    await pass(300)
    await server.command('CONFIG', 'RESETSTAT')
    await Promise.all(Array.from({ length: 200 }, () => ada.run(session => session.cart)))
    t.notMatch(await server.command('INFO', 'commandstats'), /cmdstat_(hset|evalsha|pexpire)/)
    await pass(100)
    await ada.run(session => session.cart)
    await until('it is extended', async () => /cmdstat_pexpire:calls=/.test(String(await server.command('INFO', 'commandstats'))))
  })

  t.test('H7 who reads Redis finds no id that a cookie could be made of', async t => {
    const { build, server } = await redisPlace(t)
    const { visitor } = await build()
    const ada = visitor()
    const id = (await ada.run(session => { session.cart = ['book']; return session.sessionId })).body
    const [key, ...more] = await server.command('KEYS', '*') as string[]
    t.same([key, more], [keyOf(id), []])
    const dump = JSON.stringify([key, await server.command('HGETALL', key!)])
    t.match(dump, /book/)
    for (const known of [id, ada.cookie!, ada.cookie!.split('.')[1]!]) t.notOk(dump.includes(known))
  })

  t.test('H9 a member that is no JSON: the record counts as absent, is removed, and told once', async t => {
    const { build, server } = await redisPlace(t)
    const { visitor, store } = await build()
    let told = 0
    store.on('corrupt', () => { told++ })
    for (const [field, value, count] of [['d:cart', '{', 1], ['a', 'soon', 2]] as const) {
      const ada = visitor()
      const id = (await ada.run(session => { session.cart = 1; return session.sessionId })).body
      await server.command('HSET', keyOf(id), field, value)
      const { cookie } = ada
      for (let time = 0; time < 2; time++) {
        ada.cookie = cookie
        t.same(await ada.members(), {})
        t.not((await ada.run(session => session.sessionId)).body, id)
      }
      t.equal(told, count)
      t.equal(await server.command('HEXISTS', keyOf(id), 't'), 1)
    }
  })

  t.test('away: 503, and what was to end ends when it is back', async t => {
    const { build, server } = await redisPlace(t)
    const { visitor, store } = await build()
    const [ada, newcomer] = [visitor(), visitor()]
    const events: string[] = []
    store.on('unavailable', (error: Error) => { events.push(`unavailable ${error instanceof Error}`) })
    store.on('available', () => { events.push('available') })
    const id = (await ada.run(session => { session.cart = 1; return session.sessionId })).body
    const { cookie } = ada
    const gate = new Gate()
    const leaving = await gate.hold(headers => ada.run(async (session, request) => {
      await gate.pass(request)
      await session.destroy()
    }, headers))

    server.stop()
    for (const answer of [await leaving.release(), await ada.run(() => {}), await newcomer.run(() => {}), await newcomer.run(session => session.regenerate())]) {
      t.match([answer.statusCode, answer.json().code], [503, 'FST_AUTH0_SESSION_UNAVAILABLE'])
      t.same(answer.cookies, [])
    }
    t.same(events, ['unavailable true'])

    server.resume()
    await until('Redis is back', () => events.length === 2)
    t.same(events, ['unavailable true', 'available'])
    ada.cookie = cookie
    await until('the session has ended', async () => await server.command('HEXISTS', keyOf(id), 't') === 1)
    t.same(await ada.members(), {})
  })

  t.test('away while it is reloaded: what is there is neither lost nor prolonged', async t => {
    const { build, server } = await redisPlace(t)
    const { visitor, store } = await build({}, { absoluteTimeout: HOUR })
    const ada = visitor()
    const id = (await ada.run(session => { session.cart = 1; return session.sessionId })).body
    const key = keyOf(id)
    const ends = await server.command('HGET', key, 'a')
    await ada.run(async (session, request) => {
      server.stop()
      await t.rejects(session.reload(), { code: 'FST_AUTH0_SESSION_UNAVAILABLE' })
      server.resume()
      await until('Redis is back', () => store.records.list('nothing').then(() => true, () => false))
      Object.assign(request.session, { seen: true })
    })
    t.same(await ada.members(), { cart: 1, seen: true })
    t.equal(await server.command('HGET', key, 'a'), ends)
  })

  t.test('close: lets go of the client, which stays open', async t => {
    const server = await startRedis(t)
    const client = server.client()
    const listeners = () => client.eventNames().map(name => [name, client.listenerCount(name)])
    const before = listeners()
    const store = new RedisStore({ client })
    t.notSame(listeners(), before)
    store.close()
    t.same(listeners(), before)
    t.equal(await client.ping(), 'PONG')
  })

  t.test('in a Cluster', async t => {
    const { client } = await startCluster(t)
    const { visitor } = await buildSite(t, new RedisStore({ client: client(), prefix: 'shop:' }))
    const visitors = Array.from({ length: 20 }, visitor)
    for (const [number, one] of visitors.entries()) await one.run(session => { session.number = number })
    t.same(await Promise.all(visitors.map(one => one.members())), visitors.map((_one, number) => ({ number })))
  })
})

const wrong: Array<[name: string, make: () => unknown, says: RegExp]> = [
  ['no options', () => Reflect.construct(RedisStore, []), /"client".* must be a client of ioredis, such as new Redis\(/],
  ['no client', () => Reflect.construct(RedisStore, [{}]), /"client"/],
  ['a URL', () => Reflect.construct(RedisStore, [{ client: 'redis://localhost:6379' }]), /"client"/],
  ['options of ioredis', () => Reflect.construct(RedisStore, [{ client: { host: 'localhost' } }]), /"client"/],
  ['the client itself', () => Reflect.construct(RedisStore, [new Redis(idle)]), /"client"/],
  ['a prefix with braces', () => new RedisStore({ client: new Redis(idle), prefix: '{shop}:' }), /"prefix".* without/],
  ['a prefix that is no text', () => Reflect.construct(RedisStore, [{ client: new Redis(idle), prefix: 5 }]), /"prefix"/],
  ['an idle time-out of nothing', () => new RedisStore({ client: new Redis(idle), idleTimeout: 0 }), /"idleTimeout".* number of seconds/]
]
for (const [name, make, says] of wrong) {
  t.test(`says what is wrong with ${name}`, async t => {
    t.throws(make, { code: 'FST_AUTH0_OPTIONS_INVALID', message: says })
  })
}

t.test('takes whatever client of ioredis, by its types, too', async t => {
  const stores = [
    new RedisStore({ client: new Redis(idle) }),
    new RedisStore({ client: new Cluster([{ host: '127.0.0.1', port: 1 }], idle) }),
    new RedisStore({ client: new Redis5(idle) }),
    new RedisStore({ client: new Cluster5([{ host: '127.0.0.1', port: 1 }], idle) })
  ]
  for (const store of stores) t.ok(store.records)
})

function keyOf (id: string): string {
  return `auth0:session:${nameOf(id)}`
}
