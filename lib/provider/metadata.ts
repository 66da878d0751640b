import type { CustomFetch, ServerMetadata } from 'openid-client'
import { assertConfidential } from './bounded-fetch.ts'
import { fetchDocument, type PublicDocument } from './document.ts'
import { UnusableAnswerError, quote } from './failures.ts'

/** Without these there is no login. */
export const FOR_LOGINS = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const
/** Without this none of its tokens can be verified. */
export const FOR_TOKENS = ['jwks_uri'] as const

/** Metadata of a provider that have what they are for. */
export type UsableMetadata<Required extends string = typeof FOR_LOGINS[number]> = ServerMetadata & Record<Required, string>

/**
 * Fetches the metadata of an issuer. Refuses those of another issuer, without what is required, or with an endpoint that others could read along.
 *
 * openid-client's own discovery takes any issuer from Entra ID's hosts, and so lets people of every tenant in.
 *
 * @see OpenID Connect Discovery 1.0 §3, §4; RFC 9700 §2.6
 */
export async function fetchMetadata<Required extends string> (fetch: CustomFetch, issuer: URL, required: readonly Required[]): Promise<UsableMetadata<Required>> {
  const metadata = await fetchDocument(fetch, `${issuer.href.replace(/\/$/, '')}/.well-known/openid-configuration`)
  verifyIssuer(metadata, issuer)
  for (const name of required) {
    if (metadata[name] === undefined) throw new UnusableAnswerError(`the metadata lack "${name}"`)
  }
  for (const [name, value] of Object.entries(metadata)) {
    if (name === 'jwks_uri' || name.endsWith('_endpoint')) verifyEndpoint(name, value)
  }
  return metadata as UsableMetadata<Required>
}

/** Compares as URLs: `https://id.example.com` may be configured with a slash behind. */
function verifyIssuer ({ issuer: actual }: PublicDocument, issuer: URL): void {
  if (typeof actual === 'string' && URL.canParse(actual) && new URL(actual).href === issuer.href) return
  throw new UnusableAnswerError(`the metadata are of issuer "${quote(String(actual))}" and not of "${issuer.href}"`)
}

/** Also those that only the browser visits: what is sent there is secret, too. */
function verifyEndpoint (name: string, value: unknown): void {
  if (typeof value !== 'string' || !URL.canParse(value)) throw new UnusableAnswerError(`"${name}" in the metadata is no URL`)
  assertConfidential(new URL(value))
}
