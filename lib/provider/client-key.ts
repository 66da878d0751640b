import type { KeyObject } from 'node:crypto'
import type { CryptoKey, ModifyAssertionFunction } from 'openid-client'

/** The private key that a client signs with. */
export interface ClientKey {
  readonly privateKey: KeyObject
  /** RFC 7518 §3.1; RFC 8037 §3.1. */
  readonly algorithm: string
  /** What the provider finds its public half by (RFC 7515 §4.1.4, §4.1.8). */
  readonly names: Readonly<{ kid?: string, 'x5t#S256'?: string }>
}

/** The same for openid-client: the key, and what makes the header of a JWT tell of it. */
export interface SigningKey {
  key: CryptoKey
  describe: ModifyAssertionFunction
}

const RSA = { 256: 'SHA-256', 384: 'SHA-384', 512: 'SHA-512' }
const CURVES = { 256: 'P-256', 384: 'P-384', 512: 'P-521' }

export async function importClientKey ({ privateKey, algorithm, names }: ClientKey): Promise<SigningKey> {
  const bytes = privateKey.export({ type: 'pkcs8', format: 'der' })
  return {
    key: await crypto.subtle.importKey('pkcs8', bytes, inWebCrypto(algorithm), false, ['sign']),
    describe: header => { Object.assign(header, { alg: algorithm }, names) } // openid-client knows "Ed25519", and most providers "EdDSA"
  }
}

function inWebCrypto (algorithm: string) {
  const size = Number(algorithm.slice(2)) as keyof typeof RSA
  if (algorithm.startsWith('RS')) return { name: 'RSASSA-PKCS1-v1_5', hash: RSA[size] }
  if (algorithm.startsWith('PS')) return { name: 'RSA-PSS', hash: RSA[size] }
  if (algorithm.startsWith('ES')) return { name: 'ECDSA', namedCurve: CURVES[size] }
  return { name: 'Ed25519' }
}
