import { FST_AUTH0_LOGOUT_TOKEN_INVALID } from '../errors.ts'
import { isObject } from '../provider/document.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { KeySet } from '../provider/key-set.ts'
import { LATEST_EXPIRY, MAX_SUBJECT, parseJwt } from '../provider/strict-jwt.ts'
import { isAsymmetric, verifyHeader, verifySigned, type Claims } from './signed-claims.ts'

/** Seconds after its issue for which a logout token is taken, whatever its `exp`. */
export const LOGOUT_TOKEN_MAX_AGE = 300

const MAX_LENGTH = 16 * 1024 // characters
const MAX_ID = 1024 // characters

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/** What a logout token is compared with. */
export interface LogoutTokenExpectation {
  issuer: string
  clientId: string
  /** Those of ID tokens, as the provider advertises them. */
  algorithms: readonly unknown[]
  keys: KeySet
  /** Seconds. */
  clockTolerance: number
  /** Whether `typ` must say what it is; else `JWT` or none will do. */
  mustBeTyped: boolean
}

/** What a logout token says: of a session, of a person, or of both. Times in seconds since the epoch. */
export interface LogoutToken {
  jti: string
  iat: number
  exp: number
  sid: string | null
  sub: string | null
}

/**
 * Verifies a logout token. Whether its `jti` was there before is for the caller to know.
 *
 * @throws {FST_AUTH0_LOGOUT_TOKEN_INVALID} 400; also what `keys` throws
 * @see OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6
 */
export async function verifyLogoutToken (token: string, expected: LogoutTokenExpectation): Promise<LogoutToken> {
  refuseIf(typeof token !== 'string' || token.length > MAX_LENGTH, 'not text, or too long') // before anything is decoded
  verifyHeader(parseJwt(token, invalid).header, 'logout+jwt', expected.mustBeTyped, invalid)
  const { issuer, clientId, algorithms, keys, clockTolerance } = expected
  const { claims } = await verifySigned(token, keys, {
    algorithms: algorithms.filter(isAsymmetric), issuer, audience: clientId, clockTolerance, maxAge: LOGOUT_TOKEN_MAX_AGE
  }, invalid)
  refuseIf([claims.aud].flat().some(audience => audience !== clientId), '"aud" names another client, too')
  refuseIf(Number(claims.exp) > LATEST_EXPIRY, '"exp" is no time')
  const [sub, sid, jti] = [parseId(claims, 'sub', MAX_SUBJECT), parseId(claims, 'sid', MAX_ID), parseId(claims, 'jti', MAX_ID)]
  refuseIf(sub === null && sid === null, 'neither "sub" nor "sid"')
  verifyEvents(claims.events)
  refuseIf('nonce' in claims, 'a "nonce", as ID tokens have')
  if (jti === null) throw invalid('no "jti"')
  return { jti, iat: Number(claims.iat), exp: Number(claims.exp), sid, sub }
}

function parseId (claims: Claims, name: string, maxLength: number): string | null {
  const id = claims[name]
  if (id === undefined) return null
  if (typeof id !== 'string' || id === '' || id.length > maxLength) throw invalid(`"${name}" is no id`)
  return id
}

function verifyEvents (events: unknown): void {
  refuseIf(!isObject(events) || !isObject(events[EVENT]), 'not the event of a logout')
}

function refuseIf (isWrong: boolean, reason: string): void {
  if (isWrong) throw invalid(reason)
}

function invalid (reason: string): Error {
  return new FST_AUTH0_LOGOUT_TOKEN_INVALID({ cause: new ProviderFailure(`logout token: ${reason}`) })
}
