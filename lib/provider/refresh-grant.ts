import type { Configuration, DPoPOptions, IDToken } from 'openid-client'
import { now } from '../clock.ts'
import { FST_AUTH0_REFRESH_TOKEN_REFUSED } from '../errors.ts'
import type { DpopKey } from '../session/sessions.ts'
import { openidClient } from './client.ts'
import { ProviderFailure, idTokenError, isFailedRequest, isIncompleteAnswer, isOtherParty, refreshError } from './failures.ts'
import { verifyIdToken } from './id-token.ts'
import { readAlong, type SeenAnswer } from './read-along.ts'
import { parseJwt } from './strict-jwt.ts'
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

/** What verifying needs to know of us. */
interface Client {
  clientId: string
  /** Seconds. */
  clockTolerance: number
}

/** What a refresh brings. */
export interface Refreshed {
  failure: null
  tokens: Tokens
  /** A new ID token and its claims; many providers send none. */
  identity: { idToken: string, claims: IDToken } | null
}

/** An answer that is of no use, but for the next refresh token: the one before may be spent (RFC 6749 §6). */
export interface UnusableRefresh {
  failure: Error
  refreshToken: string
}

/**
 * Redeems a refresh token, and verifies the ID token that may come back.
 *
 * @param proof binds the tokens to a key
 * @throws {FST_AUTH0_REFRESH_TOKEN_REFUSED} 401, also when the ID token is of somebody else
 * @see RFC 6749 §6; OpenID Connect Core 1.0 §12; RFC 9449 §5
 */
export async function redeemRefreshToken (
  configuration: Configuration, refreshToken: string, parameters: Record<string, string>, login: RefreshedLogin, client: Client, proof: DPoPOptions
): Promise<Refreshed | UnusableRefresh> {
  const startedAt = now()
  const seen = await readAlong(configuration)
  try {
    const granted = await exchange(configuration, refreshToken, parameters, proof)
    return { failure: null, ...verify(granted, parseTokens(granted, proof, seen.receivedAt), login, { ...client, startedAt }) }
  } catch (error) {
    if (error instanceof FST_AUTH0_REFRESH_TOKEN_REFUSED || seen.refreshToken === null || isOfAnother(seen, login)) throw error
    return { failure: error as Error, refreshToken: seen.refreshToken }
  }
}

function verify (granted: TokenAnswer, tokens: Tokens, login: RefreshedLogin, client: Client & { startedAt: number }): Omit<Refreshed, 'failure'> {
  const { id_token: idToken } = granted
  if (idToken === undefined) return { tokens, identity: null }
  const claims = granted.claims() as IDToken
  verifySameLogin(claims, login, client) // first: one of another login ends the session, whatever else is wrong with it
  verifyIdToken(idToken, claims, { ...client, accessToken: tokens.accessToken })
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
function verifySameLogin (claims: IDToken, { iss, sub, authTime, issuedAt }: RefreshedLogin, { clockTolerance }: Client): void {
  refuseIf(claims.iss !== iss || claims.sub !== sub, 'is of another person')
  refuseIf(claims.iat < issuedAt - clockTolerance, 'is older than the one before')
  refuseIf(claims.auth_time !== undefined && authTime !== undefined && claims.auth_time !== authTime, 'tells of another login')
}

function refuseIf (isWrong: boolean, reason: string): void {
  if (isWrong) throw new FST_AUTH0_REFRESH_TOKEN_REFUSED({ cause: new ProviderFailure(`refresh: the ID token ${reason}`) })
}

/** Whether an ID token that is not to be believed names somebody else: then the refresh token beside it may be theirs. */
function isOfAnother ({ idToken }: SeenAnswer, { sub }: RefreshedLogin): boolean {
  if (idToken === null) return false
  try {
    const { payload } = parseJwt(idToken, reason => new Error(reason))
    return payload.sub !== undefined && payload.sub !== sub
  } catch {
    return false // it names nobody
  }
}
