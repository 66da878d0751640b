import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster as Cluster6, Redis as Redis6 } from 'ioredis'
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5'
import t, { type Test } from 'tap'
import { hashSlot } from '../lib/store/hash-slot.ts'
import { BIRTH, sessionOf, TOMBSTONE, type Records } from '../lib/store/records.ts'
import type { RedisClient } from '../lib/store/redis-link.ts'
import { DAY, HOUR, newEntry, newRecord, redisRecords } from './helpers/records.ts'
import { skipWithoutRedis, startCluster, startRedis, until, type RedisServer } from './helpers/redis.ts'

type Command = [command: string, ...args: Array<string | number>]

const SESSION = 'auth0:session:a'
const NOT_BEFORE = 'auth0:not-before:{sub}'
const MARK = 'auth0:mark:m'
const LEASE = 'auth0:lease:l'
const TEXT = 'auth0:text:t'

t.test('H9 what cannot be read', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)

  const corruptions: Array<[name: string, ...commands: Command[]]> = [
    ['a text', ['SET', SESSION, 'text']],
    ['a list', ['DEL', SESSION], ['RPUSH', SESSION, 'l', 'v']],
    ['no end', ['HDEL', SESSION, 'a']],
    ['no idle time-out', ['HDEL', SESSION, 'i']],
    ['an end that is no number', ['HSET', SESSION, 'a', 'soon']],
    ['an idle time-out that is no number', ['HSET', SESSION, 'i', '']],
    ['fields of the application and nothing else', ['DEL', SESSION], ['HSET', SESSION, 'd:cart', '1']],
    ['a login and nothing else', ['DEL', SESSION], ['HSET', SESSION, 'l', 'sealed']],
    ['fields that we do not know', ['DEL', SESSION], ['HSET', SESSION, 'data', '{}', 'version', '1']]
  ]
  // Not what a write looks at.
  const others: typeof corruptions = [
    ['no version', ['HDEL', SESSION, 'v']],
    ['a version that is no number', ['HSET', SESSION, 'v', 'first']],
    ['no last use', ['HDEL', SESSION, 'u']],
    ['a last use that is no whole number', ['HSET', SESSION, 'u', '1.5']]
  ]
  const arrange = async (t: Test, commands: Command[]) => {
    await server.command('FLUSHALL')
    const subject = redisRecords(t, server.client())
    await subject.records.create('a', newRecord())
    for (const command of commands) await server.command(...command)
    return subject
  }

  for (const [name, ...commands] of [...corruptions, ...others]) {
    t.test(`${name}: counts as absent, and is removed`, async t => {
      const { records, corrupt } = await arrange(t, commands)
      t.equal(await records.read('a'), null)
      t.equal(corrupt(), 1)
      t.equal(await records.read('a'), null)
      t.equal(await records.create('a', newRecord()), false, 'as if it had ended')
      t.equal(corrupt(), 1, 'told once')
      t.ok(await lifeOf(server, SESSION) > 0)
    })
  }

  for (const [name, ...commands] of corruptions) {
    t.test(`${name}: nothing writes to it`, async t => {
      const { records } = await arrange(t, commands)
      t.equal(await records.commit('a', { cart: '2' }), false)
      t.equal(await records.touch('a'), false)
      t.equal(await records.replaceLogin('a', 1, 'sealed'), 'absent')
      t.equal(await records.read('a'), null)
    })
    t.test(`${name}: can be ended`, async t => {
      const { records } = await arrange(t, commands)
      await records.end('a')
      t.equal(await records.create('a', newRecord()), false)
      t.equal(await records.read('a'), null)
      t.ok(await lifeOf(server, SESSION) > 0)
    })
  }

  t.test('a record without a login, and without whatever else, can be begun anew', async t => {
    const { records } = await arrange(t, [['DEL', SESSION], ['HSET', SESSION, 'd:cart', '1']])
    t.equal(await records.create('a', newRecord({ login: null })), true)
    t.match(await records.read('a'), { fields: { cart: '1' }, version: 1, idleTimeout: HOUR })
    t.ok(await lifeOf(server, SESSION) > HOUR / 2)
  })

  t.test('an index that is something else is empty, and works', async t => {
    const { records } = await arrange(t, [])
    const spoil = async () => server.command('SET', 'auth0:index:{sub}', 'text')
    await spoil()
    t.same(await records.list('sub'), [])
    const { entry } = await records.enter('sub', newEntry('b')) as { entry: string }
    t.same(await records.list('sub'), [entry])
    await records.create('b', newRecord({ places: [{ index: 'sub', entry }] }))
    await spoil()
    t.same(await records.close('sub', 1, HOUR), [])
    await spoil()
    await records.prune('sub', [entry])
    await spoil()
    t.equal(await records.end('b'), true)
  })

  t.test('what is in an index without belonging there is dropped', async t => {
    const { records } = await arrange(t, [
      ['ZADD', 'auth0:index:{sub}', 1, 'noise', 1, '', 1, '000000000000001.text', 1, '000000000000001.garbled'],
      ['SET', 'auth0:session:text', 'text'], ['HSET', 'auth0:session:garbled', 'a', 'soon', 'u', '1', 'i', '1']
    ])
    await records.prune('sub', await records.list('sub'))
    t.same(await records.list('sub'), [])
  })

  for (const [name, command] of [['a text', ['SET', NOT_BEFORE, 'soon']], ['a list', ['RPUSH', NOT_BEFORE, '5000']]] satisfies Array<[string, Command]>) {
    t.test(`a not-before time that is ${name} does not count, and can be set`, async t => {
      const { records } = await arrange(t, [command])
      t.equal((await records.enter('sub', newEntry('b', { issuedAt: 1 }))).outcome, 'entered')
      await server.command('DEL', NOT_BEFORE)
      await server.command(...command)
      await records.close('sub', 1000, HOUR)
      t.equal((await records.enter('sub', newEntry('b', { issuedAt: 999 }))).outcome, 'ended')
    })
  }

  t.test('a lease that is something else is nobody\'s, and can be taken and given back', async t => {
    const { records } = await arrange(t, [['RPUSH', LEASE, 'first']])
    t.equal(await records.lease('l', 'second', HOUR), true)
    t.equal(await records.lease('l', 'first', HOUR), false)
    t.ok(await lifeOf(server, LEASE) > HOUR / 2)
    await server.command('DEL', LEASE)
    await server.command('RPUSH', LEASE, 'first')
    await records.release('l', 'first')
    t.equal(await records.lease('l', 'third', HOUR), true)
  })

  t.test('a text that is something else is not there, and can be kept', async t => {
    const { records } = await arrange(t, [['RPUSH', TEXT, 'first']])
    t.equal(await records.recall('t'), null)
    await records.keep('t', 'second', HOUR)
    t.equal(await records.recall('t'), 'second')
    t.ok(await lifeOf(server, TEXT) > HOUR / 2)
  })

  for (const [name, command] of [['a text', ['SET', MARK, 'soon']], ['nothing', ['SET', MARK, '']], ['a list', ['RPUSH', MARK, '5']]] satisfies Array<[string, Command]>) {
    t.test(`a mark that is ${name} is higher than any, and can be set`, async t => {
      const { records } = await arrange(t, [command])
      t.same(await records.marks(['m']), [Infinity])
      await records.mark('m', 7, HOUR)
      t.same(await records.marks(['m']), [7])
      t.ok(await lifeOf(server, MARK) > HOUR / 2)
    })
  }
})

