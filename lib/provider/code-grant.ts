import type { Configuration, DPoPOptions, IDToken } from 'openid-client'
import type { LoginProof } from './authorization-request.ts'
import { openidClient } from './client.ts'
import { codeError, idTokenError, isFailedRequest, isIncompleteAnswer } from './failures.ts'
import { verifyIdToken } from './id-token.ts'
import { readAlong } from './read-along.ts'
import { parseTokens, type TokenAnswer, type Tokens } from './token-answer.ts'

/** What must be known of a login to finish it. */
export interface StartedLogin extends LoginProof {
  redirectUri: string
  scope: string
  /** Seconds since the epoch. */
  startedAt: number
  maxAge?: number | undefined
  organization?: string | undefined
}

/** The tokens of a login. */
export type LoginTokenAnswer = Tokens & { idToken: string }

/**
 * Redeems the code of an answer and verifies the ID token that comes back.
 *
 * @param proof binds the tokens to a key
 * @see OpenID Connect Core 1.0 §3.1.3; RFC 6749 §4.1.3, §5.1; RFC 7636 §4.5; RFC 9449 §5
 */
export async function redeemCode (
  configuration: Configuration, answer: URLSearchParams, login: StartedLogin, client: { clientId: string, clockTolerance: number }, proof: DPoPOptions
): Promise<{ claims: IDToken, tokens: LoginTokenAnswer }> {
  const seen = await readAlong(configuration)
  const granted = await exchange(configuration, answer, login, proof)
  const tokens = { ...parseTokens(granted, proof, seen.receivedAt), idToken: granted.id_token as string }
  const claims = granted.claims() as IDToken // an answer without one was refused
  verifyIdToken(tokens.idToken, claims, { ...client, ...login, accessToken: tokens.accessToken })
  return { claims, tokens }
}

async function exchange (configuration: Configuration, answer: URLSearchParams, login: StartedLogin, proof: DPoPOptions): Promise<TokenAnswer> {
  const { authorizationCodeGrant } = await openidClient()
  const url = new URL(login.redirectUri)
  url.search = answer.toString()
  try {
    return await authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: login.codeVerifier, expectedState: login.state, expectedNonce: login.nonce, idTokenExpected: true
    }, undefined, proof)
  } catch (error) {
    throw isFailedRequest(error) || isIncompleteAnswer(error) ? codeError(error) : idTokenError(error)
  }
}
