import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { forwardedParams } from '../authorization-params.ts'
import { parseQuery } from '../callback-answer.ts'
import type { Config } from '../options.ts'
import { refuseEmbedding, refusePrefetch } from '../guard/prefetch.ts'
import type { RouteServices } from './services.ts'

/** GET /login - sends the browser to the provider (OpenID Connect Core 1.0 §3.1.2.1). */
export const loginRoute: FastifyPluginAsync<RouteServices> = async (app, { config, logins }) => {
  if (config.routes.login === null) return
  app.get(config.routes.login, { exposeHeadRoute: false }, async (request, reply) => {
    refusePrefetch(request)
    refuseEmbedding(request)
    const authorizationParams = withinOptions(forwardedParams(parseQuery(request)), config.authorizationParams)
    const url = await logins.start(request, reply, { returnTo: wishedReturnTo(request) ?? '', authorizationParams })
    return reply.sent ? reply : reply.redirect(url.href, 302)
  })
}

/** Where a query says to go on to: unchecked, and `null` when it does not say, or says two things. */
export function wishedReturnTo (request: FastifyRequest): string | null {
  const [returnTo = null, ...more] = parseQuery(request).getAll('returnTo')
  return more.length === 0 ? returnTo : null
}

/** What the application says by its options a link must not say otherwise: how, and as part of what, people log in. */
const FIXED = ['organization', 'connection', 'prompt']

/** Nor may a link make an older authentication do. */
function withinOptions (forwarded: Record<string, string>, options: Config['authorizationParams']): Record<string, string> {
  const allowed = Object.entries(forwarded).filter(([name]) => !FIXED.includes(name) || options[name] === undefined)
  const ages = [forwarded.max_age, options.max_age].filter(age => age !== undefined).map(Number)
  return { ...Object.fromEntries(allowed), ...ages.length === 0 ? {} : { max_age: String(Math.min(...ages)) } }
}