t.test('every key expires', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { records } = redisRecords(t, server.client())
  const life = (key: string) => lifeOf(server, `auth0:${key}`)
  const near = (found: number, wanted: number, message: string) => t.ok(found <= wanted && found > wanted - 10_000, `${message}: ${found}`)

  const { entry } = await records.enter('sub', newEntry('a')) as { entry: string }
  near(await life('index:{sub}'), DAY + TOMBSTONE, 'an index outlives what is created within BIRTH')
  t.ok(BIRTH < TOMBSTONE)
  await records.enter('sub', newEntry('b', { absoluteTimeout: HOUR }))
  t.ok(await life('index:{sub}') > DAY + BIRTH, 'a shorter session does not shorten that')
  await records.enter('sub', newEntry('c', { absoluteTimeout: 2 * DAY }))
  near(await life('index:{sub}'), 2 * DAY + TOMBSTONE, 'a longer one lengthens it')

  await records.create('a', newRecord({ places: [{ index: 'sub', entry }] }))
  near(await life('session:a'), HOUR, 'a session, by its idle time-out')
  await records.create('b', newRecord({ idleTimeout: DAY, absoluteTimeout: HOUR }))
  near(await life('session:b'), HOUR, 'a session, by its absolute time-out')
  await server.command('PEXPIRE', SESSION, 60_000)
  await records.replaceLogin('a', 1, 'sealed')
  near(await life('session:a'), HOUR, 'a use')

  await records.close('sub', 1000, DAY)
  near(await life('not-before:{sub}'), DAY, 'a not-before time')
  await records.close('sub', 2000, HOUR)
  t.ok(await life('not-before:{sub}') > HOUR, 'a later one does not shorten that')
  await records.mark('m', 1, DAY)
  await records.mark('m', 1, HOUR)
  near(await life('mark:m'), DAY, 'a mark')

  await records.lease('l', 'owner', HOUR)
  near(await life('lease:l'), HOUR, 'a lease')
  await records.lease('l', 'owner', DAY)
  near(await life('lease:l'), DAY, 'a lease that is kept for longer')
  await records.release('l', 'owner')
  t.equal(await life('lease:l'), -2, 'a lease that was given back is not there')
  await records.keep('t', 'first', DAY)
  await records.keep('t', 'second', HOUR)
  near(await life('text:t'), HOUR, 'a text')

  await records.end('a')
  near(await life('session:a'), TOMBSTONE, 'that a session ended')
  await records.end('never there')
  near(await life('session:never there'), TOMBSTONE, 'that one ended which is not there')
  await records.prune('sub', await records.list('sub'))
  t.ok(await life('index:{sub}') > DAY)

  await records.create('over', newRecord({ idleTimeout: -1 }))
  t.equal(await life('session:over'), -2, 'what is over at once is not there')
})

