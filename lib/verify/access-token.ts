import { FST_AUTH0_ACCESS_TOKEN_INVALID } from '../errors.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { Jwks, KeySet } from '../provider/key-set.ts'
import { LATEST_EXPIRY, MAX_SUBJECT, parseJwt, type ParsedJwt } from '../provider/strict-jwt.ts'
import { verifyHeader, verifyHmac, verifySigned, type Claims, type SignedExpectation } from './signed-claims.ts'

/** Claims by which other tokens are known: of ID tokens (OpenID Connect Core 1.0 §2, §3.3.2.11) and of logout tokens (Back-Channel Logout 1.0 §2.4). */
const FOREIGN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events']

/** What some providers call other tokens in their claims: Keycloak in `typ`, Cognito in `token_use`. */
const OTHER_TOKENS = /^(?:id|refresh|offline|logout)/i

/** Claims that say what an access token grants, or to whom it was given: ID tokens have none of them. */
const OWN_CLAIMS = ['scope', 'scp', 'client_id', 'cid', 'appid', 'gty', 'permissions']

/** What an access token is compared with. */
export interface AccessTokenExpectation extends SignedExpectation {
  /** What verifies the signature: keys as the issuer publishes them, or a secret that it shares with us. */
  keys: KeySet | Uint8Array
  /** Whether `typ` must say `at+jwt` (RFC 9068 §2.1); else `JWT` or none will do. */
  mustBeTyped: boolean
}

/** A verified access token. */
export interface VerifiedClaims {
  claims: Claims & { iss: string, sub: string, exp: number }
  /** What it was verified with; `null`: a secret. */
  jwks: Jwks | null
}

/**
 * Takes an access token apart, verifying nothing but that it could be one.
 *
 * @throws {FST_AUTH0_ACCESS_TOKEN_INVALID} 401
 */
export function parseAccessToken (token: string): ParsedJwt {
  return parseJwt(token, invalid)
}

/**
 * Verifies an access token.
 *
 * @throws {FST_AUTH0_ACCESS_TOKEN_INVALID} 401; also what `keys` throws
 * @see RFC 9068 §2, §4; RFC 8725 §3
 */
export async function verifyAccessToken (token: string, { header }: ParsedJwt, { keys, mustBeTyped, ...expected }: AccessTokenExpectation): Promise<VerifiedClaims> {
  const isTyped = verifyHeader(header, 'at+jwt', mustBeTyped, invalid)
  const { claims, jwks } = keys instanceof Uint8Array
    ? { claims: await verifyHmac(token, keys, expected, invalid), jwks: null }
    : await verifySigned(token, keys, expected, invalid)
  const fault = faultIn(claims)
  if (fault !== null) throw invalid(fault)
  if (jwks !== null && !isTyped && !looksLikeOne(claims)) throw invalid('nothing says that it is an access token and no ID token')
  return { claims: claims as VerifiedClaims['claims'], jwks }
}

/** Why no access token has such claims, whoever vouches for them; `null`: one may. */
export function faultIn (claims: Claims): string | null {
  const { sub, exp, typ, token_use: use } = claims
  if (typeof sub !== 'string' || sub === '' || sub.length > MAX_SUBJECT) return '"sub" is nobody'
  if (Number(exp) > LATEST_EXPIRY) return '"exp" is no time'
  if ([typ, use].some(kind => typeof kind === 'string' && OTHER_TOKENS.test(kind))) return 'its claims call it another token'
  const foreign = FOREIGN_CLAIMS.find(name => name in claims)
  return foreign === undefined ? null : `"${foreign}", as other tokens have`
}

/** Whether a token without a type is an access token. An ID token is for the client, which its `azp` names, too. */
function looksLikeOne ({ aud, azp, ...claims }: Claims): boolean {
  const isForAnother = typeof azp === 'string' && ![aud].flat().includes(azp)
  return isForAnother || OWN_CLAIMS.some(name => name in claims)
}

function invalid (reason: string): Error {
  return new FST_AUTH0_ACCESS_TOKEN_INVALID({ cause: new ProviderFailure(`access token: ${reason}`) })
}
