import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { defineScript } from '../lib/store/redis-link.ts'
import { skipWithoutRedis, startCluster, startSentinel, until, type RedisSentinel } from './helpers/redis.ts'
import { AT_ONCE, PATIENCE, connected, own, recovers, refuses, watched } from './helpers/redis-calls.ts'

const ECHO = defineScript('return { KEYS[1], ARGV[1] }')

t.test('H6 Sentinel', { skip: skipWithoutRedis }, async t => {
  const failovers: Array<[name: string, arrange: (sentinel: RedisSentinel) => Promise<void>]> = [
    ['that is asked for', ({ failover }) => failover()],
    ['because the master died', ({ master }) => master.kill()]
  ]
  for (const [kind, arrange] of failovers) {
    t.test(`follows a failover ${kind}`, async t => {
      const sentinel = await startSentinel(t)
      const { link, events } = await connected(t, await own(t, { name: sentinel.name, sentinels: sentinel.sentinels }))
      await link.call('SET', 'key', 'before')
      await arrange(sentinel)
      const startedAt = performance.now()
      const isWritten = () => link.call('SET', 'key', 'after').then(() => sentinel.replica.command('GET', 'key'))
      await until('the new master is written to', () => isWritten().then(value => value === 'after', () => false), 30_000)
      t.comment(`writes again after ${(performance.now() - startedAt).toFixed(0)} ms`)
      t.not(events.at(-1), 'unavailable')
    })
  }
})

t.test('H6 Cluster', { skip: skipWithoutRedis }, async t => {
  const cluster = await startCluster(t)
  const keys = Array.from({ length: 12 }, (_, n) => `key:${n}`)

  t.test('answers, and runs scripts', async t => {
    for (const options of [{}, { lazyConnect: true }]) {
      const { link } = watched(t, cluster.client(options))
      await until('it answers', () => link.call('PING').then(() => true, () => false))
      for (const key of keys) t.same(await link.run(ECHO, [key], [1]), [key, '1'])
    }
  })

  t.test('one server is stopped: the others answer on', async t => {
    for (const prefix of ['', 'a prefix that moves keys to other slots:']) {
      const { link, events, touched } = await connected(t, cluster.client({ keyPrefix: prefix }))
      const answering = async () => (await Promise.all(keys.map(key => link.run(ECHO, [key], [1]).then(() => key, () => null)))).filter(key => key !== null)
      await until('scripts are known', async () => (await answering()).length === keys.length)
      cluster.nodes[1]!.stop()
      const alive = await answering()
      const dead = keys.filter(key => !alive.includes(key))
      t.ok(alive.length > 0 && dead.length > 0)
      for (let round = 0; round < 20; round++) {
        const before = touched()
        for (const key of dead) await refuses(t, link.call('GET', key), { within: AT_ONCE, isQuiet: true })
        t.ok(touched() - before <= 1, 'without asking, but for a probe')
        t.same(await answering(), alive)
        await delay(20)
      }
      t.same(events, ['unavailable'], 'one event')
      cluster.nodes[1]!.resume()
      await until('all answer', async () => (await answering()).length === keys.length)
      t.same(events, ['unavailable', 'available'])
    }
  })

  t.test('all are stopped, and resumed', async t => {
    const { link, events } = await connected(t, cluster.client())
    for (const key of keys) await link.call('GET', key)
    for (const node of cluster.nodes) node.stop()
    for (const key of keys) await refuses(t, link.call('GET', key), { within: PATIENCE })
    for (const key of keys) await refuses(t, link.call('GET', key), { within: AT_ONCE })
    for (const node of cluster.nodes) node.resume()
    await recovers(t, events)
    await until('all answer', () => Promise.all(keys.map(key => link.call('GET', key))).then(() => true, () => false))
    t.same(events, ['unavailable', 'available'])
  })

  t.test('killed, and started again', async t => {
    const { link, events } = await connected(t, cluster.client())
    for (const key of keys) await link.call('GET', key)
    for (const node of cluster.nodes) await node.kill()
    for (const key of keys) await refuses(t, link.call('GET', key), { within: PATIENCE })
    for (const node of cluster.nodes) await node.restart()
    await until('all answer', () => Promise.all(keys.map(key => link.run(ECHO, [key], [1]))).then(() => true, () => false))
    await recovers(t, events)
  })

  t.test('not there at boot', async t => {
    for (const node of cluster.nodes) await node.kill()
    const { link } = watched(t, cluster.client())
    await refuses(t, link.call('GET', 'key'), { within: PATIENCE, because: /slots cache.*|no answer/ })
  })
})
