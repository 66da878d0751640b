import type { CustomFetch } from 'openid-client'
import { now } from '../clock.ts'
import { fetchDocument, isObject, type PublicDocument } from './document.ts'
import { UnusableAnswerError } from './failures.ts'
import { singleFlight } from './single-flight.ts'

const MAX_AGE = 300 // seconds; for so long a key that the provider withdrew still counts
const COOLDOWN = 30 // seconds between requests for keys that are not in the set

/** The keys that a provider signs with, as it publishes them (RFC 7517 §5). */
export interface Jwks {
  keys: PublicDocument[]
}

/** The provider's keys, kept for a while. One request, however many wait. */
export interface KeySet {
  /** Not older than five minutes. */
  current (): Promise<Jwks>
  /** Asked for again now, for a token whose key is not among the current ones; at most twice a minute (OpenID Connect Core 1.0 §10.1.1). */
  renewed (): Promise<Jwks>
}

/** @param uri the `jwks_uri` */
export function createKeySet (fetch: CustomFetch, uri: string): KeySet {
  let known: { jwks: Jwks, expiresAt: number } | null = null
  let latest: Promise<Jwks> | null = null
  let renewableAt = 0

  const renew = singleFlight(async () => {
    const jwks = await fetchJwks(fetch, uri)
    known = { jwks, expiresAt: now() + MAX_AGE }
    return jwks
  })

  async function current (): Promise<Jwks> {
    return known !== null && now() < known.expiresAt ? known.jwks : ask()
  }

  function ask (): Promise<Jwks> {
    latest = renew()
    return latest
  }

  return {
    current,
    async renewed () {
      // Who comes while they are asked for waits with the others; and a failure is no word that there is no such key.
      if (latest !== null && now() < renewableAt) return latest
      renewableAt = now() + COOLDOWN
      return ask()
    }
  }
}

/** Whether a key is fit to verify with is openid-client's to judge. */
async function fetchJwks (fetch: CustomFetch, uri: string): Promise<Jwks> {
  const { keys } = await fetchDocument(fetch, uri)
  if (!Array.isArray(keys) || !keys.every(isObject)) throw new UnusableAnswerError('an answer that is no key set')
  return { keys }
}
