import { createHmac, createSecretKey, hkdfSync, timingSafeEqual, type KeyObject } from 'node:crypto'
import { LruMap } from 'toad-cache'

const REMEMBERED = 10_000 // some 3 MB

/** Signs ids of sessions, and verifies them, in the way that @fastify/session asks for it. */
export interface SessionIdSigner {
  sign (id: string): string
  unsign (signed: string): { valid: boolean, renew: boolean, value: string | null }
}

/**
 * Makes a signer: HMAC-SHA-256, in characters that a cookie need not encode. The first secret signs, all verify.
 *
 * @fastify/session has every id verified and signed anew at every request: signatures that were verified lately are remembered.
 *
 * @param realm whatever else has the same secret: its ids are not ours
 */
export function createSessionIdSigner (secrets: readonly string[], realm: readonly string[]): SessionIdSigner {
  const [current, ...older] = secrets.map(secret => deriveKey(secret, realm)) as [KeyObject, ...KeyObject[]]
  const remembered = new LruMap<string>(REMEMBERED)

  function verifyCurrent (id: string, given: Buffer): boolean {
    const known = remembered.get(id)
    if (known !== undefined) return isSame(given, known)
    const signature = signatureOf(id, current)
    const isValid = isSame(given, signature)
    // A copy: what was cut from a header would keep the whole header in memory.
    if (isValid) remembered.set(Buffer.from(id).toString(), signature)
    return isValid
  }

  return {
    sign: id => `${id}.${remembered.get(id) ?? signatureOf(id, current)}`,

    unsign (signed) {
      const dot = signed.lastIndexOf('.')
      const id = signed.slice(0, dot)
      const given = Buffer.from(signed.slice(dot + 1))
      if (verifyCurrent(id, given)) return { valid: true, renew: false, value: id }
      if (older.some(key => isSame(given, signatureOf(id, key)))) return { valid: true, renew: true, value: id }
      return { valid: false, renew: false, value: null }
    }
  }
}

function deriveKey (secret: string, realm: readonly string[]): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', `fastify-auth0 session id\0${JSON.stringify(realm)}`, 32)))
}

function signatureOf (id: string, key: KeyObject): string {
  return createHmac('sha256', key).update(id).digest('base64url')
}

function isSame (given: Buffer, signature: string): boolean {
  const expected = Buffer.from(signature)
  return given.length === expected.length && timingSafeEqual(given, expected)
}
