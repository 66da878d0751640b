import type * as OpenidClient from 'openid-client'
import type { Configuration, CustomFetch } from 'openid-client'
import { isLoopback } from './bounded-fetch.ts'
import { isByCertificate, proveClient, type ClientProof } from './client-authentication.ts'
import { importClientKey, type ClientKey, type SigningKey } from './client-key.ts'
import { createKeySet, type KeySet } from './key-set.ts'
import { FOR_LOGINS, fetchMetadata, type UsableMetadata } from './metadata.ts'

const KEYS_SEEM = 60 // seconds old: only then openid-client asks again for a key that is not among them

/** What makes us a client of a provider. */
export interface ClientOptions extends ClientProof {
  issuer: URL
  clientId: string
  /** What it signs with, if it has a key. */
  clientKey: ClientKey | null
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
  /** What we sign requests with, if we have a key. */
  readonly signingKey: SigningKey | null
  /**
   * For openid-client: what it needs to finish one login. It has the keys already: fetched first, an endpoint that is down or
   * slow costs nobody the code, which is good only once.
   */
  configurationWithKeys (): Promise<Configuration>
}

/** Fetches a provider's metadata (OpenID Connect Discovery 1.0 §4). Throws what `providerError` makes sense of. */
export async function discoverProvider (options: ClientOptions): Promise<KnownProvider> {
  const openid = await openidClient()
  const { issuer, clientId, clientKey, fetch } = options
  const metadata = await fetchMetadata(fetch, issuer, FOR_LOGINS)
  const jwksUri = new URL(metadata.jwks_uri).href
  const keySet = createKeySet(fetch, jwksUri)
  const client = { [openid.clockTolerance]: options.clockTolerance, use_mtls_endpoint_aliases: isByCertificate(options.clientAuthMethod) }
  const signingKey = clientKey && await importClientKey(clientKey)
  const authentication = proveClient(openid, options, signingKey, metadata.token_endpoint)

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
    signingKey,
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
