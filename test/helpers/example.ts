import Fastify, { type FastifyInstance } from 'fastify'
import getPort from 'get-port'
import type { Test } from 'tap'
import { ROLES_CLAIM } from '../../example/tenant/people.ts'
import { startTenant, type Tenant, type TenantOptions } from '../../example/tenant.ts'
import { showProblem, web } from '../../example/web.ts'
import auth0, { type Auth0Options } from '../../lib/index.ts'

interface ExampleOptions {
  auth0?: Auth0Options
  tenant?: Partial<TenantOptions>
  /** For routes besides those of the example. */
  routes?: (app: FastifyInstance) => void
}

/** Starts the example's web application and its tenant on free ports, until the test ends. */
export async function startExample (t: Test, options: ExampleOptions = {}): Promise<{ url: string, tenant: Tenant }> {
  const port = await getPort()
  const url = `http://localhost:${port}`
  const client = { clientId: 'lantern', clientSecret: 'the-secret-of-the-client-lantern' }
  const tenant = await startTenant({
    ...client,
    clientName: 'Lantern',
    redirectUris: [`${url}/callback`],
    postLogoutRedirectUris: [url, `${url}/`],
    ...options.tenant
  })
  t.teardown(tenant.close)

  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(auth0, {
    ...client,
    domain: tenant.domain,
    secret: 'a-secret-of-thirty-two-characters-or-more',
    appBaseUrl: url,
    rolesClaim: ROLES_CLAIM,
    onError: showProblem,
    ...options.auth0
  })
  await app.register(web)
  options.routes?.(app)
  await app.listen({ port, host: 'localhost' })
  return { url, tenant }
}
