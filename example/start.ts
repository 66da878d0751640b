import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import Fastify from 'fastify'
import auth0, { MemoryStore, type Auth0Options } from 'fastify-auth0'
import getPort, { portNumbers } from 'get-port'
import { startTenant } from './tenant.ts'
import { ROLES_CLAIM } from './tenant/people.ts'
import { dressProblem, web } from './web.ts'

// `npm start`: the web application, and beside it a tenant to log in to, unless a .env names one.

if (existsSync('.env')) process.loadEnvFile('.env')
const { AUTH0_DOMAIN, AUTH0_ISSUER, AUTH0_SECRET, REDIS_URL, APP_BASE_URL = 'http://localhost:3000' } = process.env
const ownTenant = AUTH0_DOMAIN || AUTH0_ISSUER

// A tunnel or proxy on this computer may end TLS for it.
const app = Fastify({ logger: { level: 'warn' }, trustProxy: 'loopback' })
// A tenant of one's own knows one address of this application, so it cannot move to a free port.
const port = ownTenant ? Number(new URL(APP_BASE_URL).port || 3000) : await getPort({ port: portNumbers(3000, 3099) })
const appBaseUrl = ownTenant ? APP_BASE_URL : `http://localhost:${port}`
const session = REDIS_URL ? { redis: REDIS_URL } : { store: new MemoryStore() }
const localTenant = ownTenant ? {} : await startLocalTenant()

await app.register(auth0, {
  appBaseUrl,
  rolesClaim: ROLES_CLAIM,
  session,
  // Who was logged out elsewhere is to say who they are, though their browser may still be logged in at the tenant.
  authorizationParams: { prompt: 'login' },
  onError: dressProblem,
  ...localTenant
})
await app.register(web, { sessionsIn: REDIS_URL ? 'redis' : 'memory' })
await app.listen({ port, host: 'localhost' })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())

const toTry = [
  [`${appBaseUrl}/profile`, 'sends you to log in, and back'],
  [`${appBaseUrl}/admin`, 'is for the role admin'],
  [`${appBaseUrl}/vault`, 'asks again when your login is older than a minute'],
  [`${appBaseUrl}/session`, 'shows where you are logged in, and ends that: open it in two browsers'],
  ...ownTenant ? [] : [[`http://${localTenant.domain}`, 'logs you out at the tenant, and that tells the application']]
]

console.log(`
  Lantern, an example of fastify-auth0

  Application   ${appBaseUrl}
  Tenant        ${ownTenant ?? `http://${localTenant.domain}   (on this computer; to log in at yours, copy .env.example to .env)`}
  Sessions      ${REDIS_URL ? 'in Redis' : 'in memory   (to have them in Redis: REDIS_URL=redis://localhost:6379 npm start)'}

  To try:

${toTry.map(([address = '', about]) => `  ${address.padEnd(appBaseUrl.length + 8)}   ${about}`).join('\n')}

  Ctrl+C ends it.
`)

/** Starts a tenant that knows this application and ends with it, and gives the options to log in there. */
async function startLocalTenant (): Promise<Auth0Options> {
  const client = { clientId: 'lantern', clientSecret: randomBytes(32).toString('base64url') }
  const tenant = await startTenant({
    ...client,
    clientName: 'Lantern',
    port: await getPort({ port: portNumbers(4000, 4099) }),
    redirectUris: [`${appBaseUrl}/callback`],
    postLogoutRedirectUris: [appBaseUrl, `${appBaseUrl}/`],
    backchannelLogoutUri: `${appBaseUrl}/backchannel-logout`
  })
  app.addHook('onClose', () => tenant.close())
  // One computer has one clock: the vault closes on the second.
  return { ...client, domain: tenant.domain, secret: AUTH0_SECRET || randomBytes(32).toString('base64url'), clockTolerance: 0 }
}
