import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { parseQuery } from '../callback-answer.ts'
import { FST_AUTH0_CROSS_SITE_REQUEST } from '../errors.ts'
import { isCrossSite } from '../cross-site.ts'
import { sendPage } from '../pages.ts'
import { refusePrefetch } from '../guard/prefetch.ts'
import type { RouteServices } from './routes.ts'

/** POST or GET /logout - ends the session here, then at the provider (OpenID Connect RP-Initiated Logout 1.0 §2). */
export const logoutRoute: FastifyPluginAsync<RouteServices> = async (app, { config, addresses, logout }) => {
  const path = config.routes.logout
  if (path === null) return

  app.post(path, async (request, reply) => {
    if (isCrossSite(request, addresses.origins)) throw new FST_AUTH0_CROSS_SITE_REQUEST()
    const url = await logout(request, reply, wishes(new URLSearchParams(request.body as Record<string, string> ?? {})))
    return reply.header('cache-control', 'no-store').redirect(url.href, 303)
  })

  app.get(path, { exposeHeadRoute: false }, async (request, reply) => {
    refusePrefetch(request)
    const query = parseQuery(request)
    if (!isPersonsWish(request, addresses.origins)) {
      return sendPage(reply, 200, {
        title: 'Log out?',
        text: 'You came here from another site, so nothing has happened yet.',
        button: { label: 'Log out', action: addresses.publicPath(request, config.paths.logout as string), fields: Object.fromEntries(query) },
        ways: [{ label: 'Stay logged in', href: addresses.publicPath(request, '/') }]
      })
    }
    const url = await logout(request, reply, wishes(query))
    return reply.header('cache-control', 'no-store').redirect(url.href, 303)
  })
}

function wishes (parameters: URLSearchParams) {
  return { returnTo: parameters.get('returnTo') ?? '', federated: parameters.has('federated') }
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
