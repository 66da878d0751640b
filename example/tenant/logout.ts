import type { FastifyPluginAsync } from 'fastify'
import type Provider from 'oidc-provider'
import { sendPage } from '../page.ts'
import { errorPage, loggedOutPage } from './pages.ts'

interface LogoutOptions {
  provider: Provider
  postLogoutRedirectUris: string[]
}

/** GET /v2/logout - ends the session at the tenant, as Auth0's own endpoint does (Authentication API, "Auth0 Logout"). */
export const logout: FastifyPluginAsync<LogoutOptions> = async (app, { provider, postLogoutRedirectUris }) => {
  app.get<{ Querystring: { client_id?: string, returnTo?: string } }>('/v2/logout', { exposeHeadRoute: false }, async (request, reply) => {
    const { client_id: clientId = '', returnTo = postLogoutRedirectUris[0] } = request.query
    if (await provider.Client.find(clientId) === undefined) {
      return sendPage(reply.code(400), errorPage('No application of this tenant has this client_id.'))
    }
    if (returnTo === undefined) {
      return sendPage(reply, loggedOutPage())
    }
    if (!postLogoutRedirectUris.map(withoutQuery).includes(withoutQuery(returnTo))) {
      return sendPage(reply.code(400), errorPage('The "returnTo" URL is not one of the "Allowed Logout URLs" of this application.'))
    }
    const session = await provider.Session.get(provider.createContext(request.raw, reply.raw))
    await session.destroy()
    return reply.redirect(returnTo, 302)
  })
}

/** Auth0 compares "Allowed Logout URLs" without their query. */
function withoutQuery (url: string): string {
  return url.replace(/\?.*/, '')
}
