import { FST_AUTH0_ACCESS_TOKEN_INVALID, FST_AUTH0_DPOP_NONCE_REQUIRED, FST_AUTH0_DPOP_PROOF_INVALID } from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'
import type { ApiConfig } from '../options.ts'
import { isObject } from '../provider/document.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { User } from '../session/sessions.ts'
import { PROOF_MAX_AGE, verifyDpopProof } from '../verify/dpop-proof.ts'
import type { Credentials } from './credentials.ts'
import type { Nonces } from './nonces.ts'
import type { Replays } from './replays.ts'

/** What possession is judged by. */
export interface PossessionServices {
  mode: ApiConfig['dpop']
  /** What callers may put in front of the path that they call. */
  bases: readonly string[]
  /** Seconds. */
  clockTolerance: number
  replays: Replays
  /** `null`: proofs need none. */
  nonces: Nonces | null
}

/**
 * Verifies that whoever brings an access token may: one that is bound to a key comes with a proof of having it, and one that is not comes as Bearer.
 *
 * @throws {FST_AUTH0_ACCESS_TOKEN_INVALID} 401
 * @throws {FST_AUTH0_DPOP_PROOF_INVALID} 401
 * @throws {FST_AUTH0_DPOP_NONCE_REQUIRED} 401 with `DPoP-Nonce`
 * @see RFC 9449 §4.3, §7, §9, §11.1
 */
export type VerifyPossession = (request: AnyRequest, credentials: Credentials, claims: Readonly<User>) => Promise<void>

export function createVerifyPossession ({ mode, bases, clockTolerance, replays, nonces }: PossessionServices): VerifyPossession {
  return async (request, { scheme, token }, claims) => {
    const thumbprint = thumbprintOf(claims)
    if (mode === 'required' && thumbprint === null) throw invalid('bound to no key')
    if (scheme === 'Bearer' ? claims.cnf !== undefined : thumbprint === null) throw invalid('bound to a key and sent as Bearer, or the reverse')
    if (thumbprint === null) return
    if (mode === 'off') throw invalid('bound to a key, which nobody here asks for')
    const { method, originalUrl } = request
    const urls = bases.map(base => base + pathOf(originalUrl))
    const proof = await verifyDpopProof(proofOf(request), { method, urls, accessToken: token, thumbprint, clockTolerance })
    if (nonces !== null && !nonces.isGood(proof.nonce)) throw Object.assign(new FST_AUTH0_DPOP_NONCE_REQUIRED(), { headers: { 'dpop-nonce': nonces.current() } })
    const lifetime = PROOF_MAX_AGE + 2 * clockTolerance + 1 // seconds; one from the future is good for longer, and the clock has whole seconds
    if (!await replays.isFirst(JSON.stringify([thumbprint, proof.jti]), lifetime * 1000)) throw invalidProof('it was there before')
  }
}

/** Of the key that a token is bound to; `null` when it is bound to none, or in another way (RFC 9449 §6.1). */
export function thumbprintOf ({ cnf }: Readonly<Record<string, unknown>>): string | null {
  return isObject(cnf) && typeof cnf.jkt === 'string' ? cnf.jkt : null
}

/** Some clients name the whole address in the first line of a request (RFC 9112 §3.2.2). */
function pathOf (target: string): string {
  if (target.startsWith('/')) return target
  if (!URL.canParse(target)) throw invalidProof('the request names no address')
  return new URL(target).pathname
}

function proofOf ({ headers: { dpop: proof } }: AnyRequest): string {
  if (typeof proof !== 'string') throw invalidProof('there is none') // two are one text, which is no JWT
  return proof
}

function invalid (reason: string): Error {
  return new FST_AUTH0_ACCESS_TOKEN_INVALID({ cause: new ProviderFailure(`access token: ${reason}`) })
}

function invalidProof (reason: string): Error {
  return new FST_AUTH0_DPOP_PROOF_INVALID({ cause: new ProviderFailure(`DPoP proof: ${reason}`) })
}
