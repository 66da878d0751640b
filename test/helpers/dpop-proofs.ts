import { createHash, createPublicKey, verify, type JsonWebKey } from 'node:crypto'
import { OAuthError } from './authorizations.ts'

const MAX_AGE = 60 // seconds

/** What a proof is about. */
export interface ProvenCall {
  method: string
  url: URL
  headers: Headers
  /** Of a call to an API: the token that comes with it. */
  accessToken?: string
}

/** Checks proofs of possession as a strict server does (RFC 9449 §4.3). */
export class DpopProofs {
  /** What proofs have to repeat, if anything (§8). */
  nonce: string | undefined
  readonly #seen = new Set<string>()

  /** The thumbprint of the key that was proven (§6.1); `null` when nothing was. */
  check ({ method, url, headers, accessToken }: ProvenCall): string | null {
    const proof = headers.get('dpop')
    if (proof === null) return null
    const parts = proof.split('.')
    const holds = (isTrue: boolean, description: string) => {
      if (!isTrue) throw new OAuthError('invalid_dpop_proof', description)
    }
    holds(parts.length === 3, 'one JWT')
    const [header, claims] = parts.slice(0, 2).map(part => JSON.parse(Buffer.from(part, 'base64url').toString()))
    holds(header.typ === 'dpop+jwt' && header.alg === 'ES256', 'typ and alg')
    const { kty, crv, x, y, ...more } = header.jwk as JsonWebKey
    holds(!('d' in more), 'no private key')
    const key = createPublicKey({ key: header.jwk, format: 'jwk' })
    holds(verify('sha256', Buffer.from(`${parts[0]}.${parts[1]}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(parts[2]!, 'base64url')), 'the signature')
    holds(claims.htm === method && claims.htu === url.origin + url.pathname, 'htm and htu')
    holds(Math.abs(Date.now() / 1000 - claims.iat) < MAX_AGE, 'iat')
    holds(typeof claims.jti === 'string' && !this.#seen.has(claims.jti), 'jti is new')
    holds(claims.ath === (accessToken === undefined ? undefined : sha256(accessToken)), 'ath')
    this.#seen.add(claims.jti)
    if (this.nonce !== undefined && claims.nonce !== this.nonce) throw new OAuthError('use_dpop_nonce', 'Authorization server requires nonce in DPoP proof')
    return sha256(JSON.stringify({ crv, kty, x, y })) // RFC 7638 §3
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url')
