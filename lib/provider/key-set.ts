import type { CustomFetch } from 'openid-client'
import { now } from '../clock.ts'
import { fetchDocument, isObject, type PublicDocument } from './document.ts'
import { UnusableAnswerError } from './failures.ts'
import { createKeyRequests } from './key-requests.ts'
import { singleFlight } from './single-flight.ts'

const MAX_AGE = 300 // seconds since they were asked for; for so long a key that the provider withdrew still counts

/** The keys that a provider signs with, as it publishes them (RFC 7517 §5). */
export interface Jwks {
  keys: PublicDocument[]
}

/** The provider's keys, kept for a while. One request, however many wait. */
export interface KeySet {
  /** Not older than five minutes. */
  current (): Promise<Jwks>
  /**
   * Asked for again now, where that may bring it, for a token whose key is not among the current ones (OpenID Connect Core 1.0 §10.1.1).
   *
   * @param kid names the key, if the token does
   */
  renewed (kid?: string): Promise<Jwks>
}

/** @param uri the `jwks_uri` */
export function createKeySet (fetch: CustomFetch, uri: string): KeySet {
  const requests = createKeyRequests()
  let known: { jwks: Jwks, expiresAt: number } | null = null
  let latest: Promise<Jwks> | null = null

  const renew = singleFlight(async () => {
    const expiresAt = now() + MAX_AGE
    const jwks = await fetchJwks(fetch, uri)
    known = { jwks, expiresAt }
    requests.learn(jwks.keys.map(({ kid }) => kid))
    return jwks
  })

  function fresh (): Jwks | null {
    return known !== null && now() < known.expiresAt ? known.jwks : null
  }

  function ask (): Promise<Jwks> {
    latest = renew()
    return latest
  }

  return {
    current: async () => fresh() ?? ask(),

    async renewed (kid) {
      const before = latest
      await before?.catch(() => {}) // should it be under way still: it may have been answered before the key was there
      const jwks = fresh()
      if (jwks !== null && kid !== undefined && jwks.keys.some(key => key.kid === kid)) return jwks
      const isAsked = latest !== before || !requests.take(kid)
      return isAsked ? latest as Promise<Jwks> : ask() // a failure, too, is handed on: it is no word that there is no such key
    }
  }
}

/** Whether a key is fit to verify with is openid-client's to judge. */
async function fetchJwks (fetch: CustomFetch, uri: string): Promise<Jwks> {
  const { keys } = await fetchDocument(fetch, uri)
  if (!Array.isArray(keys) || !keys.every(isObject)) throw new UnusableAnswerError('an answer that is no key set')
  return { keys }
}
