import Fastify from 'fastify'
import auth0 from 'fastify-auth0'
import { createTenant, TENANT } from '../tenant.ts'
import { AUDIENCE, publishedKeys } from '../tokens.ts'
import { APP_BASE_URL, SECRET } from './ours.ts'

/** Fastify with fastify-auth0, as it accepts access tokens. */
export function build () {
  const app = Fastify()
  const tenant = createTenant()
  app.register(auth0, {
    domain: TENANT,
    clientId: 'a client id',
    clientSecret: 'a client secret that is no secret',
    secret: SECRET,
    appBaseUrl: APP_BASE_URL,
    api: { audience: AUDIENCE },
    fetch: async (input, init) => String(input).endsWith('/jwks.json') ? Response.json(publishedKeys()) : tenant.fetch(input, init)
  })
  app.register(async app => {
    app.get('/profile', { preHandler: app.requireAuth({ via: 'bearer', permissions: 'read:messages' }) }, async request => ({ name: request.auth0.user?.['https://example.com/name'] }))
  })
  return app
}
