import type { BearerTokens } from './api/bearer-tokens.ts'
import { schemeOf } from './api/credentials.ts'
import type { ClaimPaths, ClaimPathsOf } from './claim-paths.ts'
import { FST_AUTH0_CROSS_SITE_REQUEST, FST_AUTH0_LOGIN_REQUIRED } from './errors.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import { isCrossSite } from './cross-site.ts'
import type { Config } from './options.ts'
import type { Login, Session, User } from './session/sessions.ts'
import type { AccessTokenOptions, GivenToken, GiveToken, TokenSet, WantedToken } from './tokens/access-tokens.ts'
import type { ApiCaller } from './tokens/api-fetch.ts'
import { verifyTokenOptions } from './tokens/verify-token-options.ts'

/** What a caller proves who they are with. */
export type Via = 'session' | 'bearer'

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
  /**
   * Their claims, or `null`: of the access token where the request brings one and option `api` is set, else of the session, never of both. Frozen: requests of one
   * person share it. `null` too for a cross-site request with a session that acts; and where no guard is to be expected (a route with `config.auth0`, or none) for a token that only
   * the provider knows, which is asked there by guards alone.
   */
  readonly user: Readonly<User> | null
  readonly isAuthenticated: boolean
  /** By what they proved it. */
  readonly via: Via | null
  readonly session: SessionInfo | null
  /** Verified claims: those of `user`. */
  readonly claims: Readonly<User> | null
  /** What they were granted: of an access token its `scope` or `scp`, of a session what came with the login (RFC 6749 §3.3). */
  readonly scopes: readonly string[]
  /** Of the claim that option `rolesClaim` names, of the plugin or of the issuer of an access token. */
  readonly roles: readonly string[]
  /** Of the claim that option `permissionsClaim` names, of the plugin or of the issuer of an access token. */
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

/** What callers are known by. */
export interface RequestAuthServices extends Pick<Config, 'session' | 'rolesClaim' | 'permissionsClaim'> {
  /** Of access tokens. */
  claimPathsOf: ClaimPathsOf
  /** Those that are ours. */
  origins: ReadonlySet<string>
  giveToken: GiveToken
  /** `null`: access tokens are not accepted. */
  bearerTokens: BearerTokens | null
  /** Whether something has to be asked before it can be told who is calling. */
  mustPrepare (request: AnyRequest): boolean
}

/** Where somebody whom a guard admitted goes to log in once more, when the handler failed for want of that; `null` when it did not. */
export type Relogin = (request: AnyRequest, reply: AnyReply, failure: Error) => Promise<string> | null

/** What is known of the caller of one request. */
export class RequestAuth implements RequestAuth0, ApiCaller {
  readonly #services: RequestAuthServices
  readonly #request: AnyRequest
  /** For our routes and hooks: also of a cross-site request. */
  readonly currentSession: Session
  readonly isCrossSite: boolean
  /** Whether the request brings an access token; then its session is not looked at. */
  readonly bringsToken: boolean
  /** Whether it can be told who is calling: not before the hooks of the plugin ran, where they have to ask. */
  isPrepared: boolean
  /** Of the access token; `null`: nobody looked at it, or the provider was not asked. */
  #verified: { claims: Readonly<User> } | { failure: Error } | null = null
  #asking: Promise<void> | null = null
  /** Of the guard that admitted the request. */
  relogin: Relogin | null = null
  /** What the handler failed with, when it was a call for a token, of this very instance. */
  failure: Error | null = null
  readonly #tokenFailures = new Set<unknown>()

  constructor (services: RequestAuthServices, session: Session, request: AnyRequest) {
    this.#services = services
    this.#request = request
    this.currentSession = session
    this.bringsToken = services.bearerTokens !== null && schemeOf(request) !== null
    this.isPrepared = !services.mustPrepare(request)
    this.isCrossSite = !this.bringsToken && isCrossSite(request, services.origins) // no page can make a browser send somebody's token
  }

  /**
   * Finds out beforehand what takes time, so that telling who is calling need not wait. Never fails: whoever asks is told.
   *
   * @param mayAsk whether the provider may see a token that tells nothing itself
   */
  async prepare (mayAsk: (request: AnyRequest) => boolean): Promise<void> {
    this.isPrepared = true
    return this.bringsToken ? this.#verify(mayAsk) : this.currentSession.fetch?.()
  }

