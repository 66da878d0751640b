import type { Configuration, DPoPHandle, DPoPOptions } from 'openid-client'
import { LruMap } from 'toad-cache'
import type { DpopKey } from '../session/sessions.ts'
import { openidClient } from './client.ts'

const ALGORITHM = 'ES256'
const REMEMBERED = 1000 // keys

/** What a call proves the possession of a key with. */
export interface DpopProofs {
  /** For openid-client; nothing for tokens that are bound to no key. */
  options (configuration: Configuration, key: DpopKey | undefined): Promise<DPoPOptions>
}

export async function createDpopKey (): Promise<DpopKey> {
  const { randomDPoPKeyPair } = await openidClient()
  const { privateKey } = await randomDPoPKeyPair(ALGORITHM, { extractable: true })
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey('jwk', privateKey)
  return { kty, crv, x, y, d } as DpopKey
}

/** Remembers for the keys in use which nonces their servers asked for (RFC 9449 §8, §9): else each call would be one to be refused first. */
export function createDpopProofs (): DpopProofs {
  const handles = new LruMap<Promise<DPoPHandle>>(REMEMBERED)

  async function create (configuration: Configuration, key: DpopKey): Promise<DPoPHandle> {
    const { getDPoPHandle } = await openidClient()
    return getDPoPHandle(configuration, await importKeyPair(key))
  }

  return {
    async options (configuration, key) {
      if (key === undefined) return {}
      const handle = handles.get(key.x) ?? create(configuration, key)
      handles.set(key.x, handle)
      return { DPoP: await handle }
    }
  }
}

async function importKeyPair ({ d, ...publicJwk }: DpopKey) {
  const algorithm = { name: 'ECDSA', namedCurve: publicJwk.crv }
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey('jwk', { ...publicJwk, d }, algorithm, false, ['sign']),
    crypto.subtle.importKey('jwk', publicJwk, algorithm, true, ['verify'])
  ])
  return { privateKey, publicKey }
}
