import { createHmac, hkdfSync } from 'node:crypto'

const LIFETIME = 300_000 // milliseconds; then it counts for as long once more

/** Nonces that proofs have to repeat, so that none can be made for later (RFC 9449 §11.2). */
export interface Nonces {
  current (): string
  isGood (nonce: string | null): boolean
}

/**
 * Nonces that every process knows which has the secrets, so that none has to be kept.
 *
 * @param secrets the first makes, all are good
 */
export function createNonces (secrets: readonly string[], realm: readonly string[]): Nonces {
  const keys = secrets.map(secret => Buffer.from(hkdfSync('sha256', secret, '', JSON.stringify(['dpop nonce 1', ...realm]), 32)))
  const nonceOf = (key: Buffer, turn: number) => createHmac('sha256', key).update(String(turn)).digest('base64url')
  const turn = () => Math.floor(Date.now() / LIFETIME)
  return {
    current: () => nonceOf(keys[0] as Buffer, turn()),
    isGood: nonce => keys.some(key => nonce === nonceOf(key, turn()) || nonce === nonceOf(key, turn() - 1))
  }
}
