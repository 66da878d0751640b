import Fastify from 'fastify'
import auth0 from 'fastify-auth0'
import { nameOf } from '../people.ts'
import { CLIENT_ID, createTenant, TENANT } from '../tenant.ts'

/** The public origin that our candidates are configured with, as behind a proxy that ends TLS. */
export const APP_BASE_URL = 'https://app.example.com'

/** Fastify with fastify-auth0, as in its quick start. One secret, so a session of one process opens in all. */
export function build (tenant = createTenant(), app = Fastify()) {
  app.register(auth0, {
    domain: TENANT,
    clientId: CLIENT_ID,
    clientSecret: 'a client secret that is no secret',
    secret: 'a secret of the bench, which is no secret',
    appBaseUrl: APP_BASE_URL,
    fetch: tenant.fetch
  })
  app.register(async app => {
    app.get('/', async () => ({ name: nameOf(0) }))
    app.get('/profile', { preHandler: app.requireAuth() }, async request => ({ name: request.auth0.user?.name }))
  })
  return app
}
