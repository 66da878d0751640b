import { createHash, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'
import { change, encode, type Json } from './id-tokens.ts'
import type { Provider } from './provider.ts'

/** What a proof is made for. */
export interface ProofFor {
  method?: string
  url: string
  accessToken: string
}

/** Changes to a proof: `undefined` removes. */
export interface ProofChange {
  header?: Json
  claims?: Json
}

/** Somebody who has a key, and makes proofs of it (RFC 9449 §4.2). */
export class DpopClient {
  readonly #key: KeyObject
  readonly jwk: Json

  constructor () {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#key = privateKey
    this.jwk = publicKey.export({ format: 'jwk' }) as Json
  }

  get privateJwk (): Json {
    return this.#key.export({ format: 'jwk' }) as Json
  }

  /** RFC 7638 §3. */
  get thumbprint (): string {
    const { crv, kty, x, y } = this.jwk
    return sha256(JSON.stringify({ crv, kty, x, y }))
  }

  /** An access token that is bound to the key (RFC 9449 §6.1). */
  accessToken (provider: Pick<Provider, 'accessToken'>, claims: Json = {}): string {
    return provider.accessToken({ claims: { cnf: { jkt: this.thumbprint }, ...claims } })
  }

  proof ({ method = 'GET', url, accessToken }: ProofFor, { header = {}, claims = {} }: ProofChange = {}): string {
    const honest = { jti: randomUUID(), htm: method, htu: url, iat: Math.floor(Date.now() / 1000), ath: sha256(accessToken) }
    const input = [change({ typ: 'dpop+jwt', alg: 'ES256', jwk: this.jwk }, header), change(honest, claims)].map(encode).join('.')
    return `${input}.${sign('sha256', Buffer.from(input), { key: this.#key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
}

function sha256 (text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
