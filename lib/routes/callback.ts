import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { sendPage } from '../pages.ts'
import type { RouteServices } from './routes.ts'

/** GET or POST /callback - finishes a login (OpenID Connect Core 1.0 §3.1.2.5; OAuth 2.0 Form Post Response Mode). */
export const callbackRoute: FastifyPluginAsync<RouteServices> = async (app, { config, logins }) => {
  if (config.routes.callback === null) return

  async function finishLogin (request: FastifyRequest, reply: FastifyReply) {
    const { returnTo } = await logins.complete(request, reply)
    reply.headers({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    if (config.cookie.sameSite !== 'strict') return reply.redirect(returnTo, 303)
    // A redirect would still count as coming from the provider's site, and a strict cookie would stay behind.
    return sendPage(reply, 200, { title: 'You are logged in', text: 'One moment.', ways: [{ label: 'Continue', href: returnTo }], goesOnTo: returnTo })
  }

  app.get(config.routes.callback, { exposeHeadRoute: false }, finishLogin)
  app.post(config.routes.callback, finishLogin)
}
