import getPort from 'get-port'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { connectRedis } from '../lib/store/redis-client.ts'
import { skipWithoutRedis, startRedis, until } from './helpers/redis.ts'

/** The client as ioredis knows it. */
async function connect (t: Test, connection: string | object): Promise<Redis> {
  const client = await connectRedis(connection) as Redis
  t.teardown(() => client.disconnect())
  return client
}

t.test('connects to a URL, or with options of ioredis', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t, { args: ['--requirepass', 'secret-of-redis'] })
  for (const connection of [`redis://:secret-of-redis@127.0.0.1:${server.port}/3`, { port: server.port, host: '127.0.0.1', password: 'secret-of-redis', db: 3 }]) {
    const client = await connect(t, connection)
    await until('connected', () => client.status === 'ready')
    t.match(await client.call('CLIENT', 'INFO'), / name=fastify-auth0 .* db=3 /)
  }
})

t.test('does not wait for Redis, nor fail or print without it', async t => {
  const printed: unknown[][] = []
  const { error } = console
  console.error = (...args) => { printed.push(args) }
  t.teardown(() => { console.error = error })
  const client = await connect(t, { host: '127.0.0.1', port: await getPort({ host: '127.0.0.1' }) })
  t.not(client.status, 'ready')
  await until('it has tried twice', () => client.status === 'reconnecting')
  t.same(printed, [])
})

t.test("the application's options count, except those that would make calls hang, be carried out late, or answer otherwise", async t => {
  const theirs = { connectTimeout: 5, socketTimeout: 6, keyPrefix: 'mine:', connectionName: 'mine', db: 2, lazyConnect: true }
  const harmful = {
    enableOfflineQueue: true, autoResendUnfulfilledCommands: true, maxRetriesPerRequest: null, retryStrategy: null, stringNumbers: true, replyMapping: 'resp3'
  }
  const { options } = await connect(t, { ...theirs, ...harmful })
  t.match(options, { ...theirs, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, stringNumbers: false, replyMapping: 'legacy' })
  t.same([1, 5, 1000].map(times => options.retryStrategy?.(times)), [50, 250, 500])

  const ofUrl = await connect(t, 'redis://127.0.0.1:1?lazyConnect=true&connectionName=mine&maxRetriesPerRequest=20&enableOfflineQueue=true')
  t.match(ofUrl.options, { lazyConnect: 'true', connectionName: 'mine', maxRetriesPerRequest: 0, enableOfflineQueue: false })
})

t.test('leaves a server that has become a replica behind Sentinels, and only there', async t => {
  const sentinels = [{ host: '127.0.0.1', port: 1 }]
  const { options: { reconnectOnError } } = await connect(t, { sentinels, name: 'main', lazyConnect: true })
  t.equal(reconnectOnError?.(new Error("READONLY You can't write against a read only replica.")), true)
  t.equal(reconnectOnError?.(new Error('OOM command not allowed')), false)
  const own = () => false
  t.equal((await connect(t, { sentinels, name: 'main', lazyConnect: true, reconnectOnError: own })).options.reconnectOnError, own)
  t.equal((await connect(t, { lazyConnect: true })).options.reconnectOnError, null)
})
