import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import getPort from 'get-port'
import type { Test } from 'tap'
import { ROLES_CLAIM } from '../../example/tenant/people.ts'
import type { TenantClient } from '../../example/tenant/provider.ts'
import { startTenant, type Tenant, type TenantOptions } from '../../example/tenant.ts'
import { showProblem, web } from '../../example/web.ts'
import auth0, { type Auth0Options } from '../../lib/index.ts'

interface ExampleOptions {
  auth0?: Auth0Options
  tenant?: Partial<TenantOptions>
  /** Address of the API. */
  logBook?: string
  /** Whether the application has an API of its own. */
  hasApi?: boolean
  /** For routes besides those of the example. */
  routes?: (app: FastifyInstance) => void
}

/** Starts the example's web application and its tenant on free ports, until the test ends. */
export async function startExample (t: Test, options: ExampleOptions = {}): Promise<{ url: string, tenant: Tenant }> {
  const { url, client } = await newApplication('Lantern')
  const tenant = await startTenant({ ...client, ...options.tenant })
  t.teardown(tenant.close)
  await serve(t, url, client, tenant, options)
  return { url, tenant }
}

/** Starts the example's web application twice, as two clients of one tenant. */
export async function startTwoExamples (t: Test, options: ExampleOptions = {}): Promise<{ urls: [string, string], tenant: Tenant }> {
  const [one, other] = [await newApplication('Lantern'), await newApplication('Beacon')]
  const tenant = await startTenant({ ...one.client, otherClients: [other.client], ...options.tenant })
  t.teardown(tenant.close)
  for (const { url, client } of [one, other]) {
    // Cookies know no ports.
    const session = { ...options.auth0?.session, cookie: { name: client.clientId } }
    await serve(t, url, client, tenant, { ...options, auth0: { ...options.auth0, session } })
  }
  return { urls: [one.url, other.url], tenant }
}

async function newApplication (clientName: string): Promise<{ url: string, client: TenantClient }> {
  const url = `http://localhost:${await getPort()}`
  const clientId = clientName.toLowerCase()
  return {
    url,
    client: {
      clientId,
      clientSecret: `the-secret-of-the-client-${clientId}`,
      clientName,
      redirectUris: [`${url}/callback`],
      postLogoutRedirectUris: [url, `${url}/`],
      backchannelLogoutUri: `${url}/backchannel-logout`
    }
  }
}

async function serve (t: Test, url: string, { clientId, clientSecret }: TenantClient, { domain }: Tenant, options: ExampleOptions): Promise<void> {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(auth0, {
    clientId,
    clientSecret,
    domain,
    secret: 'a-secret-of-thirty-two-characters-or-more',
    appBaseUrl: url,
    rolesClaim: ROLES_CLAIM,
    onError: showProblem,
    ...options.auth0
  })
  const { redis, store } = options.auth0?.session ?? {}
  await app.register(web, { sessionsIn: redis !== undefined ? 'redis' : store !== undefined ? 'memory' : 'cookie', ...options.logBook !== undefined && { logBook: options.logBook }, hasApi: options.hasApi === true })
  options.routes?.(app)
  await app.listen({ port: Number(new URL(url).port), host: 'localhost' })
}

/** Does what `npm start` does, in a process of its own, until the test ends. Gives what it printed, too. */
export async function runExample (t: Test, env: Record<string, string> = {}): Promise<{ url: string, output: string, child: ChildProcess }> {
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, ['--import', 'tsx', 'example/start.ts'], { env: { PATH, HOME, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  while (!output.includes('Ctrl+C')) output += String((await once(child.stdout, 'data'))[0])
  const [, url = ''] = /Application\s+(\S+)/.exec(output) ?? []
  return { url, output, child }
}
