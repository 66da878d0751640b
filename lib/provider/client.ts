import type * as OpenidClient from 'openid-client'
import type { Configuration, CustomFetch } from 'openid-client'
import { isLoopback } from './bounded-fetch.ts'
import { createKeySet, type KeySet } from './key-set.ts'
import { FOR_LOGINS, fetchMetadata, type UsableMetadata } from './metadata.ts'

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
  /** The same, for where the status of an answer says it all. */
  send: CustomFetch
}

/** A provider as its metadata describe it, with us as its client. */
export interface KnownProvider {
  readonly metadata: UsableMetadata
  /** For openid-client: what it needs to ask this provider for a login. */
  readonly configuration: Configuration
  /** For openid-client: what it needs to revoke a token. The content of the answer is nothing to look at (RFC 7009 §2.2). */
  readonly configurationToRevoke: Configuration
  readonly keySet: KeySet
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
  const metadata = await fetchMetadata(fetch, issuer, FOR_LOGINS)
  const jwksUri = new URL(metadata.jwks_uri).href
  const keySet = createKeySet(fetch, jwksUri)
  const client = { [openid.clockTolerance]: options.clockTolerance }
  const authentication = options.clientAuthMethod === 'client_secret_basic' ? openid.ClientSecretBasic(clientSecret) : openid.ClientSecretPost(clientSecret)

  function configure (fetch: CustomFetch): Configuration {
    const configuration = new openid.Configuration(metadata, clientId, client, authentication)
    configuration.timeout = 0 // `fetch` has a better one
    configuration[openid.customFetch] = fetch
    // Signatures are verified also where OpenID Connect Core 1.0 §3.1.3.7 (6) lets a client trust TLS.
    openid.enableNonRepudiationChecks(configuration)
    if (isLoopback(issuer)) openid.allowInsecureRequests(configuration)
    return configuration
  }

  return {
    metadata,
    configuration: configure(fetch),
    configurationToRevoke: configure(options.send),
    keySet,
    async configurationWithKeys () {
      const jwks = await keySet.current()
      const configuration = configure(async (url, init) => url === jwksUri ? Response.json(await keySet.renewed()) : fetch(url, init))
      openid.setJwksCache(configuration, { jwks, uat: Math.floor(Date.now() / 1000) - KEYS_SEEM })
      return configuration
    }
  }
}

/** Imported when first needed: it costs 20 ms, and a server that nobody logs in to need not pay them. */
export function openidClient (): Promise<typeof OpenidClient> {
  return import('openid-client')
}