t.test('each call touches one hash slot', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const client = server.client()
  const calls: Array<Array<string | number>> = []
  const recording = { status: 'ready', connect: async () => {}, on: () => {}, off: () => {}, call: (...request: [string, ...Array<string | number>]) => { calls.push(request); return client.call(...request) } }
  await tour(t, redisRecords(t, recording).records)

  const count = calls.length
  await redisRecords(t, recording).records.prune('sub', [])
  t.equal(calls.length, count, 'nothing to do is not asked')

  const keys = await Promise.all(calls.map(call => client.call('COMMAND', 'GETKEYS', ...call) as Promise<string[]>))
  for (const found of keys) t.equal(new Set(found.map(hashSlot)).size, 1, found.join(' '))
  t.equal(keys.filter(({ length }) => length === 2).length, calls.filter(([, , count]) => count === 2).length)
  t.ok(keys.some(({ length }) => length === 2))
})

t.test('scripts are there again', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t, { isPersistent: true })
  const { records } = redisRecords(t, server.client())
  await records.create('a', newRecord({ fields: { cart: '1' } }))
  await server.command('SCRIPT', 'FLUSH')
  t.equal(await records.commit('a', { cart: '2' }), true)
  await server.restart()
  await until('Redis is back', () => records.touch('a').catch(() => false))
  t.match(await records.read('a'), { fields: { cart: '2' }, login: 'sealed' })
  await tour(t, records)
})

