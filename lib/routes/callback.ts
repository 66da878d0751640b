import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { sendPage } from '../pages.ts'
import type { RouteServices } from './services.ts'

/** GET or POST /callback - finishes a login (OpenID Connect Core 1.0 §3.1.2.5; OAuth 2.0 Form Post Response Mode). */
export const callbackRoute: FastifyPluginAsync<RouteServices> = async (app, { config, logins }) => {
  if (config.routes.callback === null) return

  async function finishLogin (request: FastifyRequest, reply: FastifyReply) {
    const { user, returnTo } = await logins.complete(request, reply)
    // Timed out meanwhile, by Fastify's `handlerTimeout`: answering again would log the address, with code and state.
    if (reply.sent) return reply
    if (config.cookie.sameSite !== 'strict') return reply.redirect(returnTo, 303)
    // A redirect would still count as coming from the provider's site, and a strict cookie would stay behind.
    const title = user === null ? 'You are not logged in' : 'You are logged in'
    return sendPage(reply, 200, { title, text: 'One moment.', ways: [{ label: 'Continue', href: returnTo }], goesOnTo: returnTo })
  }

  app.get(config.routes.callback, { exposeHeadRoute: false }, finishLogin)
  app.post(config.routes.callback, finishLogin)
}
