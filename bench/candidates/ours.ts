import Fastify from 'fastify'
import auth0, { type Auth0Options } from 'fastify-auth0'
import { nameOf } from '../people.ts'
import { CLIENT_ID, createTenant, TENANT } from '../tenant.ts'

/** The public origin that our candidates are configured with, as behind a proxy that ends TLS. */
export const APP_BASE_URL = 'https://app.example.com'

/** That which seals. One for all processes, so that a session of one opens in all. */
export const SECRET = 'a secret of the bench, which is no secret'

/** Fastify with fastify-auth0, as in its quick start. */
export function build (tenant = createTenant(), app = Fastify(), options: Auth0Options = {}) {
  app.register(auth0, {
    domain: TENANT,
    clientId: CLIENT_ID,
    clientSecret: 'a client secret that is no secret',
    secret: SECRET,
    appBaseUrl: APP_BASE_URL,
    fetch: tenant.fetch,
    ...options
  })
  app.register(async app => {
    app.get('/', async () => ({ name: nameOf(0) }))
    app.get('/profile', { preHandler: app.requireAuth() }, async request => ({ name: request.auth0.user?.name }))
  })
  return app
}