t.test("an application's own client", { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { nodes } = await startCluster(t)
  const at = { host: '127.0.0.1', port: server.port }
  const ofCluster = nodes.map(({ port }) => ({ host: '127.0.0.1', port }))

  const clients: Record<string, () => RedisClient & { disconnect (): void }> = {
    'with a key prefix': () => new Redis6({ ...at, keyPrefix: 'mine:' }),
    'of ioredis 5': () => new Redis5(at),
    'of ioredis 5, with a key prefix': () => new Redis5({ ...at, keyPrefix: 'mine:' }),
    'of ioredis 5, to a Cluster': () => new Cluster5(ofCluster),
    'to a Cluster, with a key prefix': () => new Cluster6(ofCluster, { keyPrefix: 'mine:' }),
    'to a Cluster, that joins commands': () => new Cluster6(ofCluster, { enableAutoPipelining: true }),
    'that gives numbers as strings': () => new Redis6({ ...at, stringNumbers: true }),
    'that speaks RESP3': () => new Redis6({ ...at, protocol: 3 }),
    'that speaks RESP3, and gives its types': () => new Redis6({ ...at, protocol: 3, replyMapping: 'resp3' }),
    'that joins commands': () => new Redis6({ ...at, enableAutoPipelining: true }),
    'that connects when it is used': () => new Redis6({ ...at, lazyConnect: true }),
    'that shows where errors come from': () => new Redis6({ ...at, showFriendlyErrorStack: true })
  }
  for (const [name, connect] of Object.entries(clients)) {
    t.test(name, async t => {
      const client = connect()
      t.teardown(() => client.disconnect())
      await until('connected', () => ['ready', 'wait'].includes(client.status))
      await tour(t, redisRecords(t, client).records)
    })
  }

  t.test('has its prefix before ours', async t => {
    await server.command('FLUSHALL')
    const { records } = redisRecords(t, server.client({ keyPrefix: 'mine:' }), 'ours ü ')
    await records.create('a', newRecord())
    await records.lease('a', 'owner', HOUR)
    await records.keep('a', 'text', HOUR)
    t.same((await server.command('KEYS', '*') as string[]).sort(), ['mine:ours ü lease:a', 'mine:ours ü session:a', 'mine:ours ü text:a'])
  })
})

t.test('full: nothing is half written, and sessions still end', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t, { args: ['--maxmemory-policy', 'noeviction'] })
  const { records } = redisRecords(t, server.client())
  await tour(t, records)
  const { entry } = await records.enter('sub', newEntry('a')) as { entry: string }
  await records.create('a', newRecord({ places: [{ index: 'sub', entry }] }))
  await records.lease('l', 'owner', HOUR)
  await server.command('CONFIG', 'SET', 'maxmemory', '1')
  const before = await server.command('DBSIZE')
  const writes = [
    () => records.create('b', newRecord()), () => records.commit('a', { cart: '1' }), () => records.replaceLogin('a', 1, 'sealed'), () => records.touch('a'),
    () => records.enter('sub', newEntry('b')), () => records.close('sub', 1, HOUR), () => records.mark('b', 1, HOUR), () => records.lease('b', 'owner', HOUR), () => records.keep('b', 'text', HOUR)
  ]
  for (const write of writes) await t.rejects<unknown>(write(), { code: 'FST_AUTH0_SESSION_UNAVAILABLE' })
  t.equal(await server.command('DBSIZE'), before)
  t.match(await records.read('a'), { fields: {}, version: 1 })
  await records.release('l', 'owner')
  t.equal(await server.command('EXISTS', LEASE), 0)
  t.equal(await records.end('a'), true)
  t.same(await records.list('sub'), [])
  t.equal(await records.read('a'), null)
})

t.test('every verb says that Redis is away', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { records, corrupt } = redisRecords(t, server.client())
  await server.kill()
  const verbs = [
    () => records.read('a'), () => records.create('a', newRecord()), () => records.commit('a', { cart: '1' }), () => records.replaceLogin('a', 1, 'sealed'), () => records.touch('a'), () => records.end('a'),
    () => records.enter('sub', newEntry('a')), () => records.list('sub'), () => records.close('sub', 1, HOUR), () => records.prune('sub', ['000000000000001.a']), () => records.mark('m', 1, HOUR), () => records.marks(['m']),
    () => records.lease('l', 'owner', HOUR), () => records.release('l', 'owner'), () => records.keep('t', 'text', HOUR), () => records.recall('t')
  ]
  for (const verb of verbs) await t.rejects<unknown>(verb(), { code: 'FST_AUTH0_SESSION_UNAVAILABLE', statusCode: 503 })
  t.equal(corrupt(), 0)
})

