import swaggerUi from '@fastify/swagger-ui'
import type { FastifyError, FastifyPluginAsync } from 'fastify'
import { READ_LOG } from './api.ts'
import { sendPage } from './page.ts'
import { apiPage } from './web/api-page.ts'

const lamp = { type: 'object', properties: { name: { type: 'string' }, isLit: { type: 'boolean' } } }

/** An API on the same server as the pages, a page that shows how to call it, and its OpenAPI document. */
export const lamps: FastifyPluginAsync = async app => {
  if (app.hasDecorator('swagger')) await app.register(swaggerUi, { routePrefix: '/api/docs' })

  app.get('/api', { preHandler: app.requireAuth({ via: 'session' }), schema: { hide: true } }, async (request, reply) => {
    return sendPage(reply, apiPage(request, await request.auth0.getTokenSet()))
  })

  await app.register(routes)
}

const routes: FastifyPluginAsync = async app => {
  app.setErrorHandler<FastifyError>(({ statusCode = 500, code, message }, _request, reply) => reply.code(statusCode).send({ statusCode, code, message })) // for programs: no page

  app.get('/api/lamps', {
    preHandler: app.requireAuth({ via: 'bearer', scopes: READ_LOG }),
    schema: { summary: 'The lamps of the tower', response: { 200: { type: 'array', items: lamp } } }
  }, async () => [{ name: 'north', isLit: true }, { name: 'south', isLit: false }])

  app.get('/api/me', {
    preHandler: app.requireAuth(),
    schema: { summary: 'Who is calling, by session or by access token', response: { 200: { type: 'object', properties: { sub: { type: 'string' }, via: { type: 'string' } } } } }
  }, async ({ auth0: { user, via } }) => ({ sub: user?.sub, via }))
}
