import { openidClient, type KnownProvider } from './client.ts'
import { providerError } from './failures.ts'

/**
 * Revokes a refresh token, where the provider knows how to.
 *
 * @see RFC 7009 §2.1
 */
export async function revokeToken ({ metadata, configurationToRevoke }: KnownProvider, refreshToken: string): Promise<void> {
  if (metadata.revocation_endpoint === undefined) return
  const { tokenRevocation } = await openidClient()
  await tokenRevocation(configurationToRevoke, refreshToken, { token_type_hint: 'refresh_token' }).catch(error => { throw providerError(error, 'revocation') })
}
