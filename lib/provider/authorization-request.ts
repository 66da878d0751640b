import { openidClient, type KnownProvider } from './client.ts'
import { providerError } from './failures.ts'

/** What a login keeps until the browser comes back. */
export interface LoginProof {
  state: string
  nonce: string
  codeVerifier: string
}

/**
 * Makes the address that begins a login.
 *
 * @param wantsPush push the request, also when the provider does not demand it
 * @see OpenID Connect Core 1.0 §3.1.2.1; RFC 7636 §4.3; RFC 9126 §4
 */
export async function requestAuthorization (
  { metadata, configuration }: KnownProvider, parameters: Record<string, string>, wantsPush: boolean
): Promise<{ url: URL, proof: LoginProof }> {
  const openid = await openidClient()
  const proof = { state: openid.randomState(), nonce: openid.randomNonce(), codeVerifier: openid.randomPKCECodeVerifier() }
  const request = {
    ...parameters,
    response_type: 'code',
    state: proof.state,
    nonce: proof.nonce,
    code_challenge: await openid.calculatePKCECodeChallenge(proof.codeVerifier),
    code_challenge_method: 'S256'
  }
  if (!wantsPush && metadata.require_pushed_authorization_requests !== true) return { url: openid.buildAuthorizationUrl(configuration, request), proof }
  try {
    return { url: await openid.buildAuthorizationUrlWithPAR(configuration, request), proof }
  } catch (error) {
    throw providerError(error, 'pushed authorization request')
  }
}
