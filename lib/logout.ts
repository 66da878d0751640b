import { setTimeout as delay } from 'node:timers/promises'
import type { Addresses } from './addresses.ts'
import { isCrossSite } from './cross-site.ts'
import { FST_AUTH0_CROSS_SITE_REQUEST, FST_AUTH0_LOGOUT_INCOMPLETE, FST_AUTH0_SESSION_UNAVAILABLE } from './errors.ts'
import { publish } from './events.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import type { Config } from './options.ts'
import type { Provider } from './provider/provider.ts'
import type { Session, User } from './session/sessions.ts'

const MAX_WAIT = 1000 // milliseconds for the provider to revoke a refresh token

/** How a logout goes on. */
export interface LogoutOptions {
  /** Where to go afterwards: a path, or a URL on an origin of `appBaseUrl`. The provider must know it. Default: home. */
  returnTo?: string
  /** Auth0: log out at the upstream identity provider too. Default: `false`. */
  federated?: boolean
}

/**
 * Ends the session of a request and says where logging out goes on.
 *
 * @throws {FST_AUTH0_CROSS_SITE_REQUEST} 403 for an unsafe method from another site: nobody is logged out by a stranger's form
 * @throws {FST_AUTH0_LOGOUT_INCOMPLETE} 503 when the session may go on elsewhere; this browser has forgotten it
 */
export type Logout = (request: AnyRequest, reply: AnyReply, options?: LogoutOptions) => Promise<URL>

/** What a logout needs. */
export interface LogoutServices {
  config: Config
  addresses: Addresses
  provider: Provider
  sessionOf (request: AnyRequest): Session
}

export function createLogout ({ config, addresses, provider, sessionOf }: LogoutServices): Logout {
  return async (request, _reply, { returnTo, federated = false } = {}) => {
    if (isCrossSite(request, addresses.origins)) throw new FST_AUTH0_CROSS_SITE_REQUEST()
    const session = sessionOf(request)
    const login = await session.end().catch(explain)
    const revoked = revoke(login?.tokens.refreshToken ?? null)
    if (login !== null) await tell(request, login.user)
    const goOnTo = absolute(request, addresses.returnTo(request, returnTo))
    await revoked
    const sid = typeof login?.user.sid === 'string' ? login.user.sid : null
    // Somebody without a session here may still have one there.
    return await provider.logoutUrl({ idToken: login?.idToken ?? null, sid, returnTo: goOnTo, federated }) ?? new URL(goOnTo)
  }

  /** The provider may take its time; the person need not. */
  async function revoke (refreshToken: string | null): Promise<void> {
    if (refreshToken !== null) await Promise.race([provider.revoke(refreshToken), delay(MAX_WAIT, null, { ref: false })])
  }

  /** The home page as option `appBaseUrl` spells it: a provider compares it with what was entered there, slash and all. */
  function absolute (request: AnyRequest, returnTo: string): string {
    const base = addresses.base(request)
    return returnTo === addresses.returnTo(request, undefined) ? base : new URL(returnTo, base).href
  }

  /** An application that fails must not keep anybody logged in. */
  async function tell (request: AnyRequest, user: Readonly<User>): Promise<void> {
    publish('logout', { instance: config.name, iss: user.iss, sub: user.sub, requestId: request.id })
    request.log.info({ sub: user.sub }, 'logged out')
    try {
      await config.onLogout?.({ user }, request)
    } catch (error) {
      request.log.error({ err: error }, 'onLogout failed')
    }
  }
}

function explain (error: unknown): never {
  throw error instanceof FST_AUTH0_SESSION_UNAVAILABLE ? new FST_AUTH0_LOGOUT_INCOMPLETE({ cause: error }) : error
}
