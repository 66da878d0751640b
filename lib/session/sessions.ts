import type { AnyReply, AnyRequest } from '../fastify.ts'

/**
 * The claims of a person: of the ID token, of UserInfo where that was asked, and what `onLogin` added.
 *
 * For claims of your own: `declare module 'fastify-auth0' { interface User { 'https://example.com/roles'?: string[] } }`.
 *
 * @see OpenID Connect Core 1.0 §5.1 (standard claims)
 */
export interface User {
  /** The issuer; a person is `iss` and `sub` together, never an e-mail address (OpenID Connect Core 1.0 §5.7). */
  iss: string
  /** Who it is, unique at this issuer and never given to another person. */
  sub: string
  name?: string
  given_name?: string
  family_name?: string
  nickname?: string
  preferred_username?: string
  picture?: string
  locale?: string
  updated_at?: string | number
  email?: string
  email_verified?: boolean
  /** The provider's own session. */
  sid?: string
  /** When the person last proved who they are, in seconds since the epoch. */
  auth_time?: number
  /** How surely they did: an authentication context class. */
  acr?: string
  /** By which methods, e.g. `['pwd', 'mfa']`. */
  amr?: string[]
  /** Auth0: the organization that the login ran in. */
  org_id?: string
  org_name?: string
  [claim: string]: unknown
}

/** What was asked of the provider beyond a plain login, so that a guard sees what it did not deliver. */
export interface StepUp {
  /** Seconds. */
  maxAge?: number
  acrValues?: string[]
}

/** An access token, what was asked for and what came. Times in seconds since the epoch. */
export interface AccessToken {
  /** The API that was asked for; `null` when none was named. */
  readonly audience: string | null
  /** As asked for, its words in order; `null` when none was. */
  readonly scope: string | null
  readonly organization: string | null
  readonly token: string
  readonly type: 'Bearer' | 'DPoP'
  /** The scope that was granted. */
  readonly granted: string | null
  readonly receivedAt: number
  /** `null` when the provider did not say. */
  readonly expiresAt: number | null
  /** Seconds before its expiry by which it is renewed earlier than others, so that not all are at once. */
  readonly spread: number
}

/** The private key that the tokens of one login are bound to (RFC 9449), as a JWK (RFC 7518 §6.2.2). */
export interface DpopKey {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
  readonly d: string
}

/** What a login may call APIs with. */
export interface LoginTokens {
  readonly refreshToken: string | null
  /** Each for something else; first the one that came with the login. */
  readonly access: readonly AccessToken[]
  /** What they are bound to, if they are. */
  readonly dpopKey?: DpopKey
  /** Counts the refreshes: of two copies of a login the one with more is newer. */
  readonly refreshes: number
}

/** What we remember of one login. */
export interface Login {
  /** New at every login; 128 random bits. */
  readonly id: string
  readonly user: Readonly<User>
  /** The hint for the provider's logout; `null` when it was too long for a URL. */
  readonly idToken: string | null
  readonly tokens: LoginTokens
  /** Names of the claims that `onLogin` added, changed or took away: a refresh leaves them as they are. */
  readonly ownClaims: readonly string[]
  readonly stepUp: Readonly<StepUp>
  /** The transaction that it came from and where that went, for a callback that a reload or the back button repeats. */
  readonly begunBy: { readonly id: string, readonly returnTo: string }
  /** When the provider issued the ID token, by its clock, in seconds since the epoch. */
  readonly issuedAt: number
  /** When it was let in, in milliseconds by the clock of what keeps revocations; `null` where nobody keeps them. */
  readonly enteredAt: number | null
  /** The application's own, by `updateSession`. */
  readonly data: Readonly<Record<string, unknown>>
  /** Seconds since the epoch. */
  readonly createdAt: number
  /** Seconds since the epoch; as exact as a tenth of the idle time-out. */
  readonly usedAt: number
}

/** What a login begins with. */
export type NewLogin = Pick<Login, 'id' | 'user' | 'idToken' | 'tokens' | 'ownClaims' | 'stepUp' | 'begunBy' | 'issuedAt'>

/** What a refresh changes of a login. */
export type RenewedLogin = Pick<Login, 'user' | 'idToken' | 'tokens' | 'issuedAt'>

/** What a provider says has ended (OpenID Connect Back-Channel Logout 1.0 §2.4): its session, or all of a person. */
export type ProviderLogout = { readonly sid: string, readonly issuedAt: number } | { readonly sub: string, readonly issuedAt: number }

