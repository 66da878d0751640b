import type { FastifyPluginAsync } from 'fastify'
import { forwardedParams } from '../authorization-params.ts'
import { parseQuery } from '../callback-answer.ts'
import { refusePrefetch } from './prefetch.ts'
import type { RouteServices } from './routes.ts'

/** GET /login - sends the browser to the provider (OpenID Connect Core 1.0 §3.1.2.1). */
export const loginRoute: FastifyPluginAsync<RouteServices> = async (app, { config, logins }) => {
  if (config.routes.login === null) return
  app.get(config.routes.login, { exposeHeadRoute: false }, async (request, reply) => {
    refusePrefetch(request)
    const query = parseQuery(request)
    const [returnTo = '', ...more] = query.getAll('returnTo')
    const url = await logins.start(request, reply, { returnTo: more.length === 0 ? returnTo : '', authorizationParams: forwardedParams(query) })
    return reply.redirect(url.href, 302)
  })
}