  /** Whether the provider is still to be asked what the access token is good for. */
  get isUnasked (): boolean {
    return this.bringsToken && this.#verified === null
  }

  /** Asks it, once for all guards: a proof of possession is good once. Never fails, as `prepare`. */
  ask (): Promise<void> {
    this.#asking ??= this.#verify(() => true)
    return this.#asking
  }

  async #verify (mayAsk: (request: AnyRequest) => boolean): Promise<void> {
    const verify = this.#services.bearerTokens as BearerTokens // a token is brought
    this.#verified = await verify(this.#request, mayAsk).then(claims => claims && { claims }, failure => ({ failure: failure ?? new Error('nothing was thrown') })) // hooks may throw `null`
  }

  /** Why the access token is not taken. */
  get tokenFailure (): Error | null {
    return this.#verified !== null && 'failure' in this.#verified ? this.#verified.failure : null
  }

  get login (): Login | null {
    return this.bringsToken || this.isCrossSite ? null : this.currentSession.login
  }

  get user (): Readonly<User> | null {
    if (!this.bringsToken) return this.login?.user ?? null
    const { tokenFailure: failure } = this
    if (failure !== null && !isRefusal(failure)) throw failure // it is not known who: never "nobody"
    return this.#verified !== null && 'claims' in this.#verified ? this.#verified.claims : null
  }

  get isAuthenticated (): boolean {
    return this.user !== null
  }

  get via (): Via | null {
    if (this.user === null) return null
    return this.bringsToken ? 'bearer' : 'session'
  }

  get session (): SessionInfo | null {
    if (this.login === null) return null
    const { createdAt, usedAt, data } = this.login
    const { idleTimeout, absoluteTimeout } = this.#services.session
    const absoluteExpiresAt = createdAt + absoluteTimeout
    return { createdAt, usedAt, idleExpiresAt: Math.min(usedAt + idleTimeout, absoluteExpiresAt), absoluteExpiresAt, data }
  }

  get claims (): Readonly<User> | null {
    return this.user
  }

  get scopes (): readonly string[] {
    const { user, login } = this
    return login === null ? scopesOf(user) : words(login.tokens.access[0]?.granted)
  }

  get roles (): readonly string[] {
    return stringsAt(this.user, this.#claimPaths.rolesClaim)
  }

  get permissions (): readonly string[] {
    return stringsAt(this.user, this.#claimPaths.permissionsClaim)
  }

  get #claimPaths (): ClaimPaths {
    return this.bringsToken && this.user !== null ? this.#services.claimPathsOf(this.user.iss) : this.#services
  }

  async updateSession (data: Record<string, unknown>): Promise<void> {
    this.#assertSession()
    return this.currentSession.update(data)
  }

  async getAccessToken (options?: AccessTokenOptions): Promise<string> {
    return (await this.token(verifyTokenOptions('getAccessToken', options))).tokenSet.accessToken
  }

  async getTokenSet (options?: AccessTokenOptions): Promise<TokenSet> {
    return (await this.token(verifyTokenOptions('getTokenSet', options))).tokenSet
  }

  async token (wanted: WantedToken): Promise<GivenToken> {
    this.#assertSession()
    return this.#services.giveToken(this.currentSession, this.#request, wanted).catch(error => {
      this.#tokenFailures.add(error)
      throw error
    })
  }

  /** Remembers what the handler failed with. */
  failed (error: Error): void {
    if (this.#tokenFailures.has(error)) this.failure = error
  }

  /** That whoever is calling is known by the session. */
  #assertSession (): void {
    if (this.bringsToken) throw new FST_AUTH0_LOGIN_REQUIRED()
    if (this.isCrossSite) throw new FST_AUTH0_CROSS_SITE_REQUEST()
  }
}

/** Whether it says that a token is none, and not that nobody can know it right now. */
function isRefusal ({ statusCode = 500 }: Error & { statusCode?: number }): boolean {
  return statusCode < 500
}

/** Of an access token: `scope`, words with a space between them (RFC 9068 §2.2.3), or `scp`, words or a list. What is neither grants nothing. */
function scopesOf (claims: Readonly<User> | null): readonly string[] {
  const scope = claims?.scope ?? claims?.scp
  return Array.isArray(scope) ? scope.filter(item => typeof item === 'string') : words(scope)
}

function words (text: unknown): readonly string[] {
  return typeof text === 'string' ? text.split(' ').filter(word => word !== '') : []
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
