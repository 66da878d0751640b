import type { ActiveSessions } from './active-sessions.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import type { BackchannelLogout } from './backchannel-logout.ts'
import type { RequireAuth } from './guard/require-auth.ts'
import type { CompletedLogin, LoginOptions } from './login.ts'
import type { LogoutOptions } from './logout.ts'
import type { ListedRoute } from './policy/route-policy.ts'
import type { SessionInfo } from './request-auth.ts'
import type { User } from './session/sessions.ts'
import type { AccessTokenOptions, TokenSet } from './tokens/access-tokens.ts'
import type { ApiRequest } from './tokens/api-fetch.ts'

/** `app.auth0`: for people with routes of their own. */
export interface Auth0 {
  /**
   * Begins a login: keeps it in a cookie of the reply and gives the address to redirect to.
   *
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
   * @throws {FST_AUTH0_PROVIDER_FAILED} 502
   */
  startInteractiveLogin (request: AnyRequest, reply: AnyReply, options?: LoginOptions): Promise<URL>
  /** Finishes a login in a callback route of one's own, and begins the session. Throws what the callback route shows as a page. */
  completeInteractiveLogin (request: AnyRequest, reply: AnyReply): Promise<CompletedLogin>
  /** As `request.auth0.user`. */
  getUser (request: AnyRequest): Readonly<User> | null
  /** As `request.auth0.session`. */
  getSession (request: AnyRequest): SessionInfo | null
  /** As `request.auth0.getAccessToken`. */
  getAccessToken (request: AnyRequest, options?: AccessTokenOptions): Promise<string>
  /** As `request.auth0.getTokenSet`. */
  getTokenSet (request: AnyRequest, options?: AccessTokenOptions): Promise<TokenSet>
  /**
   * Calls an API with the session's access token, as the global `fetch` does it. When the API answers that the token is not good any more, once more with a new one,
   * unless the body is a stream, or the token was just received. With a token that is bound to a key (option `dpop`) it follows no redirect: that is the answer.
   *
   * @throws {FST_AUTH0_OPTIONS_INVALID} 500 for an address where others could read the token: not https, nor on this machine; and for a `Request`
   * @throws what `getAccessToken` throws
   * @see RFC 6750 §2.1, §3.1
   */
  fetch (request: AnyRequest, url: string | URL, init?: ApiRequest | null): Promise<Response>
  /** Ends the session, and gives the address that logs out at the provider. */
  logout (request: AnyRequest, reply: AnyReply, options?: LogoutOptions): Promise<URL>
  requireAuth: RequireAuth
  /**
   * Who may use which route, of those defined after this plugin: complete once the server is ready. Guards are found among the hooks of a route and of its context, not
   * inside other hooks.
   */
  routes (): ListedRoute[]
  /**
   * Ends what a logout token of the provider names, for a route of one's own, and gives how many sessions those were; with `revocations`, how
   * many marks were made. 0 for a token that was here before.
   *
   * @throws {FST_AUTH0_LOGOUT_TOKEN_INVALID} 400
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
   * @throws {FST_AUTH0_STORE_REQUIRED} 500
   * @see OpenID Connect Back-Channel Logout 1.0 §2.6, §2.7
   */
  handleBackchannelLogout: BackchannelLogout
  /** Who is logged in where, and ending that. */
  sessions: ActiveSessions
}
