import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import getPort from 'get-port'
import t, { type Test } from 'tap'
import { defineScript, type RedisClient } from '../lib/store/redis-link.ts'
import { skipWithoutRedis, startRedis, until, type RedisServer } from './helpers/redis.ts'
import { AT_ONCE, PATIENCE, connected, own, recovers, refuses, theirs, watched } from './helpers/redis-calls.ts'
import { slowProxy } from './helpers/slow-proxy.ts'

const ECHO = defineScript('return { KEYS[1], ARGV[1] }')

/** Connects in a way that is to be shown to make no difference. */
const clients: Record<string, (t: Test, port: number) => Promise<RedisClient>> = {
  'our own client': (t, port) => own(t, { host: '127.0.0.1', port }),
  "the application's client with ioredis' defaults": async (t, port) => theirs(t, port)
}

const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length

// First: no timer of another test is running.
t.test('asking whether Redis is back keeps no process alive', async t => {
  const client = Object.assign(new EventEmitter(), { status: 'reconnecting', connect: async () => {}, call: async () => {} })
  const before = timers()
  const { link, events } = watched(t, client)
  await refuses(t, link.call('PING'), { within: PATIENCE })
  t.same(events, ['unavailable'])
  t.equal(timers(), before)
})

t.test('1,000 calls before there is a connection wait together', async t => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const client = Object.assign(new EventEmitter(), { status: 'connecting', connect: async () => {}, call: async () => 'PONG' })
  const { link, touched } = watched(t, client)
  const before = timers()
  const answers = Promise.all(Array.from({ length: 1000 }, () => link.call('PING')))
  t.equal(touched(), 0)
  client.status = 'ready'
  client.emit('ready')
  t.ok((await answers).every(answer => answer === 'PONG'))
  t.equal(touched(), 1000)
  t.equal(timers(), before, 'and leave no timer')
  await delay(10)
  t.same(warnings, [])
})

t.test('asks anew on a new connection: the question that was open may be lost', async t => {
  const client = Object.assign(new EventEmitter(), { status: 'reconnecting', connect: async () => {}, call: (): Promise<unknown> => new Promise(() => {}) })
  const { link, events, touched } = watched(t, client)
  await refuses(t, link.call('PING'), { within: PATIENCE })
  client.status = 'ready'
  client.emit('ready')
  await until('a question', () => touched() === 1)
  client.call = async () => 'PONG'
  client.emit('ready')
  await recovers(t, events)
})

