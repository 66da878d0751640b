import type * as OpenidClient from 'openid-client'
import type { ClientAuth, ModifyAssertionFunction } from 'openid-client'
import type { SigningKey } from './client-key.ts'

/** How a client proves itself (OpenID Connect Core 1.0 §9; RFC 8705 §2). */
export type ClientAuthMethod = 'client_secret_post' | 'client_secret_basic' | 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth' | 'self_signed_tls_client_auth'

/** Whom an assertion is for: the provider by its name, or by the address of its token endpoint. */
export type AssertionAudience = 'issuer' | 'token_endpoint'

/** What a client proves itself with. */
export interface ClientProof {
  clientAuthMethod: ClientAuthMethod
  clientAssertionAudience: AssertionAudience
  /** There with the methods that are named after it. */
  clientSecret: string | null
}

/**
 * Makes for openid-client what proves us to a provider, anew at each request.
 *
 * @param signingKey there with `private_key_jwt`
 */
export function proveClient (
  openid: typeof OpenidClient, { clientAuthMethod, clientAssertionAudience, clientSecret }: ClientProof, signingKey: SigningKey | null, tokenEndpoint: string
): ClientAuth {
  // The name is the default: with an address one provider could be made to get what is meant for another (RFC 9700 §4.4).
  const address: ModifyAssertionFunction = (_header, claims) => { if (clientAssertionAudience === 'token_endpoint') claims.aud = tokenEndpoint }
  switch (clientAuthMethod) {
    case 'client_secret_post': return openid.ClientSecretPost(clientSecret as string)
    case 'client_secret_basic': return openid.ClientSecretBasic(clientSecret as string)
    case 'client_secret_jwt': return openid.ClientSecretJwt(clientSecret as string, { [openid.modifyAssertion]: address })
    case 'private_key_jwt': {
      const { key, describe } = signingKey as SigningKey
      return openid.PrivateKeyJwt(key, { [openid.modifyAssertion]: (header, claims) => { describe(header, claims); address(header, claims) } })
    }
    default: return openid.TlsClientAuth()
  }
}

/** Whether a certificate of ours is the proof (RFC 8705 §2). */
export function isByCertificate (method: ClientAuthMethod): boolean {
  return method === 'tls_client_auth' || method === 'self_signed_tls_client_auth'
}
