import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { APP_BASE_URL } from './candidates/ours.ts'
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

const ours = `
  import Fastify from 'fastify'
  import auth0 from 'fastify-auth0'
  const app = Fastify()
  await app.register(auth0, {
    domain: '${TENANT}',
    clientId: '${CLIENT_ID}',
    clientSecret: 'a client secret that is no secret',
    secret: 'a secret of the bench, which is no secret',
    appBaseUrl: '${APP_BASE_URL}',
    fetch: () => new Promise(() => {})
  })
`

const tell = `
  await app.ready()
  const { user, system } = process.cpuUsage()
  process.stdout.write(JSON.stringify({ wallClock: performance.now(), cpu: (user + system) / 1000 }))
  process.exit()
`

/** Measures how much later than bare Fastify an application with the plugin is ready, in pairs of processes. */
export async function measureStartUp (pairs: number): Promise<StartUp[]> {
  const differences: StartUp[] = []
  for (let pair = 0; pair < pairs; pair++) {
    const [floor, candidate] = [await start(bare), await start(ours)]
    differences.push({ wallClock: candidate.wallClock - floor.wallClock, cpu: candidate.cpu - floor.cpu })
  }
  return differences
}

async function start (application: string): Promise<StartUp> {
  const cwd = fileURLToPath(new URL('..', import.meta.url)) // where `fastify-auth0` is found
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', application + tell], { cwd })
  return JSON.parse(stdout)
}
