import type { Configuration, CustomFetch } from 'openid-client'
import { isLoopback } from './bounded-fetch.ts'
import { createKeySet, fetchJwks } from './key-set.ts'
import { assertUsable, type UsableMetadata } from './metadata.ts'

const KEYS_SEEM = 60 // seconds old: only then openid-client asks again for a key that is not among them

/** What makes us a client of a provider. */
export interface ClientOptions {
  issuer: URL
  clientId: string
  clientSecret: string
  clientAuthMethod: 'client_secret_post' | 'client_secret_basic'
  /** Seconds. */
  clockTolerance: number
  fetch: CustomFetch
}

/** A provider as its metadata describe it, with us as its client. */
export interface KnownProvider {
  readonly metadata: UsableMetadata
  /** For openid-client: what it needs to ask this provider for a login. */
  readonly configuration: Configuration
  /**
   * For openid-client: what it needs to finish one login. It has the keys already: fetched first, an endpoint that is down or
   * slow costs nobody the code, which is good only once.
   */
  configurationWithKeys (): Promise<Configuration>
}

/** Fetches a provider's metadata (OpenID Connect Discovery 1.0 §4). Throws what `providerError` makes sense of. */
export async function discoverProvider (options: ClientOptions): Promise<KnownProvider> {
  const openid = await openidClient()
  const { issuer, clientId, clientSecret, fetch } = options
  const client = { [openid.clockTolerance]: options.clockTolerance }
  const authentication = options.clientAuthMethod === 'client_secret_basic' ? openid.ClientSecretBasic(clientSecret) : openid.ClientSecretPost(clientSecret)
  // Signatures are verified also where OpenID Connect Core 1.0 §3.1.3.7 (6) lets a client trust TLS.
  const execute = [openid.enableNonRepudiationChecks]
  if (isLoopback(issuer)) execute.push(openid.allowInsecureRequests)
  const timeout = 0 // `fetch` has a better one

  const configuration = await openid.discovery(issuer, clientId, client, authentication, { [openid.customFetch]: fetch, execute, timeout })
  const metadata = configuration.serverMetadata()
  assertUsable(metadata, issuer)
  const jwksUri = new URL(metadata.jwks_uri).href
  const keySet = createKeySet(() => fetchJwks(fetch, jwksUri))

  return {
    metadata,
    configuration,
    async configurationWithKeys () {
      const jwks = await keySet.current()
      const withKeys = new openid.Configuration(metadata, clientId, client, authentication)
      for (const enable of execute) enable(withKeys)
      withKeys.timeout = timeout
      withKeys[openid.customFetch] = async (url, init) => url === jwksUri ? Response.json(await keySet.renewed()) : fetch(url, init)
      openid.setJwksCache(withKeys, { jwks, uat: Math.floor(Date.now() / 1000) - KEYS_SEEM })
      return withKeys
    }
  }
}

/** Imported when first needed: it costs 20 ms, and a server that nobody logs in to need not pay them. */
export function openidClient () {
  return import('openid-client')
}
