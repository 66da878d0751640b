import formbody from '@fastify/formbody'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { files } from './files.ts'
import { sendPage } from './page.ts'
import { adminPage, homePage, problemPage, profilePage, sessionPage, VAULT_MAX_AGE, vaultPage } from './web/pages.ts'

/** A small web application, and what each of its pages asks of who is calling. */
export const web: FastifyPluginAsync = async app => {
  app.setErrorHandler((error: Error, request, reply) => showProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) => showProblem(Object.assign(new Error('There is no such page'), { statusCode: 404 }), request, reply))
  await app.register(formbody)
  await app.register(files, { folder: new URL('web/', import.meta.url) })

  app.get('/', async (request, reply) => sendPage(reply, homePage(request)))

  app.get('/profile', { preHandler: app.requireAuth() }, async (request, reply) => sendPage(reply, profilePage(request)))

  app.get('/admin', { preHandler: app.requireAuth({ roles: 'admin' }) }, async (request, reply) => sendPage(reply, adminPage(request)))

  app.get('/vault', { preHandler: app.requireAuth({ maxAge: VAULT_MAX_AGE }) }, async (request, reply) => sendPage(reply, vaultPage(request)))

  app.get('/session', { preHandler: app.requireAuth() }, async (request, reply) => sendPage(reply, sessionPage(request)))

  const note = { type: 'object', required: ['note'], properties: { note: { type: 'string', maxLength: 200 } } }
  app.post<{ Body: { note: string } }>('/session', { preHandler: app.requireAuth(), schema: { body: note } }, async (request, reply) => {
    await request.auth0.updateSession({ note: request.body.note })
    return reply.redirect('/session', 303)
  })
}

/** Option `onError`: dresses what a guard refuses. A login that failed keeps the plugin's page, which knows where it was to go. */
export function dressProblem (error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  return request.routeOptions.url === '/callback' ? undefined : showProblem(error, request, reply)
}

/** Shows an error as a page of this application. */
export function showProblem (error: Error & { statusCode?: number }, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode = 500, message } = error
  if (statusCode === 500) request.log.error(error)
  return sendPage(reply.code(statusCode), problemPage(request, statusCode, message))
}
