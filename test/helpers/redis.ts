import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import getPort from 'get-port'
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis'
import type { Test } from 'tap'

type ClientOptions = Omit<RedisOptions, 'replyMapping'>
type ClusterClientOptions = Omit<ClusterOptions, 'redisOptions'> & { redisOptions?: ClientOptions }

const PATIENCE = 10_000 // milliseconds

/** The redis-server of this machine, or `null`. */
export const redisServerPath: string | null = [process.env.REDIS_SERVER_PATH, ...(process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'redis-server'))].find(isExecutable) ?? null

/** Says why tests on a real Redis are skipped. `false` with a redis-server, and in CI, where a missing one is to fail and not to be overlooked. */
export const skipWithoutRedis: string | false =
  redisServerPath === null && !process.env.CI ? 'no redis-server on this machine: install it, or name it in REDIS_SERVER_PATH' : false

export interface RedisServerOptions {
  /** Keeps what was written over a restart. Default: `false`. */
  isPersistent?: boolean
  /** Default: a free one. */
  port?: number
  /** More of `redis.conf`, as arguments: `['--maxmemory', '1mb']`. */
  args?: string[]
}

/** A redis-server of our own. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  /** A client, closed when the test ends. */
  client: (options?: ClientOptions) => Redis
  /** Runs a command on a connection of its own. */
  command: (command: string, ...args: Array<string | number>) => Promise<unknown>
  /** SIGKILL. */
  kill: () => Promise<void>
  /** Ends it if it runs, and starts it again on its port: empty, unless it is persistent. */
  restart: () => Promise<void>
  /** SIGSTOP: connections stay, and nobody answers. */
  stop: () => void
  /** SIGCONT. */
  resume: () => void
}

/** Starts a redis-server on a free port, in a folder of its own; both are gone when the test ends. */
export async function startRedis (t: Test, { isPersistent = false, args = [], port }: RedisServerOptions = {}): Promise<RedisServer> {
  const persistence = isPersistent ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  return startServer(t, ['--dir', await temporaryFolder(t), '--save', '', ...persistence, ...args], port)
}

async function startServer (t: Test, args: string[], wanted?: number): Promise<RedisServer> {
  const { server: first, port } = wanted === undefined ? await runSomewhere(t, args) : { server: await run(t, args, wanted), port: wanted }
  let server = first
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGKILL')
    await once(server, 'exit')
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    client: (more = {}) => closing(t, new Redis({ ...more, host: '127.0.0.1', port })),
    command: (command, ...args) => onConnection(port, redis => redis.call(command, ...args)),
    kill,
    restart: async () => {
      await kill()
      server = await run(t, args, port)
    },
    stop: () => { server.kill('SIGSTOP') },
    resume: () => { server.kill('SIGCONT') }
  }
}

/** Three masters that are one Redis Cluster. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
  /** A client, closed when the test ends. */
  client: (options?: ClusterClientOptions) => Cluster
}

/** Starts a Redis Cluster of three masters on loopback. */
export async function startCluster (t: Test, args: string[] = []): Promise<RedisCluster> {
  const nodes = [await startNode(t, args), await startNode(t, args), await startNode(t, args)]
  const share = 16_384 / nodes.length
  for (const [at, { server, busPort }] of nodes.entries()) {
    await server.command('CLUSTER', 'ADDSLOTSRANGE', Math.ceil(at * share), Math.ceil((at + 1) * share) - 1)
    await server.command('CLUSTER', 'SET-CONFIG-EPOCH', at + 1)
    if (at > 0) await nodes[0]!.server.command('CLUSTER', 'MEET', '127.0.0.1', server.port, busPort)
  }
  for (const { server } of nodes) {
    await until('the cluster is up', async () => {
      const info = String(await server.command('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes.length}`)
    })
  }
  const servers = nodes.map(node => node.server)
  return {
    nodes: servers,
    client: (more = {}) => closing(t, new Cluster(servers.map(({ port }) => ({ host: '127.0.0.1', port })), more))
  }
}

async function startNode (t: Test, args: string[]) {
  const busPort = await getPort({ host: '127.0.0.1' })
  const server = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), ...args] })
  return { server, busPort }
}

