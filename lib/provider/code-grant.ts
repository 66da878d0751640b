import type { Configuration, IDToken, TokenEndpointResponse, TokenEndpointResponseHelpers } from 'openid-client'
import { FST_AUTH0_PROVIDER_FAILED } from '../errors.ts'
import type { LoginProof } from './authorization-request.ts'
import { openidClient } from './client.ts'
import { ProviderFailure, idTokenError, isFailedRequest, isIncompleteAnswer, providerError } from './failures.ts'
import { verifyIdToken } from './id-token.ts'

const MAX_EXPIRES_IN = 2 ** 31 - 1 // seconds; what some say for "never"

/** What must be known of a login to finish it. */
export interface StartedLogin extends LoginProof {
  redirectUri: string
  scope: string
  /** Seconds since the epoch. */
  startedAt: number
  maxAge?: number | undefined
  organization?: string | undefined
}

/** The tokens of a login, as the token endpoint gave them. */
export interface Tokens {
  accessToken: string
  idToken: string
  refreshToken: string | null
  /** As granted; the specification lets a provider leave it out when it is what was asked for (RFC 6749 §5.1). */
  scope: string | null
  /** Seconds; `null` when the provider did not say. */
  expiresIn: number | null
}

type TokenAnswer = TokenEndpointResponse & TokenEndpointResponseHelpers

/**
 * Redeems the code of an answer and verifies the ID token that comes back.
 *
 * @see OpenID Connect Core 1.0 §3.1.3; RFC 6749 §4.1.3, §5.1; RFC 7636 §4.5
 */
export async function redeemCode (
  configuration: Configuration, answer: URLSearchParams, login: StartedLogin, client: { clientId: string, clockTolerance: number }
): Promise<{ claims: IDToken, tokens: Tokens }> {
  const granted = await exchange(configuration, answer, login)
  const tokens = parseTokens(granted)
  const claims = granted.claims() as IDToken // an answer without one was refused
  verifyIdToken(tokens.idToken, claims, { ...client, ...login, accessToken: tokens.accessToken })
  return { claims, tokens }
}

async function exchange (configuration: Configuration, answer: URLSearchParams, login: StartedLogin): Promise<TokenAnswer> {
  const { authorizationCodeGrant } = await openidClient()
  const url = new URL(login.redirectUri)
  url.search = answer.toString()
  try {
    return await authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: login.codeVerifier, expectedState: login.state, expectedNonce: login.nonce, idTokenExpected: true
    })
  } catch (error) {
    throw isFailedRequest(error) || isIncompleteAnswer(error) ? providerError(error, 'token endpoint') : idTokenError(error)
  }
}

function parseTokens (granted: TokenAnswer): Tokens {
  if (granted.token_type !== 'bearer') throw unusable('"token_type" is not Bearer')
  return {
    accessToken: granted.access_token,
    idToken: granted.id_token as string,
    refreshToken: granted.refresh_token ?? null,
    scope: granted.scope ?? null,
    expiresIn: parseExpiresIn(granted.expires_in)
  }
}

function parseExpiresIn (expiresIn: number | undefined): number | null {
  if (expiresIn === undefined) return null
  if (expiresIn < 1 || expiresIn > MAX_EXPIRES_IN) throw unusable('"expires_in" is no time')
  return Math.floor(expiresIn)
}

function unusable (reason: string): Error {
  return new FST_AUTH0_PROVIDER_FAILED({ cause: new ProviderFailure(`token endpoint: ${reason}`) })
}
