import type { CustomFetch } from 'openid-client'
import { createDiscovery } from './discovery.ts'
import { providerError } from './failures.ts'
import { createKeySet, type KeySet } from './key-set.ts'
import { FOR_TOKENS, fetchMetadata } from './metadata.ts'

/** What is to be known of a provider to verify a token that it signed. */
export interface Signer {
  /** As it spells its name itself. */
  issuer: string
  /** What it says that it signs ID tokens with; it may say `none`. */
  algorithms: readonly unknown[]
  /** The same of its answers to logins, where they are JWTs. */
  answerAlgorithms: readonly unknown[]
  /** Fails with one of our errors. */
  keys: KeySet
}

/** Where the metadata say nothing: of ID tokens, for openid-client too (OpenID Connect Core 1.0 §3.1.3.7 (7)), and of answers (JARM §3). */
const DEFAULT_ALGORITHM = 'RS256'

/**
 * Knows an issuer by nothing but its metadata and keys, which are fetched when first needed.
 *
 * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
 * @throws {FST_AUTH0_PROVIDER_FAILED} 502
 */
export function createSigner (issuer: URL, fetch: CustomFetch, onRenewalFailed: (error: Error) => void): () => Promise<Signer> {
  const discovery = createDiscovery(async () => {
    const metadata = await fetchMetadata(fetch, issuer, FOR_TOKENS)
    return toSigner(metadata, createKeySet(fetch, new URL(metadata.jwks_uri).href))
  }, error => onRenewalFailed(providerError(error, 'discovery')))
  return () => discovery.current().catch(error => { throw providerError(error, 'discovery') })
}

/** What the metadata say of signatures. */
interface Signatures {
  issuer: string
  id_token_signing_alg_values_supported?: unknown
  authorization_signing_alg_values_supported?: unknown
}

export function toSigner ({ issuer, id_token_signing_alg_values_supported: ofIdTokens, authorization_signing_alg_values_supported: ofAnswers }: Signatures, keySet: KeySet): Signer {
  return {
    issuer,
    algorithms: Array.isArray(ofIdTokens) ? ofIdTokens : [DEFAULT_ALGORITHM],
    answerAlgorithms: Array.isArray(ofAnswers) ? ofAnswers : [DEFAULT_ALGORITHM],
    keys: { current: () => keySet.current().catch(failForKeys), renewed: kid => keySet.renewed(kid).catch(failForKeys) }
  }
}

export function failForKeys (error: unknown): never {
  throw providerError(error, 'keys')
}
