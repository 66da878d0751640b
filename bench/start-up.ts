import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { APP_BASE_URL } from './candidates/ours.ts'
import { redisUrl } from './redis.ts'
import { CLIENT_ID, TENANT } from './tenant.ts'

/** Milliseconds from the start of a process until its application is ready. */
interface StartUp {
  wallClock: number
  /** Of all threads: those of the compiler and of the file system work beside the main thread. */
  cpu: number
}

const bare = `
  import Fastify from 'fastify'
  const app = Fastify()
`

/** @param options more of them, as source */
const ours = (options: string) => `
  import Fastify from 'fastify'
  import auth0 from 'fastify-auth0'
  const app = Fastify()
  await app.register(auth0, {
    domain: '${TENANT}',
    clientId: '${CLIENT_ID}',
    clientSecret: 'a client secret that is no secret',
    secret: 'a secret of the bench, which is no secret',
    appBaseUrl: '${APP_BASE_URL}',
    fetch: () => new Promise(() => {}),
    ${options}
  })
`

const tell = `
  await app.ready()
  const { user, system } = process.cpuUsage()
  process.stdout.write(JSON.stringify({ wallClock: performance.now(), cpu: (user + system) / 1000 }))
  process.exit()
`

/** What a start takes over bare Fastify: one measurement for each round. */
export interface StartUps {
  cookie: StartUp[]
  /** Over `cookie`. */
  redis: StartUp[]
}

/** Measures how much later than bare Fastify an application with the plugin is ready, and how much later yet with sessions in Redis. */
export async function measureStartUp (rounds: number): Promise<StartUps> {
  const startUps: StartUps = { cookie: [], redis: [] }
  for (let round = 0; round < rounds; round++) {
    const [floor, cookie, redis] = [await start(bare), await start(ours('')), await start(ours(`session: { redis: '${redisUrl()}' }`))]
    startUps.cookie.push(difference(cookie, floor))
    startUps.redis.push(difference(redis, cookie))
  }
  return startUps
}

function difference (candidate: StartUp, floor: StartUp): StartUp {
  return { wallClock: candidate.wallClock - floor.wallClock, cpu: candidate.cpu - floor.cpu }
}

async function start (application: string): Promise<StartUp> {
  const cwd = fileURLToPath(new URL('..', import.meta.url)) // where `fastify-auth0` is found
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', application + tell], { cwd })
  return JSON.parse(stdout)
}
