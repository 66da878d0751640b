import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Auth0Options } from '../../lib/index.ts'
import { rsaKey } from './id-tokens.ts'
import type { Registration } from './client-proofs.ts'

/** A key pair that a client signs with. */
export interface KeyPair { privateKey: KeyObject, publicKey: KeyObject }

/** A pair for an algorithm; that of RSA is made once per process. */
export function clientKeys (algorithm: string): KeyPair {
  if (/^[RP]S/.test(algorithm)) return rsaKey('client')
  if (algorithm.startsWith('Ed')) return generateKeyPairSync('ed25519')
  return generateKeyPairSync('ec', { namedCurve: `P-${algorithm.slice(2).replace('512', '521')}` })
}

export function toPem (key: KeyObject): string {
  return key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString()
}

/** A client with a key, and how it is registered at the provider. */
export function keyClient (algorithm = 'ES256'): { registration: Registration, auth0: Auth0Options } {
  const { privateKey, publicKey } = clientKeys(algorithm)
  return {
    registration: { method: 'private_key_jwt', publicKey, algorithm },
    auth0: { clientAuthMethod: 'private_key_jwt', clientPrivateKey: { key: privateKey, alg: algorithm } }
  }
}