t.test('H6 Redis and what may happen to it', { skip: skipWithoutRedis }, async t => {
  t.test('answers, and runs scripts', async t => {
    const server = await startRedis(t)
    for (const [name, connect] of Object.entries(clients)) {
      const { link } = await connected(t, await connect(t, server.port))
      t.equal(await link.call('SET', 'name', 'Ada'), 'OK', name)
      t.equal(await link.call('GET', 'name'), 'Ada')
      t.same(await link.run(ECHO, ['key'], [1]), ['key', '1'])
    }
  })

  t.test('answers through a client that waits with its connection, has a prefix, or joins commands', async t => {
    const server = await startRedis(t)
    for (const options of [{ lazyConnect: true }, { lazyConnect: true, enableOfflineQueue: false }, { keyPrefix: 'mine:' }, { enableAutoPipelining: true }]) {
      const { link } = watched(t, server.client(options))
      await until('it answers', () => link.call('PING').then(() => true, () => false))
      const prefix = options.keyPrefix ?? ''
      t.same(await link.run(ECHO, ['key'], [1]), [`${prefix}key`, '1'], inspect(options))
      await link.call('SET', 'name', 'Ada')
      t.equal(await server.command('GET', `${prefix}name`), 'Ada')
    }
  })

  t.test('sends a script in full only when Redis does not know it', async t => {
    const server = await startRedis(t)
    const { link, events } = await connected(t, server.client())
    for (let time = 0; time < 3; time++) await link.run(ECHO, ['key'], [1])
    t.same(await callsOf(server), { evalsha: 3, eval: 1 })
    await server.command('SCRIPT', 'FLUSH')
    t.same(await link.run(ECHO, ['key'], [1]), ['key', '1'])
    t.same(events, [])
  })

  t.test('a script that is sent in full has no more time than any call', async t => {
    const server = await startRedis(t)
    const proxy = await slowProxy(t, server.port)
    const { link } = await connected(t, await own(t, { host: '127.0.0.1', port: proxy.port }))
    await link.call('PING')
    proxy.delay = 75 // each way, so that two answers take 300
    await refuses(t, link.run(ECHO, ['key'], [1]), { within: PATIENCE })
  })

  t.test('passes on that a key holds something else', async t => {
    const server = await startRedis(t)
    const { link, events } = await connected(t, server.client())
    await link.call('SET', 'key', 'text')
    await t.rejects(link.call('HGETALL', 'key'), { name: 'ReplyError', message: /^WRONGTYPE/ })
    t.same(events, [])
  })

  for (const [name, connect] of Object.entries(clients)) {
    t.test(`killed, and started again empty: ${name}`, async t => {
      const server = await startRedis(t)
      const { link, events, touched } = await connected(t, await connect(t, server.port))
      await link.run(ECHO, ['key'], [1])

      await server.kill()
      await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /ECONNREFUSED|lost|no answer/ })
      const before = touched()
      await refuses(t, link.run(ECHO, ['key'], [1]), { within: AT_ONCE })
      t.equal(touched(), before, 'without asking')
      t.same(events, ['unavailable'])

      await server.restart()
      await recovers(t, events)
      t.same(await link.run(ECHO, ['key'], [1]), ['key', '1'], 'the script is there again')
      t.same(events, ['unavailable', 'available'])
    })

    t.test(`stopped, and resumed: ${name}`, async t => {
      const server = await startRedis(t)
      const { link, events, touched } = await connected(t, await connect(t, server.port))
      await link.run(ECHO, ['key'], [1])

      server.stop()
      await refuses(t, link.run(ECHO, ['key'], [1]), { within: PATIENCE, because: /no answer/ })
      const before = touched()
      for (let time = 0; time < 100; time++) await refuses(t, link.call('GET', 'key'), { within: AT_ONCE, isQuiet: true })
      t.ok(touched() - before <= 1, 'without asking, but for a probe')
      await delay(500)
      t.same(events, ['unavailable'])

      server.resume()
      await recovers(t, events)
      t.same(await link.run(ECHO, ['key'], [1]), ['key', '1'])
      t.same(events, ['unavailable', 'available'])
    })

    t.test(`not there at boot, but later: ${name}`, async t => {
      const port = await getPort({ host: '127.0.0.1' })
      const { link, events } = watched(t, await connect(t, port))
      await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /ECONNREFUSED/ })
      await refuses(t, link.call('GET', 'key'), { within: AT_ONCE })
      t.same(events, ['unavailable'])
      await startRedis(t, { port })
      await recovers(t, events)
      t.equal(await link.call('PING'), 'PONG')
    })

    t.test(`slow: ${name}`, async t => {
      const server = await startRedis(t)
      const proxy = await slowProxy(t, server.port)
      const { link, events } = await connected(t, await connect(t, proxy.port))
      t.equal(await link.call('PING'), 'PONG')
      proxy.delay = 400
      await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /no answer/ })
      await delay(1500)
      t.same(events, ['unavailable'], 'and stays away while its answers come late')
      proxy.delay = 0
      await recovers(t, events)
      t.same(events, ['unavailable', 'available'])
    })

    t.test(`wrong password: ${name}`, async t => {
      const server = await startRedis(t, { args: ['--requirepass', 'secret-of-redis'] })
      const { link, events } = watched(t, await connect(t, server.port))
      await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /^NOAUTH/ })
      t.same(events, ['unavailable'])
      const administrator = server.client({ password: 'secret-of-redis' })
      await administrator.config('SET', 'requirepass', '')
      await recovers(t, events)
    })
  }

  t.test('an idle connection that Redis closes is no outage', async t => {
    const server = await startRedis(t)
    const { link, events } = await connected(t, await own(t, server.url))
    // Where it takes longer than a call may, on a busy machine, it is one.
    await until('it is restored in time', async () => {
      events.length = 0
      await link.call('PING').catch(() => {})
      await server.command('CLIENT', 'KILL', 'TYPE', 'normal').catch(() => {})
      await delay(20)
      const answer = await link.call('PING').catch(() => null)
      await delay(400)
      return answer === 'PONG' && events.length === 0
    })
    t.pass()
  })

  t.test('a connection that is lost with a call under way is told as that', async t => {
    const server = await startRedis(t)
    const proxy = await slowProxy(t, server.port)
    const { link, events } = await connected(t, await own(t, { host: '127.0.0.1', port: proxy.port }))
    await link.call('PING')
    proxy.delay = 100
    const call = link.call('PING')
    proxy.cut()
    await refuses(t, call, { within: PATIENCE, because: /The connection to Redis was lost/ })
    proxy.delay = 0
    await recovers(t, events)
  })

  t.test('an outage is noticed without a call', async t => {
    const server = await startRedis(t)
    const { link, events } = await connected(t, await own(t, server.url))
    await link.call('PING')
    await server.kill()
    await until('the outage is told', () => events.length === 1)
  })

  t.test('half-open: our own client makes a new connection', async t => {
    const server = await startRedis(t)
    const proxy = await slowProxy(t, server.port)
    const { link, events } = await connected(t, await own(t, { host: '127.0.0.1', port: proxy.port }))
    t.equal(await link.call('PING'), 'PONG')
    proxy.isBlackHole = true
    await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /no answer/ })
    proxy.isBlackHole = false
    await recovers(t, events)
    t.ok(proxy.accepted >= 2, 'over another connection')
    t.equal(await link.call('PING'), 'PONG')
  })

  t.test('nobody answers at boot: half-open', async t => {
    const server = await startRedis(t)
    const proxy = await slowProxy(t, server.port)
    proxy.isBlackHole = true
    const { link, events } = watched(t, await own(t, { host: '127.0.0.1', port: proxy.port }))
    await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /no answer/ })
    proxy.isBlackHole = false
    await recovers(t, events)
  })

  const refusals: Array<[name: string, because: RegExp, configure: (server: RedisServer) => Promise<unknown>]> = [
    ['a replica', /^READONLY/, server => server.command('REPLICAOF', '127.0.0.1', 1)],
    ['too few replicas', /^NOREPLICAS/, server => server.command('CONFIG', 'SET', 'min-replicas-to-write', 1)],
    ['no permission', /^NOPERM/, server => server.command('ACL', 'SETUSER', 'default', '-@write')],
    ['full', /^OOM/, server => server.command('CONFIG', 'SET', 'maxmemory', 1)]
  ]
  for (const [name, because, configure] of refusals) {
    t.test(`reads while it refuses to write: ${name}`, async t => {
      const server = await startRedis(t)
      const { link, events } = await connected(t, await own(t, server.url))
      await link.call('SET', 'key', 'value')
      await configure(server)
      await refuses(t, link.call('SET', 'key', 'other'), { within: PATIENCE, because })
      t.equal(await link.call('GET', 'key'), 'value')
      t.same(events, [])
    })
  }

  t.test('a replica that lost its master, and serves nothing, is away', async t => {
    const server = await startRedis(t, { args: ['--replica-serve-stale-data', 'no'] })
    const { link, events } = await connected(t, server.client())
    await link.call('PING')
    await server.command('REPLICAOF', '127.0.0.1', 1)
    await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /^MASTERDOWN/ })
    t.same(events, ['unavailable'])
    await server.command('REPLICAOF', 'NO', 'ONE')
    await recovers(t, events)
  })

  t.test("somebody's endless script keeps Redis away", async t => {
    const server = await startRedis(t, { args: ['--lua-time-limit', '10'] })
    const { link, events } = await connected(t, server.client())
    await link.call('PING')
    const endless = server.command('EVAL', 'while true do end', 0).catch(() => {})
    await until('Redis is busy', () => server.command('PING').then(() => false, error => error.message.startsWith('BUSY')))
    await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /^BUSY|no answer/ })
    await server.command('SCRIPT', 'KILL')
    await recovers(t, events)
    await endless
    t.same(events, ['unavailable', 'available'])
  })

  t.test('a Redis that still loads its data is away', async t => {
    const server = await startRedis(t, { args: ['--enable-debug-command', 'yes', '--key-load-delay', '2000', '--loading-process-events-interval-bytes', '1024'] })
    const { link, events } = await connected(t, server.client())
    await link.call('PING')
    for (let key = 0; key < 400; key++) await server.command('SET', `key:${key}`, 'x'.repeat(100))
    const loaded = server.command('DEBUG', 'RELOAD')
    await until('Redis is loading', () => server.command('GET', 'key:1').then(() => false, error => error.message.startsWith('LOADING')))
    await refuses(t, link.call('GET', 'key:1'), { within: PATIENCE, because: /^LOADING|no answer/ })
    await loaded
    await recovers(t, events)
  })

  t.test('1,000 calls at once while it hangs do not pile up', async t => {
    const server = await startRedis(t)
    for (const [name, connect] of Object.entries(clients)) {
      const { link, events, touched } = await connected(t, await connect(t, server.port))
      await link.call('PING')
      server.stop()
      for (const round of ['first', 'second']) {
        const [before, startedAt] = [touched(), performance.now()]
        const results = await Promise.allSettled(Array.from({ length: 1000 }, () => link.run(ECHO, ['key'], [1])))
        t.comment(`${name}, ${round} 1,000: ${(performance.now() - startedAt).toFixed(1)} ms`)
        t.ok(results.every(({ status }) => status === 'rejected'))
        if (round === 'second') t.ok(touched() - before <= 1)
      }
      t.same(events, ['unavailable'])
      server.resume()
      await recovers(t, events)
      t.equal(await link.call('PING'), 'PONG')
    }
  })

  t.test('a request whose time is over is not sent when the connection comes', async t => {
    const port = await getPort({ host: '127.0.0.1' })
    const { link, events } = watched(t, theirs(t, port))
    await refuses(t, link.call('INCR', 'count'), { within: PATIENCE })
    const server = await startRedis(t, { port })
    await recovers(t, events)
    await delay(100)
    t.equal(await server.command('GET', 'count'), null)
  })

  t.test('what was on its way when the connection broke is not sent again by our own client', async t => {
    const server = await startRedis(t)
    const proxy = await slowProxy(t, server.port)
    const { link, events } = await connected(t, await own(t, { host: '127.0.0.1', port: proxy.port }))
    await link.call('PING')
    proxy.isBlackHole = true
    await refuses(t, link.call('INCR', 'count'), { within: PATIENCE })
    proxy.isBlackHole = false
    proxy.cut()
    await recovers(t, events)
    await delay(100)
    t.equal(await server.command('GET', 'count'), null)
  })

  t.test('a process that is busy itself does not blame Redis', async t => {
    const server = await startRedis(t)
    const { link, events } = await connected(t, server.client())
    await link.call('PING')
    const answer = link.call('PING')
    const until = performance.now() + 400
    while (performance.now() < until);
    t.equal(await answer, 'PONG')
    t.same(events, [])
  })

  t.test('causes hold no arguments', async t => {
    const server = await startRedis(t)
    const { link } = await connected(t, server.client())
    const requests: Array<[command: string, ...args: string[]]> = [
      ['NOSUCHCOMMAND', 'a secret'], ['SET', 'key', 'value', 'a secret'], ['EVAL', 'return redis.call("SET", ARGV[1])', '0', 'a secret']
    ]
    for (const request of requests) {
      const error: Error & { cause?: Error } = await link.call(...request).then(() => new Error('no error'), error => error)
      t.match(error, { code: 'FST_AUTH0_SESSION_UNAVAILABLE', cause: { message: /^ERR / } })
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), /a secret/)
      t.ok(error.cause!.message.length < 200)
    }
  })

  t.test('a closed link listens and asks no more', async t => {
    const server = await startRedis(t)
    const client = server.client()
    const listeners = () => client.eventNames().map(name => client.listenerCount(name))
    await once(client, 'ready')
    const before = listeners()
    const { link, events, touched } = await connected(t, client)
    server.stop()
    await refuses(t, link.call('PING'), { within: PATIENCE })
    link.close()
    t.same(listeners(), before)
    const count = touched()
    server.resume()
    await delay(500)
    t.equal(touched(), count)
    await server.kill()
    await delay(500)
    t.same(events, ['unavailable'])
  })

  t.test('a call that fails when the link is closed already is told to its caller only', async t => {
    const server = await startRedis(t)
    const { link, events, touched } = await connected(t, server.client())
    server.stop()
    const call = link.call('PING')
    link.close()
    await refuses(t, call, { within: PATIENCE })
    await delay(500)
    t.same(events, [])
    t.equal(touched(), 1)
  })
})

/** How often each command that runs scripts was called. */
async function callsOf (server: RedisServer): Promise<Record<string, number>> {
  const statistics = String(await server.command('INFO', 'commandstats'))
  return Object.fromEntries([...statistics.matchAll(/cmdstat_(eval|evalsha):calls=(\d+)/g)].map(([, name, count]) => [name, Number(count)]))
}
