import type { Configuration, DPoPOptions, IDToken } from 'openid-client'
import { now } from '../clock.ts'
import { FST_AUTH0_REFRESH_TOKEN_REFUSED } from '../errors.ts'
import type { DpopKey } from '../session/sessions.ts'
import { openidClient } from './client.ts'
import { ProviderFailure, idTokenError, isFailedRequest, isIncompleteAnswer, isOtherParty, refreshError } from './failures.ts'
import { verifyIdToken } from './id-token.ts'
import { parseTokens, type TokenAnswer, type Tokens } from './token-answer.ts'

/** Whose tokens are refreshed. */
export interface RefreshedLogin {
  iss: string
  sub: string
  /** Seconds since the epoch; `undefined` when the login did not say. */
  authTime: number | undefined
  /** When the ID token was issued that is there, in seconds since the epoch. */
  issuedAt: number
  /** What the tokens are bound to, if they are. */
  dpopKey: DpopKey | undefined
}

/** What a refresh brings. */
export interface Refreshed {
  tokens: Tokens
  /** A new ID token and its claims; many providers send none. */
  identity: { idToken: string, claims: IDToken } | null
}

/**
 * Redeems a refresh token, and verifies the ID token that may come back.
 *
 * @param proof binds the tokens to a key
 * @throws {FST_AUTH0_REFRESH_TOKEN_REFUSED} 401, also when the ID token is of somebody else
 * @see RFC 6749 §6; OpenID Connect Core 1.0 §12; RFC 9449 §5
 */
export async function redeemRefreshToken (
  configuration: Configuration, refreshToken: string, parameters: Record<string, string>, login: RefreshedLogin, client: { clientId: string, clockTolerance: number }, proof: DPoPOptions
): Promise<Refreshed> {
  const startedAt = now()
  const granted = await exchange(configuration, refreshToken, parameters, proof)
  const tokens = parseTokens(granted, proof)
  const { id_token: idToken } = granted
  if (idToken === undefined) return { tokens, identity: null }
  const claims = granted.claims() as IDToken
  verifySameLogin(claims, login) // first: one of another login ends the session, whatever else is wrong with it
  verifyIdToken(idToken, claims, { ...client, startedAt, accessToken: tokens.accessToken })
  return { tokens, identity: { idToken, claims } }
}

async function exchange (configuration: Configuration, refreshToken: string, parameters: Record<string, string>, proof: DPoPOptions): Promise<TokenAnswer> {
  const { refreshTokenGrant } = await openidClient()
  try {
    return await refreshTokenGrant(configuration, refreshToken, parameters, proof)
  } catch (error) {
    if (isFailedRequest(error) || isIncompleteAnswer(error)) throw refreshError(error)
    refuseIf(isOtherParty(error), 'is of another issuer, or for another client')
    throw idTokenError(error)
  }
}

/** @see OpenID Connect Core 1.0 §12.2 */
function verifySameLogin (claims: IDToken, { iss, sub, authTime, issuedAt }: RefreshedLogin): void {
  refuseIf(claims.iss !== iss || claims.sub !== sub, 'is of another person')
  refuseIf(claims.iat < issuedAt, 'is older than the one before')
  refuseIf(claims.auth_time !== undefined && authTime !== undefined && claims.auth_time !== authTime, 'tells of another login')
}

function refuseIf (isWrong: boolean, reason: string): void {
  if (isWrong) throw new FST_AUTH0_REFRESH_TOKEN_REFUSED({ cause: new ProviderFailure(`refresh: the ID token ${reason}`) })
}
