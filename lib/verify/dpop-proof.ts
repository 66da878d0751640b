import { createHash } from 'node:crypto'
import type { JWK } from 'jose'
import { now } from '../clock.ts'
import { FST_AUTH0_DPOP_PROOF_INVALID } from '../errors.ts'
import { ProviderFailure } from '../provider/failures.ts'
import { parseJwt } from '../provider/strict-jwt.ts'
import { jose, refuseExtensions, type Claims } from './signed-claims.ts'

const MAX_LENGTH = 8 * 1024 // characters
const MAX_ID = 256 // characters
/** Seconds after its making for which a proof is taken. */
export const PROOF_MAX_AGE = 60

/** What proofs may be signed with. */
export const PROOF_ALGORITHMS: readonly string[] = ['ES256', 'ES384', 'ES512', 'PS256', 'RS256', 'EdDSA', 'Ed25519']

/** The call that a proof is for. */
export interface ProvenCall {
  method: string
  /** What the caller may name it. */
  urls: readonly string[]
  accessToken: string
  /** Thumbprint of the key that the token is bound to (RFC 7638). */
  thumbprint: string
  /** Seconds. */
  clockTolerance: number
}

/** What of a proof is still to be judged. */
export interface DpopProof {
  /** Names it, for whoever has its key. */
  jti: string
  nonce: string | null
}

/**
 * Verifies that a caller has the key that an access token is bound to. Whether the proof was there before is for the caller to know.
 *
 * @throws {FST_AUTH0_DPOP_PROOF_INVALID} 401
 * @see RFC 9449 §4.3, §7.1
 */
export async function verifyDpopProof (proof: string, { method, urls, accessToken, thumbprint, clockTolerance }: ProvenCall): Promise<DpopProof> {
  refuseIf(proof.length > MAX_LENGTH, 'too long') // before anything is decoded
  const { header } = parseJwt(proof, invalid)
  refuseExtensions(header, invalid)
  const { htm, htu, ath, iat, jti, nonce } = await verifySignature(proof, header.jwk, thumbprint)
  refuseIf(htm !== method, '"htm" is another method')
  refuseIf(typeof htu !== 'string' || !URL.canParse(htu) || !urls.map(normalised).includes(normalised(htu)), '"htu" is another address')
  refuseIf(ath !== createHash('sha256').update(accessToken).digest('base64url'), '"ath" is of another token')
  refuseIf(typeof iat !== 'number' || iat > now() + clockTolerance || iat < now() - PROOF_MAX_AGE - clockTolerance, '"iat" is too old, or in the future')
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_ID) throw invalid('"jti" is no id')
  return { jti, nonce: typeof nonce === 'string' ? nonce : null }
}

/** By the key in its header, which must be the one that the token is bound to: a stranger's, which may be a large one, is not tried. */
async function verifySignature (proof: string, key: unknown, thumbprint: string): Promise<Claims> {
  const { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } = await jose()
  try {
    refuseIf(await calculateJwkThumbprint(key as JWK) !== thumbprint, 'its key is not that of the token')
    return (await jwtVerify(proof, EmbeddedJWK, { typ: 'dpop+jwt', algorithms: [...PROOF_ALGORITHMS] })).payload
  } catch (error) {
    throw error instanceof FST_AUTH0_DPOP_PROOF_INVALID ? error : invalid((error as Error).message)
  }
}

/** So that one address is one text: without query and fragment, and as RFC 3986 §6.2.2 and §6.2.3 have it. */
function normalised (address: string): string {
  const { origin, pathname } = new URL(address)
  return origin + pathname.replace(/%[0-9a-f]{2}/gi, code => {
    const character = String.fromCharCode(parseInt(code.slice(1), 16))
    return /[\w.~-]/.test(character) ? character : code.toUpperCase()
  })
}

function refuseIf (isWrong: boolean, reason: string): void {
  if (isWrong) throw invalid(reason)
}

function invalid (reason: string): Error {
  return new FST_AUTH0_DPOP_PROOF_INVALID({ cause: new ProviderFailure(`DPoP proof: ${reason}`) })
}
