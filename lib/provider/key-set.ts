import type { CustomFetch } from 'openid-client'
import { UnusableAnswerError } from './failures.ts'
import { singleFlight } from './single-flight.ts'

const MAX_AGE = 300 // seconds; for so long a key that the provider withdrew still counts
const COOLDOWN = 30 // seconds between requests for keys that are not in the set

/** The keys that a provider signs with, as it publishes them (RFC 7517 §5). */
export interface Jwks {
  keys: Array<Record<string, unknown>>
}

/** The provider's keys, kept for a while. One request, however many wait. */
export interface KeySet {
  /** Not older than five minutes. */
  current (): Promise<Jwks>
  /** Asked for again now, for a token whose key is not among the current ones; at most twice a minute (OpenID Connect Core 1.0 §10.1.1). */
  renewed (): Promise<Jwks>
}

export function createKeySet (fetchKeys: () => Promise<Jwks>): KeySet {
  let known: { jwks: Jwks, expiresAt: number } | null = null
  let renewableAt = 0

  const renew = singleFlight(async () => {
    const jwks = await fetchKeys()
    known = { jwks, expiresAt: now() + MAX_AGE }
    return jwks
  })

  async function current (): Promise<Jwks> {
    return known !== null && now() < known.expiresAt ? known.jwks : renew()
  }

  return {
    current,
    async renewed () {
      if (now() < renewableAt) return current()
      renewableAt = now() + COOLDOWN
      return renew()
    }
  }
}

/** Fetches what a `jwks_uri` has. Whether a key is fit to verify with is openid-client's to judge. */
export async function fetchJwks (fetch: CustomFetch, uri: string): Promise<Jwks> {
  const response = await fetch(uri, { method: 'GET', headers: { accept: 'application/json, application/jwk-set+json' }, body: null, redirect: 'manual' })
  if (response.status !== 200) throw new Error('no keys', { cause: response })
  const jwks = await response.json() as Partial<Jwks> | null
  if (!Array.isArray(jwks?.keys) || !jwks.keys.every(isObject)) throw new UnusableAnswerError('an answer that is no key set')
  return { keys: jwks.keys }
}

function isObject (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function now (): number {
  return Math.floor(Date.now() / 1000)
}
