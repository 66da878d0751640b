import { openidClient, type KnownProvider } from './client.ts'
import { UnusableAnswerError, providerError } from './failures.ts'

/** What a provider says of a token that is good. */
export type Introspected = Readonly<Record<string, unknown>>

/**
 * Asks what a token is good for; `null` when it is good for nothing, or not any more.
 *
 * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
 * @throws {FST_AUTH0_PROVIDER_FAILED} 502
 * @see RFC 7662 §2
 */
export async function introspectToken ({ metadata, configuration }: KnownProvider, token: string): Promise<Introspected | null> {
  try {
    if (metadata.introspection_endpoint === undefined) throw new UnusableAnswerError('the metadata lack "introspection_endpoint"')
    const { tokenIntrospection } = await openidClient()
    const { active, ...claims } = await tokenIntrospection(configuration, token, { token_type_hint: 'access_token' })
    return active ? claims : null
  } catch (error) {
    throw providerError(error, 'introspection')
  }
}
