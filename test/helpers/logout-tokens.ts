import { randomUUID } from 'node:crypto'
import type { Draft, TokenParties } from './id-tokens.ts'

/** The event that makes a token one of logout (OpenID Connect Back-Channel Logout 1.0 §2.4). */
export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/** The draft of a logout token of all sessions of the provider's user, as an honest provider sends it. */
export function logoutDraft ({ issuer, clientId, clientSecret, key, user }: TokenParties): Draft {
  const now = Math.floor(Date.now() / 1000)
  return {
    header: { alg: 'RS256', typ: 'logout+jwt', kid: key.kid },
    claims: { iss: issuer, aud: clientId, iat: now, exp: now + 120, jti: randomUUID(), sub: user.sub, events: { [LOGOUT_EVENT]: {} } },
    key,
    clientSecret
  }
}
