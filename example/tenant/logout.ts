import type { FastifyPluginAsync } from 'fastify'
import type Provider from 'oidc-provider'
import { sendPage } from '../page.ts'
import { errorPage, loggedOutPage } from './pages.ts'
import type { TenantClient } from './provider.ts'

interface LogoutOptions {
  provider: Provider
  clients: readonly TenantClient[]
}

type TenantSession = Awaited<ReturnType<Provider['Session']['get']>>

/**
 * GET /v2/logout - ends the session at the tenant, as Auth0's own endpoint does (Authentication API, "Auth0 Logout"), and tells the
 * applications in which it was in use.
 */
export const logout: FastifyPluginAsync<LogoutOptions> = async (app, { provider, clients }) => {
  app.get<{ Querystring: { client_id?: string, returnTo?: string } }>('/v2/logout', { exposeHeadRoute: false }, async (request, reply) => {
    const { client_id: clientId } = request.query
    const client = clients.find(client => client.clientId === clientId)
    if (clientId !== undefined && client === undefined) {
      return sendPage(reply.code(400), errorPage('No application of this tenant has this client_id.'))
    }
    const { postLogoutRedirectUris = [] } = client ?? {}
    const { returnTo = postLogoutRedirectUris[0] } = request.query
    if (returnTo !== undefined && !postLogoutRedirectUris.map(withoutQuery).includes(withoutQuery(returnTo))) {
      return sendPage(reply.code(400), errorPage('The "returnTo" URL is not one of the "Allowed Logout URLs" of this application.'))
    }
    const session = await provider.Session.get(provider.createContext(request.raw, reply.raw))
    await session.destroy()
    await tellApplications(provider, session)
    return returnTo === undefined ? sendPage(reply, loggedOutPage()) : reply.redirect(returnTo, 302)
  })
}

/**
 * Has oidc-provider send its logout tokens, as it does at its own end_session_endpoint. An application that cannot be reached keeps
 * nobody from logging out.
 *
 * @see OpenID Connect Back-Channel Logout 1.0 §2.3, §2.5
 */
async function tellApplications (provider: Provider, session: TenantSession): Promise<void> {
  await Promise.allSettled(Object.keys(session.authorizations ?? {}).map(async clientId => {
    const client = await provider.Client.find(clientId)
    if (client?.backchannelLogoutUri === undefined) return
    const sender = client as unknown as { backchannelLogout (sub: string | undefined, sid: string | undefined): Promise<void> } // missing in its types
    await sender.backchannelLogout(session.accountId, session.sidFor(clientId))
  }))
}

/** Auth0 compares "Allowed Logout URLs" without their query. */
function withoutQuery (url: string): string {
  return url.replace(/\?.*/, '')
}
