import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CLIENT_ID, TENANT } from './tenant.ts'

// CPU time, as everywhere here: wall-clock time doubles whenever another process wants the processor.
const tell = 'const { user, system } = process.cpuUsage(); process.stdout.write(String((user + system) / 1000)); process.exit()'

const bare = `
  import Fastify from 'fastify'
  const app = Fastify()
  await app.ready()
  ${tell}
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
    appBaseUrl: 'https://app.example.com',
    fetch: () => new Promise(() => {})
  })
  await app.ready()
  ${tell}
`

/** Measures how many milliseconds of CPU time more than bare Fastify an application with the plugin needs until it is ready, in pairs of processes. */
export async function measureStartUp (pairs: number): Promise<number[]> {
  const differences: number[] = []
  for (let pair = 0; pair < pairs; pair++) differences.push(-await cpuUntilReady(bare) + await cpuUntilReady(ours))
  return differences
}

async function cpuUntilReady (script: string): Promise<number> {
  const cwd = fileURLToPath(new URL('..', import.meta.url)) // where `fastify-auth0` is found
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { cwd })
  return Number(stdout)
}
