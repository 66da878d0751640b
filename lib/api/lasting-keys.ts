import { now } from '../clock.ts'
import type { Jwks, KeySet } from '../provider/key-set.ts'

const LIFETIME = 86_400 // seconds for which keys serve on while their endpoint is down
const RETRY_AFTER = 30 // seconds

/**
 * Keys that serve on for a day while they cannot be asked for, so that an API does not go down with the provider. Who comes when they are too old waits for
 * new ones; once that failed nobody waits any more, and they are asked for beside.
 *
 * @param find the keys, as they are kept for a few minutes
 * @param onOutage is told once, until they can be had again
 */
export function createLastingKeys (find: () => Promise<KeySet>, onOutage: (error: unknown) => void): KeySet {
  let last: { jwks: Jwks, at: number } | null = null
  let isOut = false
  let retryAt = 0

  async function ask (call: (keys: KeySet) => Promise<Jwks>): Promise<Jwks> {
    const jwks = await call(await find())
    last = { jwks, at: now() }
    isOut = false
    return jwks
  }

  async function askOr (call: (keys: KeySet) => Promise<Jwks>): Promise<Jwks> {
    try {
      return await ask(call)
    } catch (error) {
      if (last === null || now() > last.at + LIFETIME) throw error
      if (!isOut) onOutage(error)
      isOut = true
      retryAt = now() + RETRY_AFTER
      return last.jwks
    }
  }

  return {
    async current () {
      if (!isOut || last === null || now() > last.at + LIFETIME) return askOr(keys => keys.current())
      const { jwks } = last
      if (now() >= retryAt) {
        retryAt = now() + RETRY_AFTER
        askOr(keys => keys.current()).catch(() => {}) // over for good: told to the next one
      }
      return jwks
    },

    renewed: kid => askOr(keys => keys.renewed(kid))
  }
}