t.test('O10 a process is killed amid many logins: no session is torn, each is in its indexes, and all expires', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const redis = server.client()
  for (let time = 0; time < 3; time++) {
    const child = spawn(process.execPath, ['--import', 'tsx', new URL('helpers/login-burst.ts', import.meta.url).pathname, String(server.port)], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME }, stdio: ['ignore', 'pipe', 'inherit']
    })
    const exit = once(child, 'exit')
    await Promise.race([once(child.stdout, 'data'), exit])
    await delay(50 + 100 * time)
    t.equal(child.exitCode, null)
    child.kill('SIGKILL')
    await exit
  }
  await delay(100) // for what was on its way

  const names = await redis.keys('auth0:session:*')
  const sessions = (await Promise.all(names.map(async key => ({ key, ...await redis.hgetall(key) })))).filter(session => !('t' in session)) as Array<Record<string, string>>
  t.comment(`${names.length} sessions, ${sessions.length} of them not ended`)
  t.ok(names.length > sessions.length && sessions.length > 10)
  for (const { key, a, i, l, u, v, x, 'd:cart': cart } of sessions) {
    const places = String(x).split('\n').map(place => place.split(' ') as [string, string])
    const scores = await Promise.all(places.map(([index, entry]) => redis.zscore(`auth0:index:{${index}}`, entry)))
    const isWhole = [a, i, u, v].every(number => /^\d+$/.test(String(number))) && l !== undefined && cart !== undefined
    if (!isWhole || places.length !== 2 || scores.includes(null)) t.fail(`${key} is torn`)
  }
  for (const key of await redis.keys('*')) if (await redis.pttl(key) < 0) t.fail(`${key} stays for ever`)
  t.pass()
})

/** Every verb once. */
async function tour (t: Test, records: Records): Promise<void> {
  const session = `tour-${performance.now()}`
  const [sub, mark] = [`sub-of-${session}`, `mark-of-${session}`]
  const entered = await records.enter(sub, newEntry(session))
  if (entered.outcome !== 'entered') throw new Error(entered.outcome)
  const { entry, notAfter } = entered
  t.type(notAfter, 'number')
  t.equal(sessionOf(entry), session)
  t.equal(await records.create(session, newRecord({ places: [{ index: sub, entry }], notAfter, fields: { a: '1', b: '"é"' } })), true)
  t.equal(await records.create(session, newRecord()), false)
  t.equal(await records.commit(session, { a: '2', b: null, c: '3' }), true)
  t.equal(await records.touch(session), true)
  t.equal(await records.replaceLogin(session, 1, 'next'), 'replaced')
  t.equal(await records.replaceLogin(session, 1, 'next'), 'changed')
  const { usedAt, ...record } = await records.read(session) ?? {}
  t.type(usedAt, 'number')
  t.same(record, { fields: { a: '2', c: '3' }, login: 'next', version: 2, idleTimeout: HOUR })
  t.same(await records.enter(sub, newEntry('other', { limit: 1, refusesBeyond: true })), { outcome: 'full' })
  await records.prune(sub, await records.list(sub))
  t.same(await records.close(sub, 2000, HOUR), [entry])
  t.same(await records.enter(sub, newEntry('other')), { outcome: 'ended' })
  t.equal(await records.end(session), true)
  t.equal(await records.end(session), false)
  t.same(await records.list(sub), [])
  t.equal(await records.read(session), null)
  t.type(await records.mark(mark, 5, HOUR), 'number')
  t.same(await records.marks([mark, 'never']), [5, null])
  const [lease, text] = [`lease-of-${session}`, `text-of-${session}`]
  t.same([await records.lease(lease, 'one', HOUR), await records.lease(lease, 'two', HOUR), await records.lease(lease, 'one', HOUR)], [true, false, true])
  await records.release(lease, 'two')
  t.equal(await records.lease(lease, 'two', HOUR), false)
  await records.release(lease, 'one')
  t.equal(await records.lease(lease, 'two', HOUR), true)
  await records.keep(text, '"é"', HOUR)
  t.same([await records.recall(text), await records.recall('never')], ['"é"', null])
}

async function lifeOf (server: RedisServer, key: string): Promise<number> {
  return await server.command('PTTL', key) as number
}
