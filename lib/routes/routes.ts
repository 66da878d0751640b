import formbody from '@fastify/formbody'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest, RegisterOptions } from 'fastify'
import type { Addresses } from '../addresses.ts'
import type { ErrorAnswer } from '../error-answer.ts'
import type { Logins } from '../login.ts'
import type { Logout } from '../logout.ts'
import type { Config } from '../options.ts'
import { callbackRoute } from './callback.ts'
import { loginRoute } from './login.ts'
import { logoutRoute } from './logout.ts'

const BODY_LIMIT = 64 * 1024 // bytes; a `form_post` has a code and a state

/** What the routes need. */
export interface RouteServices {
  config: Config
  addresses: Addresses
  logins: Logins
  logout: Logout
  answerError: ErrorAnswer
}

/** Login, callback and logout, in a context of their own: their parser, error pages and log lines are not the application's. */
export const routes: FastifyPluginAsync<RouteServices> = async (app, services) => {
  // The application may have a parser of its own, with other limits and another result.
  app.removeContentTypeParser('application/x-www-form-urlencoded')
  await app.register(formbody, { bodyLimit: BODY_LIMIT })
  app.setErrorHandler<Error>((error, request, reply) => services.answerError(error, request, reply, services.logins.returnToOf(request)))
  for (const path of Object.values(services.config.routes)) if (path !== null) app.head(path, answerHead)
  await app.register(loginRoute, services)
  await app.register(callbackRoute, services)
  await app.register(logoutRoute, services)
}

/** Does nothing: Fastify would else run the GET route for it, and log what it does not know with the query. */
function answerHead (_request: FastifyRequest, reply: FastifyReply) {
  return reply.code(405).header('allow', 'GET').send()
}

/** How Fastify logs our requests: without the query, where code and state are (RFC 9700 §4.2.4). */
export const logSerializers: NonNullable<RegisterOptions['logSerializers']> = {
  req: (request: FastifyRequest) => ({
    method: request.method,
    url: request.url.split('?', 1)[0],
    host: request.host,
    remoteAddress: request.ip
  }) as never // Fastify's type knows serializers that make strings only
}
