import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { person } from './people.ts'

/** The bare host of the tenant that exists only behind `tenant.fetch`. */
export const TENANT = 'tenant.eu.auth0.com'
export const CLIENT_ID = 'Zm9yIHRoZSBiZW5jaCBvbmx5IG5vdCByZWFs'

export const ISSUER = `https://${TENANT}/`
const DAY = 86_400 // seconds
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

export type Tenant = ReturnType<typeof createTenant>

/**
 * An Auth0 tenant in memory, for the option `fetch`: everybody is logged in at once, with an RS256 ID token of usual size.
 *
 * @param lifetime seconds of access tokens; those that do not live for a day come with a refresh token
 */
export function createTenant (lifetime = DAY) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = randomBytes(16).toString('base64url')

  function idToken (number: number, nonce: string): string {
    const issuedAt = Math.floor(Date.now() / 1000)
    return signed('JWT', { ...person(number), iss: ISSUER, aud: CLIENT_ID, iat: issuedAt, exp: issuedAt + DAY, nonce })
  }

  function signed (typ: string, claims: object): string {
    const payload = `${encode({ alg: 'RS256', typ, kid })}.${encode(claims)}`
    return `${payload}.${sign('sha256', Buffer.from(payload), privateKey).toString('base64url')}`
  }

  /** Whose the refresh tokens are that were not used yet. */
  const unspent = new Map<string, number>()

  /** As at a tenant that rotates refresh tokens: one that was used before is refused. */
  function refresh (spent: string): object {
    const number = unspent.get(spent)
    if (number === undefined) return { error: 'invalid_grant', error_description: 'Unknown or invalid refresh token.' }
    unspent.delete(spent)
    return tokens(number, {})
  }

  function tokens (number: number, idTokens: { id_token?: string }): object {
    const refreshToken = randomBytes(32).toString('base64url')
    if (lifetime !== DAY) unspent.set(refreshToken, number)
    return {
      access_token: randomBytes(600).toString('base64url'), // as opaque, and as long, as Auth0's for /userinfo
      ...lifetime !== DAY && { refresh_token: refreshToken },
      ...idTokens,
      scope: 'openid profile email',
      expires_in: lifetime,
      token_type: 'Bearer'
    }
  }

  function answer (pathname: string, form: URLSearchParams): object {
    switch (pathname) {
      case '/.well-known/openid-configuration': return metadata
      case '/.well-known/jwks.json': return { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }] }
      case '/oauth/token': {
        if (form.get('grant_type') === 'refresh_token') return refresh(form.get('refresh_token') ?? '')
        const [number, nonce = ''] = (form.get('code') ?? '').split('.')
        return tokens(Number(number), { id_token: idToken(Number(number), nonce) })
      }
      default: throw new Error(`The tenant has no ${pathname}`)
    }
  }

  return {
    fetch: async (input: string | URL | Request, init?: { body?: unknown }): Promise<Response> => {
      const { pathname } = new URL(input instanceof Request ? input.url : input)
      const body = answer(pathname, new URLSearchParams(String(init?.body ?? '')))
      return Response.json(body, { status: 'error' in body ? 403 : 200 })
    },

    /** A fresh logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). */
    logoutToken: (about: { sub?: string | undefined, sid?: string | undefined }) => {
      const issuedAt = Math.floor(Date.now() / 1000)
      return signed('logout+jwt', { iss: ISSUER, aud: CLIENT_ID, iat: issuedAt, exp: issuedAt + 120, jti: randomBytes(16).toString('hex'), events: { [LOGOUT_EVENT]: {} }, ...about })
    },

    /** The code that the tenant would send back for one person, given the URL that the login went to. */
    codeFor: (number: number, authorizationUrl: URL) => `${number}.${authorizationUrl.searchParams.get('nonce')}`
  }
}

const metadata = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}authorize`,
  token_endpoint: `${ISSUER}oauth/token`,
  userinfo_endpoint: `${ISSUER}userinfo`,
  jwks_uri: `${ISSUER}.well-known/jwks.json`,
  end_session_endpoint: `${ISSUER}oidc/logout`,
  response_types_supported: ['code'],
  code_challenge_methods_supported: ['S256'],
  id_token_signing_alg_values_supported: ['RS256'],
  token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post']
}

function encode (value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
