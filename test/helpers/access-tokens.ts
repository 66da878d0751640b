import { randomUUID } from 'node:crypto'
import type { Draft, TokenParties } from './id-tokens.ts'

/** The API that access tokens are for, unless they are changed. */
export const AUDIENCE = 'https://api.example.com'

/** The draft of an access token for the API, as an honest provider makes it (RFC 9068 §2). */
export function accessDraft ({ issuer, clientId, clientSecret, key, user }: TokenParties): Draft {
  const now = Math.floor(Date.now() / 1000)
  return {
    header: { alg: 'RS256', typ: 'at+jwt', kid: key.kid },
    claims: { iss: issuer, sub: user.sub, aud: AUDIENCE, client_id: clientId, iat: now, exp: now + 600, jti: randomUUID(), scope: 'read:messages' },
    key,
    clientSecret
  }
}
