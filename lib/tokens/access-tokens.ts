import { now } from '../clock.ts'
import {
  FST_AUTH0_ACCESS_TOKEN_DENIED, FST_AUTH0_ID_TOKEN_INVALID, FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_PROVIDER_UNAVAILABLE,
  FST_AUTH0_REFRESH_TOKEN_MISSING, FST_AUTH0_SESSION_UNAVAILABLE, FST_AUTH0_SESSION_WRITTEN
} from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { AccessToken, DpopKey, LoginTokens, Session } from '../session/sessions.ts'
import { isFresh, isMisdirected, isValid, targetOf, tokenFor, type TargetOptions } from './login-tokens.ts'
import type { Refresh } from './refresh.ts'

const JUST_RECEIVED = 10 // seconds; an API that takes no token so young takes none, and would have the provider asked for ever
const RETRY_AFTER = 5 // seconds, where the provider does not say

const PASSING = [FST_AUTH0_PROVIDER_UNAVAILABLE, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_ID_TOKEN_INVALID, FST_AUTH0_SESSION_UNAVAILABLE]

/** Which access token is wanted, and how fresh. What is not given is as at the login. */
export interface AccessTokenOptions extends TargetOptions {
  /** Seconds for which it has to be good; for a token that never lives that long, half of its life. Default: 60, or half of its life where that is less. */
  minimumLifetime?: number | undefined
  /** Gets a new one, e.g. because an API refused the one there is. Default: `false`. */
  forceRefresh?: boolean | undefined
}

/** An access token, and what it is good for. */
export interface TokenSet {
  accessToken: string
  /** How an API wants it: `Authorization: Bearer …` (RFC 6750) or `DPoP …` (RFC 9449). */
  tokenType: 'Bearer' | 'DPoP'
  /** As granted, which may be less than was asked for (RFC 6749 §5.1); `null` when nobody said. */
  scope: string | null
  /** The API that was asked for; `null` when none was named. */
  audience: string | null
  /** Seconds since the epoch; `null` when the provider did not say. */
  expiresAt: number | null
}

/** What is wanted of a session, as our own parts say it. */
export interface WantedToken extends AccessTokenOptions {
  /** A token that an API did not take: any but this one, unless it was just received. */
  refused?: string
}

/** An access token with what proves that it is one's own, as of one moment: the session may end in the next. */
export interface GivenToken {
  tokenSet: TokenSet
  /** Of a token that is bound to a key. */
  dpopKey: DpopKey | undefined
}

/**
 * Gives an access token of a session: the one that is there while it is good, else a new one, for which one request asks however many need it.
 *
 * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when nobody is logged in
 * @throws {FST_AUTH0_REFRESH_TOKEN_MISSING} 401
 * @throws {FST_AUTH0_REFRESH_TOKEN_REFUSED} 401 when the provider ended the login; the session has ended, too
 * @throws {FST_AUTH0_INTERACTION_REQUIRED} 401
 * @throws {FST_AUTH0_ACCESS_TOKEN_DENIED} 403
 * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503 with `Retry-After`, also for an answer that cannot be used; the session goes on
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export type GiveToken = (session: Session, request: AnyRequest, wanted: WantedToken) => Promise<GivenToken>

export function createAccessTokens (refresh: Refresh): GiveToken {
  return async (session, request, { minimumLifetime, forceRefresh = false, ...wanted }) => {
    const { login } = session
    if (login === null) throw new FST_AUTH0_LOGIN_REQUIRED()
    const target = targetOf(login.tokens, wanted)
    const present = tokenFor(login.tokens, target)
    const refused = forceRefresh ? present?.token : wanted.refused
    if (present !== null && present.token === wanted.refused && isJustReceived(present)) return toGivenToken(login.tokens, present)
    const isWanted = (token: AccessToken | null) => token !== null && isFresh(token, minimumLifetime) && token.token !== refused
    if (isWanted(present)) return toGivenToken(login.tokens, present as AccessToken)
    const fallback = present !== null && isValid(present) && present.token !== refused ? present : null
    if (login.tokens.refreshToken === null) return toGivenToken(login.tokens, fallback ?? missing(login.tokens))
    try {
      const tokens = await refresh(session, request, { target, isWanted, hasValid: fallback !== null })
      return toGivenToken(tokens, tokenFor(tokens, target) as AccessToken)
    } catch (error) {
      if (fallback !== null && error instanceof FST_AUTH0_SESSION_WRITTEN) return toGivenToken(login.tokens, fallback)
      if (!isPassing(error)) throw error
      if (fallback === null) throw unavailable(error)
      request.log.warn({ err: error }, 'access token not renewed: the one there is goes on')
      return toGivenToken(login.tokens, fallback)
    }
  }
}

function isJustReceived ({ receivedAt }: AccessToken): boolean {
  return now() - receivedAt < JUST_RECEIVED
}

function missing ({ access: [first] }: LoginTokens): never {
  const wasAskedFor = first?.scope?.split(' ').includes('offline_access') === true
  throw new FST_AUTH0_REFRESH_TOKEN_MISSING(wasAskedFor
    ? 'The identity provider did not grant "offline_access": allow it there, for the API and for this application'
    : 'To get one, add "offline_access" to "authorizationParams.scope"')
}

function toGivenToken (tokens: LoginTokens, given: AccessToken): GivenToken {
  const { token, type, granted, audience, expiresAt } = given
  if (isMisdirected(tokens, given)) throw new FST_AUTH0_ACCESS_TOKEN_DENIED({ cause: new ProviderFailure('refresh: the access token is for another API than was asked for') })
  return { tokenSet: { accessToken: token, tokenType: type, scope: granted, audience, expiresAt }, dpopKey: tokens.dpopKey }
}

/** Whether it says nothing about the login: the same may work in a moment. */
function isPassing (error: unknown): error is Error {
  return PASSING.some(Passing => error instanceof Passing)
}

/** Whatever it was: a 503 that says when to try again (RFC 9110 §10.2.3), as a handler that does not catch it answers with. */
function unavailable (error: Error): Error {
  const known = error instanceof FST_AUTH0_SESSION_UNAVAILABLE ? error : new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: error.cause })
  const { cause } = known
  const seconds = (cause instanceof ProviderFailure ? cause.retryAfter : null) ?? RETRY_AFTER
  return Object.assign(known, { headers: { 'retry-after': String(seconds) } })
}
