import type { ServerMetadata } from 'openid-client'
import { assertConfidential } from './bounded-fetch.ts'
import { UnusableAnswerError, quote } from './failures.ts'

/** Without these there is no login. */
const REQUIRED = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const

/** Metadata of a provider that people can log in with. */
export type UsableMetadata = ServerMetadata & Record<typeof REQUIRED[number], string>

/**
 * Refuses metadata of another issuer, without an endpoint that a login needs, or with one that others could read along.
 *
 * @throws {UnusableAnswerError}
 * @see OpenID Connect Discovery 1.0 §3, §4.3; RFC 9700 §2.6
 */
export function assertUsable (metadata: ServerMetadata, issuer: URL): asserts metadata is UsableMetadata {
  // openid-client lets Entra ID's template for all tenants pass, which would let everybody's tenant in.
  if (!URL.canParse(metadata.issuer) || new URL(metadata.issuer).href !== issuer.href) {
    throw new UnusableAnswerError(`the metadata of ${issuer.href} are of another issuer: ${quote(metadata.issuer)}`)
  }
  for (const name of REQUIRED) {
    if (metadata[name] === undefined) throw new UnusableAnswerError(`the metadata lack "${name}"`)
  }
  for (const [name, value] of Object.entries(metadata)) {
    if (name === 'jwks_uri' || name.endsWith('_endpoint')) assertEndpoint(name, value)
  }
}

/** Also those that only the browser visits: what is sent there is secret, too. */
function assertEndpoint (name: string, value: unknown): void {
  if (typeof value !== 'string' || !URL.canParse(value)) throw new UnusableAnswerError(`"${name}" in the metadata is no URL`)
  assertConfidential(new URL(value))
}
