import { FST_AUTH0_CROSS_SITE_REQUEST } from './errors.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import { isCrossSite } from './cross-site.ts'
import type { Config } from './options.ts'
import type { Login, Session, User } from './session/sessions.ts'
import type { AccessTokenOptions, GivenToken, GiveToken, TokenSet, WantedToken } from './tokens/access-tokens.ts'
import type { ApiCaller } from './tokens/api-fetch.ts'
import { verifyTokenOptions } from './tokens/verify-token-options.ts'

/** The session of whoever is calling. Times in seconds since the epoch. */
export interface SessionInfo {
  createdAt: number
  /** As exact as a tenth of the idle time-out: a session is not written at every request. */
  usedAt: number
  /** When it ends unless it is used. */
  idleExpiresAt: number
  /** When it ends however much it is used. */
  absoluteExpiresAt: number
  /** The application's own, by `updateSession`. */
  data: Readonly<Record<string, unknown>>
}

/** `request.auth0`: who is calling. Read when first asked for, once per request. */
export interface RequestAuth0 {
  /** Their claims, or `null`. Frozen: requests of one person share it. `null` too for a cross-site request that acts. */
  readonly user: Readonly<User> | null
  readonly isAuthenticated: boolean
  /** By what they proved it. */
  readonly via: 'session' | null
  readonly session: SessionInfo | null
  /** Verified claims; of a session they are those of `user`. */
  readonly claims: Readonly<User> | null
  /** Of the claim that option `rolesClaim` names. */
  readonly roles: readonly string[]
  /** Of the claim that option `permissionsClaim` names. */
  readonly permissions: readonly string[]
  /**
   * Merges fields into `session.data`; `undefined` removes one. Reads in the same request see it.
   *
   * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when nobody is logged in
   * @throws {FST_AUTH0_CROSS_SITE_REQUEST} 403 for an unsafe method from another site
   * @throws {FST_AUTH0_SESSION_TOO_LARGE} 507 when the cookies would become too large
   * @throws {FST_AUTH0_SESSION_DATA_INVALID} 500 for what is no JSON
   * @throws {FST_AUTH0_SESSION_WRITTEN} 500 once the answer's headers are written
   */
  updateSession (data: Record<string, unknown>): Promise<void>
  /**
   * An access token to call an API with, in the person's name: the one that is there while it is good, else a new one, for which one request asks
   * however many need it.
   *
   * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when nobody is logged in
   * @throws {FST_AUTH0_CROSS_SITE_REQUEST} 403 for an unsafe method from another site
   * @throws {FST_AUTH0_REFRESH_TOKEN_MISSING} 401; the message says what to do
   * @throws {FST_AUTH0_REFRESH_TOKEN_REFUSED} 401 when the provider ended the login; the session has ended, too
   * @throws {FST_AUTH0_INTERACTION_REQUIRED} 401 when the provider has to ask the person for something
   * @throws {FST_AUTH0_ACCESS_TOKEN_DENIED} 403
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503 with `Retry-After`; the session goes on
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
   * @throws {FST_AUTH0_SESSION_WRITTEN} 500 when a new one cannot be kept, because the answer's headers are written
   * @throws {FST_AUTH0_OPTIONS_INVALID} 500 for options that are none
   */
  getAccessToken (options?: AccessTokenOptions): Promise<string>
  /** As `getAccessToken`, with what the token is good for. */
  getTokenSet (options?: AccessTokenOptions): Promise<TokenSet>
}

type RequestAuthConfig = Pick<Config, 'session' | 'rolesClaim' | 'permissionsClaim'>

/** Where somebody whom a guard admitted goes to log in once more, when the handler failed for want of that; `null` when it did not. */
export type Relogin = (request: AnyRequest, reply: AnyReply, failure: Error) => Promise<string> | null

/** What is known of the caller of one request. */
export class RequestAuth implements RequestAuth0, ApiCaller {
  readonly #config: RequestAuthConfig
  readonly #request: AnyRequest
  readonly #giveToken: GiveToken
  /** For our routes and hooks: also of a cross-site request. */
  readonly currentSession: Session
  readonly isCrossSite: boolean
  /** Of the guard that admitted the request. */
  relogin: Relogin | null = null
  /** What the handler failed with, when it was a call for a token, of this very instance. */
  failure: Error | null = null
  readonly #tokenFailures = new Set<unknown>()

  constructor (config: RequestAuthConfig, session: Session, request: AnyRequest, origins: ReadonlySet<string>, giveToken: GiveToken) {
    this.#config = config
    this.#request = request
    this.#giveToken = giveToken
    this.currentSession = session
    this.isCrossSite = isCrossSite(request, origins)
  }

  get login (): Login | null {
    return this.isCrossSite ? null : this.currentSession.login
  }

  get user (): Readonly<User> | null {
    return this.login?.user ?? null
  }

  get isAuthenticated (): boolean {
    return this.login !== null
  }

  get via (): 'session' | null {
    return this.login === null ? null : 'session'
  }

  get session (): SessionInfo | null {
    if (this.login === null) return null
    const { createdAt, usedAt, data } = this.login
    const { idleTimeout, absoluteTimeout } = this.#config.session
    const absoluteExpiresAt = createdAt + absoluteTimeout
    return { createdAt, usedAt, idleExpiresAt: Math.min(usedAt + idleTimeout, absoluteExpiresAt), absoluteExpiresAt, data }
  }

  get claims (): Readonly<User> | null {
    return this.user
  }

  get roles (): readonly string[] {
    return stringsAt(this.user, this.#config.rolesClaim)
  }

  get permissions (): readonly string[] {
    return stringsAt(this.user, this.#config.permissionsClaim)
  }

  async updateSession (data: Record<string, unknown>): Promise<void> {
    if (this.isCrossSite) throw new FST_AUTH0_CROSS_SITE_REQUEST()
    return this.currentSession.update(data)
  }

  async getAccessToken (options?: AccessTokenOptions): Promise<string> {
    return (await this.token(verifyTokenOptions('getAccessToken', options))).tokenSet.accessToken
  }

  async getTokenSet (options?: AccessTokenOptions): Promise<TokenSet> {
    return (await this.token(verifyTokenOptions('getTokenSet', options))).tokenSet
  }

  async token (wanted: WantedToken): Promise<GivenToken> {
    if (this.isCrossSite) throw new FST_AUTH0_CROSS_SITE_REQUEST()
    return this.#giveToken(this.currentSession, this.#request, wanted).catch(error => {
      this.#tokenFailures.add(error)
      throw error
    })
  }

  /** Remembers what the handler failed with. */
  failed (error: Error): void {
    if (this.#tokenFailures.has(error)) this.failure = error
  }
}

/** The strings of a claim; what is no string grants nothing. */
function stringsAt (user: Readonly<User> | null, path: readonly string[]): readonly string[] {
  let value: unknown = user
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return []
    value = (value as Record<string, unknown>)[name]
  }
  const list = Array.isArray(value) ? value : [value]
  return list.filter(item => typeof item === 'string')
}
