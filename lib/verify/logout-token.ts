import type * as Jose from 'jose'
import { FST_AUTH0_LOGOUT_TOKEN_INVALID } from '../errors.ts'
import { isObject } from '../provider/document.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { Jwks, KeySet } from '../provider/key-set.ts'
import { parseJwt } from '../provider/strict-jwt.ts'

/** Seconds after its issue for which a logout token is taken, whatever its `exp`. */
export const LOGOUT_TOKEN_MAX_AGE = 300

const MAX_LENGTH = 16 * 1024 // characters
const MAX_SUBJECT = 255 // characters (OpenID Connect Core 1.0 §2)
const MAX_ID = 1024 // characters
const LATEST_EXPIRY = 253_402_300_799 // the end of the year 9999

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/** Signatures that nobody else can make: not `none`, nor an HMAC, whose secret might be the public key (RFC 8725 §2.1). */
const ASYMMETRIC = /^(?:(?:RS|PS|ES)(?:256|384|512)|EdDSA|Ed25519|ML-DSA-(?:44|65|87))$/

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

type Claims = Record<string, unknown>

/**
 * Verifies a logout token. Whether its `jti` was there before is for the caller to know.
 *
 * @throws {FST_AUTH0_LOGOUT_TOKEN_INVALID} 400; also what `keys` throws
 * @see OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6
 */
export async function verifyLogoutToken (token: string, expected: LogoutTokenExpectation): Promise<LogoutToken> {
  refuseIf(typeof token !== 'string' || token.length > MAX_LENGTH, 'not text, or too long') // before anything is decoded
  verifyHeader(parseJwt(token, invalid).header, expected.mustBeTyped)
  const claims = await verifySignature(token, expected)
  refuseIf([claims.aud].flat().some(audience => audience !== expected.clientId), '"aud" names another client, too')
  refuseIf(Number(claims.exp) > LATEST_EXPIRY, '"exp" is no time')
  const [sub, sid, jti] = [parseId(claims, 'sub', MAX_SUBJECT), parseId(claims, 'sid', MAX_ID), parseId(claims, 'jti', MAX_ID)]
  refuseIf(sub === null && sid === null, 'neither "sub" nor "sid"')
  verifyEvents(claims.events)
  refuseIf('nonce' in claims, 'a "nonce", as ID tokens have')
  if (jti === null) throw invalid('no "jti"')
  return { jti, iat: Number(claims.iat), exp: Number(claims.exp), sid, sub }
}

/** Another type of token is none of ours, though the provider signed it (§4.1; RFC 8725 §3.11). */
function verifyHeader ({ typ, crit, b64 }: Claims, mustBeTyped: boolean): void {
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  const isUntyped = type === undefined || type === 'jwt'
  refuseIf(type !== 'logout+jwt' && (mustBeTyped || !isUntyped), 'another type of token')
  refuseIf(crit !== undefined || b64 !== undefined, 'an extension that nobody here understands (RFC 7515 §4.1.11; RFC 7797)')
}

/** Signature, `iss`, `aud`, `iat`, `exp` and `nbf`. */
async function verifySignature (token: string, { issuer, clientId, algorithms, keys, clockTolerance }: LogoutTokenExpectation): Promise<Claims> {
  const { createLocalJWKSet, errors, jwtVerify } = await jose()
  const options: Jose.JWTVerifyOptions = {
    algorithms: algorithms.filter(isAsymmetric),
    issuer,
    audience: clientId,
    clockTolerance,
    maxTokenAge: LOGOUT_TOKEN_MAX_AGE,
    requiredClaims: ['exp']
  }

  /** `null` when none of these keys is meant. */
  async function verifyBy (jwks: Jwks): Promise<Claims | null> {
    try {
      return (await jwtVerify(token, createLocalJWKSet(jwks as Jose.JSONWebKeySet), options)).payload
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null
      throw invalid((error as Error).message)
    }
  }

  const claims = await verifyBy(await keys.current()) ?? await verifyBy(await keys.renewed())
  if (claims === null) throw invalid('no key of the provider fits')
  return claims
}

function isAsymmetric (algorithm: unknown): algorithm is string {
  return typeof algorithm === 'string' && ASYMMETRIC.test(algorithm)
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

/** Imported when first needed: it costs some 30 ms. */
function jose (): Promise<typeof Jose> {
  return import('jose')
}
