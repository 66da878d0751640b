import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import { now } from '../clock.ts'
import { FST_AUTH0_ACCESS_TOKEN_INVALID, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_PROVIDER_UNAVAILABLE } from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'
import type { ApiConfig } from '../options.ts'
import { ProviderFailure } from '../provider/failures.ts'
import { frozenCopy } from '../session/frozen-json.ts'
import type { User } from '../session/sessions.ts'
import { parseAccessToken, verifyAccessToken, type VerifiedClaims } from '../verify/access-token.ts'
import { readCredentials } from './credentials.ts'
import type { IntrospectedTokens } from './introspected-tokens.ts'
import type { VerifyPossession } from './possession.ts'
import type { TokenIssuer, TokenIssuers } from './token-issuers.ts'

const REMEMBERED = 5000
const MAX_LENGTH = 16 * 1024 // characters

/** What is known of a token that was verified. */
interface Verified extends VerifiedClaims {
  issuer: TokenIssuer
}

/**
 * Verifies the access token that a request brings, and gives its claims, frozen; `null` for one that the provider would have to be asked about, and may not be.
 *
 * @param mayAsk is asked only about such a token
 * @throws {FST_AUTH0_CREDENTIALS_INVALID} 400
 * @throws {FST_AUTH0_ACCESS_TOKEN_INVALID} 401
 * @throws {FST_AUTH0_DPOP_PROOF_INVALID} 401
 * @throws {FST_AUTH0_DPOP_NONCE_REQUIRED} 401
 * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503 while the keys of its issuer are not known
 * @see RFC 6750 §2.1; RFC 9068 §4
 */
export type BearerTokens = (request: AnyRequest, mayAsk: (request: AnyRequest) => boolean) => Promise<Readonly<User> | null>

/** What access tokens are judged by. */
export interface BearerTokenServices {
  issuers: TokenIssuers
  verifyPossession: VerifyPossession
  /** `null`: tokens have to tell themselves what they are good for. */
  introspect: IntrospectedTokens | null
}

export function createBearerTokens ({ isCached, isRevoked }: ApiConfig, { issuers, verifyPossession, introspect }: BearerTokenServices): BearerTokens {
  const known = new LruMap<Verified>(REMEMBERED)

  async function verify (token: string): Promise<Verified> {
    const parsed = parseAccessToken(token)
    const issuer = issuers.find(parsed.payload.iss)
    const { claims, jwks } = await verifyAccessToken(token, parsed, await issuer.expectation())
    return { claims: frozenCopy(claims), jwks, issuer }
  }

  /** One that was verified a moment ago counts until it expires, and as long as its keys do. */
  async function recall (name: string): Promise<Verified | null> {
    const verified = known.get(name)
    if (verified === undefined || now() >= verified.claims.exp) return null
    const { issuer: { keys }, jwks } = verified
    return keys instanceof Uint8Array || await keys.current() === jwks ? verified : null
  }

  async function verifyOnce (token: string): Promise<Verified> {
    if (!isCached) return verify(token)
    const name = hash('sha256', token, 'base64') // not the token: a dump of the memory shall not hold them all
    const recalled = await recall(name)
    if (recalled !== null) return recalled
    const verified = await verify(token)
    known.set(name, verified)
    return verified
  }

  async function claimsOf (token: string, mayAsk: () => boolean): Promise<Readonly<User> | null> {
    if (token.length > MAX_LENGTH) throw invalid('too long') // before anything is decoded, or sent
    const isJwt = token.split('.').length === 3
    if (introspect === null || isJwt) return (await verifyOnce(token)).claims
    return mayAsk() ? introspect(token) : null
  }

  return async (request, mayAsk) => {
    const credentials = readCredentials(request)
    const claims = await claimsOf(credentials.token, () => mayAsk(request)).catch(unavailable)
    if (claims === null) return null
    await verifyPossession(request, credentials, claims)
    if (isRevoked !== undefined && await isRevoked(claims, request) !== false) throw invalid('revoked')
    return claims
  }
}

/** Whatever it was: an issuer whose keys cannot be had may have them in a moment. */
function unavailable (error: Error): never {
  throw error instanceof FST_AUTH0_PROVIDER_FAILED ? new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: error.cause }) : error
}

function invalid (reason: string): Error {
  return new FST_AUTH0_ACCESS_TOKEN_INVALID({ cause: new ProviderFailure(`access token: ${reason}`) })
}
