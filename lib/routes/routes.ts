import formbody from '@fastify/formbody'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest, RegisterOptions } from 'fastify'
import type { RoutePaths } from '../options.ts'
import { backchannelLogoutRoute } from './backchannel-logout.ts'
import { callbackRoute } from './callback.ts'
import { loginRoute, wishedReturnTo } from './login.ts'
import { logoutRoute } from './logout.ts'
import type { RouteServices } from './services.ts'

const BODY_LIMIT = 64 * 1024 // bytes; a `form_post` has a code and a state

const METHODS = { login: 'GET', callback: 'GET, POST', logout: 'GET, POST', backchannelLogout: 'POST' }

/** For every answer: it is of one login, and its address may have a code in it (RFC 9700 §4.2.4). */
const HEADERS = { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }

/** Login, callback and logouts, in a context of their own: their parser, error pages and log lines are not the application's. */
export const routes: FastifyPluginAsync<RouteServices> = async (app, { config, addresses, logins, logout, handleBackchannelLogout, answerError, markOwn }) => {
  // Without Fastify's `prefix`, which would count twice.
  const services: RouteServices = { config, addresses, logins, logout, handleBackchannelLogout, answerError, markOwn }
  app.addHook('onRoute', markOwn)
  // The application's parsers have other limits and results. What is no form counts as an empty one: nobody sends it here.
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: BODY_LIMIT })
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: BODY_LIMIT }, async () => undefined)
  app.addHook('onRequest', async (_request, reply) => { reply.headers(HEADERS) })
  app.setErrorHandler<Error>((error, request, reply) => answerError(error, request, reply, loginQuery(request)))
  for (const [name, path] of Object.entries(config.routes)) if (path !== null) app.head(path, answerHead(METHODS[name as keyof RoutePaths]))
  await app.register(loginRoute, services)
  await app.register(callbackRoute, services)
  await app.register(logoutRoute, services)
  await app.register(backchannelLogoutRoute, services)

  /** For a link that begins the same login again. */
  function loginQuery (request: FastifyRequest): Record<string, string> {
    const returnTo = logins.returnToOf(request) ?? wishedReturnTo(request)
    return returnTo === null ? {} : { returnTo }
  }
}

/** Does nothing: Fastify would else run the GET route for it, and log what it does not know with the query. */
function answerHead (methods: string) {
  return (_request: FastifyRequest, reply: FastifyReply) => reply.code(405).header('allow', methods).send()
}

/** How Fastify logs our requests: without the query, where code and state are (RFC 9700 §4.2.4). */
export const logSerializers: NonNullable<RegisterOptions['logSerializers']> = {
  req: (request: FastifyRequest) => ({
    method: request.method,
    url: request.url.split('?', 1)[0],
    host: request.host,
    remoteAddress: request.ip
  }) as never, // Fastify's type knows serializers that make strings only
  res: (reply: FastifyReply) => ({ statusCode: reply.statusCode }) as never // an application's own may show the request
}