/** Waits for a condition, and fails when it does not come. */
export async function until (what: string, isSo: () => Promise<boolean> | boolean, patience: number = PATIENCE): Promise<void> {
  const deadline = performance.now() + patience
  while (!await isSo()) {
    if (performance.now() > deadline) throw new Error(`waited ${patience} ms in vain: ${what}`)
    await delay(20)
  }
}

/** A master, its replica, and the Sentinel that watches them. */
export interface RedisSentinel {
  readonly name: string
  readonly sentinels: ReadonlyArray<{ host: string, port: number }>
  readonly master: RedisServer
  readonly replica: RedisServer
  /** Makes the replica the master. */
  failover: () => Promise<void>
}

/** Starts a master, a replica and one Sentinel, which notices within a second that the master is gone. */
export async function startSentinel (t: Test): Promise<RedisSentinel> {
  const name = 'main'
  const master = await startRedis(t)
  const replica = await startRedis(t, { args: ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'] })
  await until('the replica is in step', async () => String(await replica.command('INFO', 'replication')).includes('master_link_status:up'))
  const configuration = join(await temporaryFolder(t), 'sentinel.conf')
  await writeFile(configuration, [
    `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`, `sentinel down-after-milliseconds ${name} 500`, `sentinel failover-timeout ${name} 2000`
  ].join('\n'))
  const sentinel = await startServer(t, [configuration, '--sentinel'])
  const ask = (...args: string[]) => sentinel.command('SENTINEL', ...args) as Promise<string[]>
  await ask('DEBUG', 'INFO-PERIOD', '100', 'PING-PERIOD', '100', 'ASK-PERIOD', '100', 'PUBLISH-PERIOD', '100', 'DEFAULT-DOWN-AFTER', '500')
  // One that it does not know yet, or that was never in step, is no master to be when the other dies.
  await until('the sentinel knows the replica', async () => (await ask('REPLICAS', name)).some(replica => [replica].flat().join(' ').includes('master-link-status ok')))
  return {
    name,
    sentinels: [{ host: '127.0.0.1', port: sentinel.port }],
    master,
    replica,
    failover: async () => {
      await until('the sentinel knows a good replica', () => ask('FAILOVER', name).then(() => true, () => false))
      await until('the replica is the master', async () => (await ask('GET-MASTER-ADDR-BY-NAME', name))[1] === String(replica.port))
    }
  }
}

/** On a free port; on another one when somebody else was faster. */
async function runSomewhere (t: Test, args: string[], attempts = 3): Promise<{ server: ChildProcess, port: number }> {
  const port = await getPort({ host: '127.0.0.1' })
  try {
    return { server: await run(t, args, port), port }
  } catch (error) {
    if (attempts === 1) throw error
    return runSomewhere(t, args, attempts - 1)
  }
}

async function run (t: Test, args: string[], port: number): Promise<ChildProcess> {
  if (redisServerPath === null) throw new Error('redis-server is missing. Install it (Debian: apt-get install redis-server), or name it in REDIS_SERVER_PATH')
  const server = spawn(redisServerPath, [...args, '--bind', '127.0.0.1', '--port', String(port)], { stdio: ['ignore', 'pipe', 'inherit'] })
  endWithUs(server)
  t.teardown(() => { server.kill('SIGKILL') })
  let said = ''
  server.stdout!.on('data', text => { said += text })
  await until('redis-server is up', () => {
    if (server.exitCode !== null) throw new Error(`redis-server ended: ${said}`)
    return onConnection(port, redis => redis.ping()).then(() => true, error => error.name === 'ReplyError')
  })
  return server
}

/** Also when this process is killed itself: its end of a pipe is closed then. */
function endWithUs (server: ChildProcess): void {
  const guard = spawn('/bin/sh', ['-c', 'read _; kill -9 "$0"', String(server.pid)], { stdio: ['pipe', 'ignore', 'ignore'] })
  server.once('exit', () => guard.kill('SIGKILL'))
}

async function onConnection<T> (port: number, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: null, enableReadyCheck: false })
  redis.on('error', () => {})
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

function closing<T extends Redis | Cluster> (t: Test, client: T): T {
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

async function temporaryFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'redis-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

function isExecutable (path: string | undefined): path is string {
  try {
    accessSync(path ?? '', constants.X_OK)
    return true
  } catch {
    return false
  }
}
