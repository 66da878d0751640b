import { openidClient, type KnownProvider } from './client.ts'
import { UnusableAnswerError, providerError } from './failures.ts'

/** What a login keeps until the browser comes back. */
export interface LoginProof {
  state: string
  nonce: string
  codeVerifier: string
}

/** What an application wants of its requests, also when the provider does not demand it. */
export interface RequestForm {
  isPushed: boolean
  isSigned: boolean
}

/**
 * Makes the address that begins a login.
 *
 * @see OpenID Connect Core 1.0 §3.1.2.1; RFC 7636 §4.3; RFC 9126 §4; RFC 9101 §4, §10.5
 */
export async function requestAuthorization (
  provider: KnownProvider, parameters: Record<string, string>, { isPushed, isSigned }: RequestForm
): Promise<{ url: URL, proof: LoginProof }> {
  const openid = await openidClient()
  const { metadata, configuration } = provider
  const proof = { state: openid.randomState(), nonce: openid.randomNonce(), codeVerifier: openid.randomPKCECodeVerifier() }
  const plain = {
    ...parameters,
    response_type: 'code',
    state: proof.state,
    nonce: proof.nonce,
    code_challenge: await openid.calculatePKCECodeChallenge(proof.codeVerifier),
    code_challenge_method: 'S256'
  }
  const request = isSigned || metadata.require_signed_request_object === true ? await signRequest(provider, plain) : plain
  if (!isPushed && metadata.require_pushed_authorization_requests !== true) return { url: openid.buildAuthorizationUrl(configuration, request), proof }
  try {
    return { url: await openid.buildAuthorizationUrlWithPAR(configuration, request), proof }
  } catch (error) {
    throw providerError(error, 'pushed authorization request')
  }
}

/** All that is asked for in one signed parameter, so that nobody on the way can change it (RFC 9101 §4, §5). */
async function signRequest ({ configuration, signingKey }: KnownProvider, plain: Record<string, string>): Promise<Record<string, string>> {
  if (signingKey === null) throw providerError(new UnusableAnswerError('the provider demands signed requests: give option "clientPrivateKey", and set "signedAuthorizationRequests"'), 'authorization request')
  const { buildAuthorizationUrlWithJAR, modifyAssertion } = await openidClient()
  const { searchParams } = await buildAuthorizationUrlWithJAR(configuration, plain, signingKey.key, { [modifyAssertion]: signingKey.describe })
  return { request: searchParams.get('request') as string }
}
