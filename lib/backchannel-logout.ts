import { createHash } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { now } from './clock.ts'
import { FST_AUTH0_STORE_REQUIRED } from './errors.ts'
import { publish } from './events.ts'
import type { Config } from './options.ts'
import type { Provider } from './provider/provider.ts'
import type { Login, ProviderLogout, Sessions } from './session/sessions.ts'
import { LOGOUT_TOKEN_MAX_AGE, verifyLogoutToken, type LogoutToken } from './verify/logout-token.ts'

/**
 * Ends the sessions that a logout token of the provider names, and gives how many those were; 0 for a token that was here before.
 *
 * @throws {FST_AUTH0_LOGOUT_TOKEN_INVALID} 400
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503 when its keys cannot be had
 * @throws {FST_AUTH0_PROVIDER_FAILED} 502
 * @throws {FST_AUTH0_STORE_REQUIRED} 500 when sessions are known to nobody but their browser
 */
export type BackchannelLogout = (logoutToken: string) => Promise<number>

/** What a back-channel logout needs. */
export interface BackchannelLogoutServices {
  config: Pick<Config, 'name' | 'preset' | 'clientId' | 'clockTolerance' | 'acceptUntypedLogoutTokens' | 'revokeOnBackchannelLogout'>
  provider: Pick<Provider, 'signer' | 'revoke'>
  sessions: Pick<Sessions, 'endByProvider' | 'seenTokens'>
  log: FastifyBaseLogger
}

/** @see OpenID Connect Back-Channel Logout 1.0 §2.6, §2.7 */
export function createBackchannelLogout ({ config, provider, sessions, log }: BackchannelLogoutServices): BackchannelLogout {
  const { name, clientId, clockTolerance } = config
  const mustBeTyped = config.preset.typesLogoutTokens && !config.acceptUntypedLogoutTokens

  /** Beside the answer, which the provider waits for. Never fails. */
  function revoke ({ tokens: { refreshToken } }: Login): void {
    if (refreshToken !== null) provider.revoke(refreshToken)
  }

  return async logoutToken => {
    if (sessions.endByProvider === null || sessions.seenTokens === null) throw new FST_AUTH0_STORE_REQUIRED('"session.redis" or "revocations"')
    const signer = await provider.signer()
    const token = await verifyLogoutToken(logoutToken, { ...signer, clientId, clockTolerance, mustBeTyped })
    const id = fingerprint(signer.issuer, clientId, token.jti)
    if (await sessions.seenTokens.has(id)) {
      log.debug('a logout token came again, and did nothing')
      return 0
    }
    const count = await sessions.endByProvider(logoutOf(token), config.revokeOnBackchannelLogout ? revoke : undefined)
    // Not before: a provider that tries again after a fault of the store must not be told that all is done.
    await sessions.seenTokens.add(id, lifetime(token, clockTolerance))
    publish('backchannel-logout', { instance: name, sessions: count })
    log.info({ sessions: count }, 'the provider logged somebody out')
    return count
  }
}

/** A token with both is of that session only (§2.4). */
function logoutOf ({ sid, sub, iat: issuedAt }: LogoutToken): ProviderLogout {
  return sid !== null ? { sid, issuedAt } : { sub: sub as string, issuedAt }
}

/** Seconds for which the same token could come again. */
function lifetime ({ iat }: LogoutToken, clockTolerance: number): number {
  return Math.ceil(iat) + LOGOUT_TOKEN_MAX_AGE + clockTolerance + 1 - now()
}

/** An id is unique at its issuer only (RFC 7519 §4.1.7). */
function fingerprint (...parts: string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}
