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

/** What we remember of one login. */
export interface Login {
  /** New at every login; 128 random bits. */
  readonly id: string
  readonly user: Readonly<User>
  /** The hint for the provider's logout; `null` when it was too long for a URL. */
  readonly idToken: string | null
  readonly stepUp: Readonly<StepUp>
  /** The transaction that it came from and where that went, for a callback that a reload or the back button repeats. */
  readonly begunBy: { readonly id: string, readonly returnTo: string }
  /** The application's own, by `updateSession`. */
  readonly data: Readonly<Record<string, unknown>>
  /** Seconds since the epoch. */
  readonly createdAt: number
  /** Seconds since the epoch; as exact as a tenth of the idle time-out. */
  readonly usedAt: number
}

/** What a login begins with. */
export type NewLogin = Pick<Login, 'id' | 'user' | 'idToken' | 'stepUp' | 'begunBy'>

/** How sessions are kept: in an encrypted cookie, or later in a store. */
export interface Sessions {
  /** The session of a request. Costs nothing until it is asked for something. */
  open (request: AnyRequest): Session
}

/** The session of one request. Every read sees what was written before in the same request. */
export interface Session {
  /** Who is logged in, or `null`. */
  readonly login: Login | null
  /** Id of the session that the request names, be it of use or not, or `null`. Asking for it leaves the answer as it is. */
  readonly id: string | null
  /**
   * Remembers a login, under its new id, against session fixation (ASVS 5.0 §7.2.4). Ends the session that there was. Gives the login as
   * later requests will read it.
   *
   * @param replaces id of another one to end, which the login was begun with
   */
  start (login: NewLogin, replaces?: string): Promise<Login>
  /** Merges fields into `data`; `undefined` removes one. */
  update (data: Record<string, unknown>): Promise<void>
  /** Forgets the login. A request still under way with the same session cannot bring it back. */
  end (): Promise<void>
  /** Writes what is due to the answer, before its headers go out. */
  commit (reply: AnyReply): void
  /** The headers went out before anybody asked: nothing can be written any more. */
  close (): void
}
