import type * as Jose from 'jose'
import type { Jwks, KeySet } from '../provider/key-set.ts'

/** Signatures that nobody else can make: not `none`, nor an HMAC, whose secret might be the public key (RFC 8725 §2.1). */
const ASYMMETRIC = /^(?:(?:RS|PS|ES)(?:256|384|512)|EdDSA|Ed25519|ML-DSA-(?:44|65|87))$/

export type Claims = Record<string, unknown>

/** What a signed token must be, besides being signed. Times in seconds. */
export interface SignedExpectation {
  algorithms: readonly string[]
  issuer: string
  /** One of them is among those that the token is for. */
  audience: string | readonly string[]
  clockTolerance: number
  /** Since `iat`, which it must have then. */
  maxAge?: number
}

/** Claims whose signature was verified, and the keys that they were verified with. */
export interface SignedClaims {
  claims: Claims
  jwks: Jwks
}

/** Makes the error that says why. */
export type Invalid = (reason: string) => Error

type GetKey = ReturnType<typeof Jose.createLocalJWKSet>

/** Keys as jose imported them, for as long as their set is in use. */
const imported = new WeakMap<Jwks, GetKey>()

/**
 * Verifies signature, `iss`, `aud`, `exp` and `nbf`; a key that is not among the current ones is asked for.
 *
 * @throws what `invalid` makes; also what `keys` throws
 * @see RFC 7515 §5.2; RFC 7519 §4.1
 */
export async function verifySigned (token: string, keys: KeySet, expected: SignedExpectation, invalid: Invalid): Promise<SignedClaims> {
  const { createLocalJWKSet, decodeProtectedHeader, errors, jwtVerify } = await jose()
  const options = toOptions(expected)

  /** `null` when none of these keys is meant. */
  async function verifyBy (jwks: Jwks): Promise<SignedClaims | null> {
    const getKey = imported.get(jwks) ?? createLocalJWKSet(jwks as Jose.JSONWebKeySet)
    imported.set(jwks, getKey)
    try {
      return { claims: (await jwtVerify(token, getKey, options)).payload, jwks }
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null
      throw invalid((error as Error).message)
    }
  }

  const verified = await verifyBy(await keys.current()) ?? await verifyBy(await keys.renewed(decodeProtectedHeader(token).kid))
  if (verified === null) throw invalid('no key of the provider fits')
  return verified
}

/** As `verifySigned`, by a secret that both sides have (HMAC, RFC 7518 §3.2). */
export async function verifyHmac (token: string, secret: Uint8Array, expected: SignedExpectation, invalid: Invalid): Promise<Claims> {
  const { jwtVerify } = await jose()
  try {
    return (await jwtVerify(token, secret, toOptions(expected))).payload
  } catch (error) {
    throw invalid((error as Error).message)
  }
}

/** Whether it is a signature that only the holder of a private key can make. */
export function isAsymmetric (algorithm: unknown): algorithm is string {
  return typeof algorithm === 'string' && ASYMMETRIC.test(algorithm)
}

function toOptions ({ algorithms, issuer, audience, clockTolerance, maxAge }: SignedExpectation): Jose.JWTVerifyOptions {
  return {
    algorithms: [...algorithms],
    issuer,
    audience: [audience].flat(),
    clockTolerance,
    requiredClaims: ['exp'],
    ...maxAge !== undefined && { maxTokenAge: maxAge }
  }
}

/** Refuses what would change the meaning of a token for those who understand it (RFC 7515 §4.1.11; RFC 7797). */
export function refuseExtensions ({ crit, b64 }: Claims, invalid: Invalid): void {
  if (crit !== undefined || b64 !== undefined) throw invalid('an extension that nobody here understands (RFC 7515 §4.1.11; RFC 7797)')
}

/**
 * Refuses a token that says that it is of another type than it should: none of ours, though its issuer signed it (RFC 8725 §3.11). Gives whether it says its type.
 *
 * @param type in lower case, without `application/` (RFC 7515 §4.1.9)
 * @param mustBeTyped else `JWT` or none will do
 */
export function verifyHeader (header: Claims, type: string, mustBeTyped: boolean, invalid: Invalid): boolean {
  const { typ } = header
  const said = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ
  const isUntyped = said === undefined || said === 'jwt'
  if (said !== type && (mustBeTyped || !isUntyped)) throw invalid('another type of token')
  refuseExtensions(header, invalid)
  return said === type
}

let loading: Promise<typeof Jose> | null = null

/** Imported when first needed: it costs some 30 ms. And once: where a loader has hooks, asking for it again costs more than a verification. */
export function jose (): Promise<typeof Jose> {
  loading ??= import('jose')
  return loading
}
