import formbody from '@fastify/formbody'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { LogBook } from './api.ts'
import { files } from './files.ts'
import { lamps } from './lamps.ts'
import { sendPage } from './page.ts'
import { adminPage, homePage, problemPage, profilePage, sessionPage, VAULT_MAX_AGE, vaultPage, type Place } from './web/pages.ts'

interface WebOptions {
  /** Where sessions are kept: those in cookies are known to nobody but their browser, so they cannot be listed. */
  sessionsIn: Place
  /** Address of the API, where there is one. */
  logBook?: string
  /** Whether access tokens are accepted here, too. */
  hasApi?: boolean
}

/** A small web application, and what each of its pages asks of who is calling. */
export const web: FastifyPluginAsync<WebOptions> = async (app, { sessionsIn, logBook, hasApi = false }) => {
  app.setErrorHandler((error: Error, request, reply) => showProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) => showProblem(notFound('There is no such page'), request, reply))
  await app.register(formbody)
  await app.register(files, { folder: new URL('web/', import.meta.url) })

  app.get('/', async (request, reply) => sendPage(reply, homePage(request)))

  app.get('/profile', { preHandler: app.requireAuth() }, async (request, reply) => {
    return sendPage(reply, profilePage(request, logBook === undefined ? null : await readLogBook(request, logBook)))
  })

  /** In the person's name: with their access token, which is renewed when it is over. */
  async function readLogBook (request: FastifyRequest, url: string): Promise<LogBook> {
    const response = await app.auth0.fetch(request, url)
    if (!response.ok) throw Object.assign(new Error(`The log book answered ${response.status}`), { statusCode: 502 })
    return await response.json() as LogBook
  }

  if (hasApi) await app.register(lamps)

  app.get('/admin', { preHandler: app.requireAuth({ roles: 'admin' }) }, async (request, reply) => sendPage(reply, adminPage(request)))

  app.get('/vault', { preHandler: app.requireAuth({ maxAge: VAULT_MAX_AGE }) }, async (request, reply) => sendPage(reply, vaultPage(request)))

  const sessionsOf = (request: FastifyRequest) => app.auth0.sessions.list(request.auth0.user!.sub, request)

  app.get('/session', { preHandler: app.requireAuth() }, async (request, reply) => {
    return sendPage(reply, sessionPage(request, sessionsIn, sessionsIn === 'cookie' ? null : await sessionsOf(request)))
  })

  const note = { type: 'object', required: ['note'], properties: { note: { type: 'string', maxLength: 200 } } }
  app.post<{ Body: { note: string } }>('/session', { preHandler: app.requireAuth(), schema: { body: note } }, async (request, reply) => {
    await request.auth0.updateSession({ note: request.body.note })
    return reply.redirect('/session', 303)
  })

  const choice = { type: 'object', required: ['id'], properties: { id: { type: 'string', maxLength: 100 } } }
  app.post<{ Body: { id: string } }>('/session/end', { preHandler: app.requireAuth(), schema: { body: choice } }, async (request, reply) => {
    const chosen = (await sessionsOf(request)).find(({ id }) => id === request.body.id) // one of theirs, or none
    if (chosen === undefined) throw notFound('You have no such session. It may have ended already')
    if (chosen.current) {
      await app.auth0.logout(request, reply) // here, with its cookie. The address that it gives is the way to log out at the tenant, too
      return reply.redirect('/', 303)
    }
    await app.auth0.sessions.end(chosen.id)
    return reply.redirect('/session', 303)
  })

  app.post('/session/end-others', { preHandler: app.requireAuth() }, async (request, reply) => {
    await app.auth0.sessions.endOthers(request)
    return reply.redirect('/session', 303)
  })
}

function notFound (message: string): Error {
  return Object.assign(new Error(message), { statusCode: 404 })
}

/** Option `onError`: dresses what a guard refuses. A login that failed keeps the plugin's page, which knows where it was to go. */
export function dressProblem (error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  return request.routeOptions.url === '/callback' ? undefined : showProblem(error, request, reply)
}

/** Shows an error as a page of this application. */
export function showProblem (error: Error & { statusCode?: number }, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode = 500, message } = error
  if (statusCode === 500) request.log.error(error)
  if (statusCode === 503) reply.header('retry-after', 1) // second
  return sendPage(reply.code(statusCode), problemPage(request, statusCode, message))
}
