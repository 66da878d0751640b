import { randomBytes } from 'node:crypto'
import type { Grant } from './authorizations.ts'
import { halfHash, type Json } from './id-tokens.ts'

const scopeOf: Record<string, string> = {
  name: 'profile',
  nickname: 'profile',
  given_name: 'profile',
  family_name: 'profile',
  picture: 'profile',
  updated_at: 'profile',
  email: 'email',
  email_verified: 'email'
}

/** Who logs in when a test does not say. */
export const ada: Json = {
  sub: 'auth0|ada',
  name: 'Ada Lovelace',
  nickname: 'ada',
  picture: 'https://cdn.example.com/ada.png',
  email: 'ada@example.com',
  email_verified: true
}

/** The person's claims that the request's scopes give: `sub`, those of granted scopes, and custom ones. */
export function claimsOf ({ user, request }: Grant): Json {
  const scopes = request.get('scope')!.split(' ')
  return Object.fromEntries(Object.entries(user).filter(([name]) => scopeOf[name] === undefined || scopes.includes(scopeOf[name])))
}

/** What an ID token says of the login itself (OpenID Connect Core 1.0 §2), beside who logged in. */
export function loginClaims ({ request, authTime }: Grant, { accessToken, ...client }: { iss: string, aud: string, accessToken: string }): Json {
  const now = Math.floor(Date.now() / 1000)
  const organization = request.get('organization')
  const wasAskedAgain = request.has('max_age') || request.get('prompt') === 'login'
  return {
    ...client,
    iat: now,
    exp: now + 36_000,
    nonce: request.get('nonce'),
    sid: `sid-${randomBytes(24).toString('base64url')}`,
    at_hash: halfHash(accessToken),
    ...(wasAskedAgain && { auth_time: authTime }),
    ...(request.has('acr_values') && { acr: request.get('acr_values')!.split(' ')[0] }),
    ...(organization !== null && (organization.startsWith('org_') ? { org_id: organization } : { org_id: 'org_1', org_name: organization.toLowerCase() }))
  }
}