/** How sessions are kept: in an encrypted cookie or in a store. */
export interface Sessions {
  /** The session of a request. Costs nothing until it is asked for something. */
  open (request: AnyRequest): Session
  /** Whether `fetch` has to be called for every request before its session is asked for. */
  readonly mustFetch: boolean
  /**
   * Ends what the provider says has ended, and gives how many sessions that were; where only marks are made, the number of marks.
   * `null` where sessions are not known from elsewhere than their browser.
   *
   * @param onEnd sees each login that ends, where they are kept here
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
   */
  readonly endByProvider: ((logout: ProviderLogout, onEnd?: (login: Login) => void) => Promise<number>) | null
  /** Remembers for a while that a logout token was done with. Where `endByProvider` is. */
  readonly seenTokens: SeenTokens | null
  /** What is logged in; `null` where the server does not know. */
  readonly directory: SessionDirectory | null
}

/** A session as one sees it from elsewhere. Times in seconds since the epoch. */
export interface KnownSession {
  /** Names it, and is no credential. */
  readonly id: string
  readonly createdAt: number
  readonly usedAt: number
  /** Of the browser that logged in. */
  readonly userAgent: string | null
}

/**
 * Who is logged in where.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export interface SessionDirectory {
  /** The sessions of a person, newest first. */
  list (sub: string): Promise<KnownSession[]>
  /** Gives whether it was there. */
  end (id: string): Promise<boolean>
  /** All of a person but one, those too that are just beginning. Gives how many there were. */
  endAll (sub: string, except: string | null): Promise<number>
}

/** Ids of tokens that had their effect (RFC 7519 §4.1.7). */
export interface SeenTokens {
  has (jti: string): Promise<boolean>
  /** @param lifetime seconds */
  add (jti: string, lifetime: number): Promise<void>
}

/** A change of a login that must not happen twice. */
export interface Renewal {
  /** The same for all who want the same. */
  readonly name: string
  /** Whether a login has it already; it is asked about the login as it is by then. */
  isDone (login: Login): boolean
  /** Does the work. May fail with `FST_AUTH0_REFRESH_TOKEN_REFUSED`: that ends the session, if it is about what the session still has. */
  run (login: Login): Promise<RenewedLogin>
  /** The session ended meanwhile: what the work brought is of no use. */
  discard (renewed: RenewedLogin): void
}

/** The session of one request. Every read sees what was written before in the same request. */
export interface Session {
  /** Asks the server-side what `login` needs to know. Never fails: `login` tells. There where `mustFetch` says so. */
  fetch? (): Promise<void>
  /**
   * Who is logged in, or `null`.
   *
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 when that cannot be known: never "nobody"
   */
  readonly login: Login | null
  /** Id of the session that the request names, be it of use or not, or `null`. Asking for it leaves the answer as it is. */
  readonly id: string | null
  /**
   * Verifies that a login could be remembered now, before the provider is bothered and its code is spent.
   *
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
   * @throws {FST_AUTH0_TRUST_PROXY_MISSING} 400
   */
  verifyStartable (): Promise<void>
  /**
   * Remembers a login, under its new id, against session fixation (ASVS 5.0 §7.2.4). Ends the session that there was. Gives the login as
   * later requests will read it.
   *
   * @param replaces id of another one to end, which the login was begun with
   */
  start (login: NewLogin, replaces?: string): Promise<Login>
  /**
   * Renews the login: of all requests that want the same of this session, wherever they are, one does the work, and the others get what it brought.
   *
   * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when nobody is logged in, or not any more
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
   * @throws what the work throws
   */
  renew (work: Renewal): Promise<Login>
  /**
   * Verifies that there is room for a renewal. There where it is limited.
   *
   * @throws {FST_AUTH0_SESSION_TOO_LARGE} 507
   */
  verifyFits? (renewed: RenewedLogin): void
  /** Merges fields into `data`; `undefined` removes one. */
  update (data: Record<string, unknown>): Promise<void>
  /**
   * Forgets the login, and gives it. A request still under way with the same session cannot bring it back.
   *
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 when it may go on elsewhere; the cookie goes all the same
   */
  end (): Promise<Login | null>
  /** Writes what is due to the answer, before its headers go out. */
  commit (reply: AnyReply): void
  /** The headers went out before anybody asked: nothing can be written any more. */
  close (): void
}
