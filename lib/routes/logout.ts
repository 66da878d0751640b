import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { parseQuery } from '../callback-answer.ts'
import { refusePrefetch } from '../guard/prefetch.ts'
import type { LogoutOptions } from '../logout.ts'
import { sendPage } from '../pages.ts'
import type { RouteServices } from './services.ts'

/** POST or GET /logout - ends the session here, then at the provider (OpenID Connect RP-Initiated Logout 1.0 §2). */
export const logoutRoute: FastifyPluginAsync<RouteServices> = async (app, { config, addresses, logout }) => {
  const { logout: path } = config.routes
  if (path === null) return

  app.post(path, async (request, reply) => {
    const url = await logout(request, reply, parseWishes({ ...Object.fromEntries(parseQuery(request)), ...request.body ?? {} }))
    return reply.sent ? reply : reply.redirect(url.href, 303)
  })

  app.get(path, { exposeHeadRoute: false }, async (request, reply) => {
    refusePrefetch(request)
    const wishes = parseWishes(Object.fromEntries(parseQuery(request)))
    if (!isPersonsWish(request, addresses.origins)) return sendPage(reply, 200, confirmation(request, wishes))
    const url = await logout(request, reply, wishes)
    return reply.sent ? reply : reply.redirect(url.href, 303)
  })

  /** Asks whoever comes from another site, by a button that posts. */
  function confirmation (request: FastifyRequest, { returnTo, federated }: Required<LogoutOptions>) {
    return {
      title: 'Log out?',
      text: 'You came here from another site, so nothing has happened yet.',
      button: { label: 'Log out', action: addresses.publicPath(request, request.routeOptions.url as string), fields: { returnTo, ...federated ? { federated: 'true' } : {} } },
      ways: [{ label: 'Stay logged in', href: addresses.publicPath(request, '/') }]
    }
  }
}

function parseWishes ({ returnTo, federated }: { returnTo?: unknown, federated?: unknown }): Required<LogoutOptions> {
  return { returnTo: typeof returnTo === 'string' ? returnTo : '', federated: federated !== undefined }
}

/**
 * Whether somebody clicked a link of ours or typed the address. A link or an image of another site logs nobody out; nor does an
 * image that a visitor put into a page of ours.
 */
function isPersonsWish (request: FastifyRequest, origins: ReadonlySet<string>): boolean {
  const { 'sec-fetch-site': site, 'sec-fetch-dest': destination = 'document', referer } = request.headers
  if (destination !== 'document' && destination !== 'empty') return false
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return referer === undefined || (URL.canParse(referer) && origins.has(new URL(referer).origin))
}
