import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import auth0, { MemoryStore, type Auth0Options } from 'fastify-auth0'
import getPort, { portNumbers } from 'get-port'
import { READ_LOG, startApi } from './api.ts'
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
const local = ownTenant ? null : await startLocalTenant()

await app.register(swagger, {
  openapi: { openapi: '3.1.0', info: { title: 'Lantern', version: '1.0.0' } },
  transform: ({ schema, url }) => ({ schema: { ...schema, hide: schema?.hide === true || !url.startsWith('/api/') }, url }) // pages are for people
})
await app.register(auth0, {
  appBaseUrl,
  rolesClaim: ROLES_CLAIM,
  session,
  // Who was logged out elsewhere is to say who they are, though their browser may still be logged in at the tenant.
  authorizationParams: { prompt: 'login' },
  onError: dressProblem,
  ...local?.options
})
await app.register(web, { sessionsIn: REDIS_URL ? 'redis' : 'memory', ...local?.web })
await app.listen({ port, host: 'localhost' })
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())

const toTry = [
  [`${appBaseUrl}/profile`, ownTenant ? 'sends you to log in, and back' : 'sends you to log in, and back; and asks an API: reload, and watch its token being renewed'],
  [`${appBaseUrl}/admin`, 'is for the role admin'],
  [`${appBaseUrl}/vault`, 'asks again when your login is older than a minute'],
  ...ownTenant ? [] : [[`${appBaseUrl}/api`, 'gives you a token and the line for curl, to call an API of this server']],
  [`${appBaseUrl}/session`, 'shows where you are logged in, and ends that: open it in two browsers'],
  ...ownTenant ? [] : [[`http://${local?.options.domain}`, 'logs you out at the tenant, and that tells the application']]
]

console.log(`
  Lantern, an example of fastify-auth0

  Application   ${appBaseUrl}
  Tenant        ${ownTenant ?? `http://${local?.options.domain}   (on this computer; to log in at yours, copy .env.example to .env)`}
  Sessions      ${REDIS_URL ? 'in Redis' : 'in memory   (to have them in Redis: REDIS_URL=redis://localhost:6379 npm start)'}

  To try:

${toTry.map(([address = '', about]) => `  ${address.padEnd(appBaseUrl.length + 8)}   ${about}`).join('\n')}

  Ctrl+C ends it.
`)

/** Starts a tenant that knows this application, and an API that takes its access tokens. Both end with the application. */
async function startLocalTenant () {
  const client = { clientId: 'lantern', clientSecret: randomBytes(32).toString('base64url') }
  const audience = 'https://lantern.example/log'
  const tenant = await startTenant({
    ...client,
    clientName: 'Lantern',
    port: await getPort({ port: portNumbers(4000, 4099) }),
    redirectUris: [`${appBaseUrl}/callback`],
    postLogoutRedirectUris: [appBaseUrl, `${appBaseUrl}/`],
    backchannelLogoutUri: `${appBaseUrl}/backchannel-logout`,
    api: { audience, scope: READ_LOG, lifetime: 30 } // short, to be watched
  })
  const api = await startApi({ port: await getPort({ port: portNumbers(5000, 5099) }), issuer: tenant.issuer, audience })
  app.addHook('onClose', () => Promise.all([tenant.close(), api.close()]))
  const options: Auth0Options = {
    ...client,
    domain: tenant.domain,
    secret: AUTH0_SECRET || randomBytes(32).toString('base64url'),
    api: { audience, resource: `${appBaseUrl}/api` },
    clockTolerance: 0, // one computer has one clock: the vault closes on the second
    authorizationParams: { prompt: 'login', audience, scope: `openid profile email offline_access ${READ_LOG}` }
  }
  return { options, web: { logBook: api.url, hasApi: true } }
}
