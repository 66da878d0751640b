import { Codes, OAuthError, random, type Grant } from './authorizations.ts'
import { change, type Json } from './id-tokens.ts'
import { claimsOf, loginClaims } from './provider-claims.ts'
import { RefreshTokens } from './refresh-tokens.ts'

/** What the endpoint must know of its provider, where the settings are explained. */
export interface TokenSettings {
  readonly issuer: string
  readonly clientId: string
  onlyInUserInfo: string[]
  grantsOffline: boolean
  accessTokenLifetime: number | undefined
  rotation: boolean
  reuseLeeway: number
  audiences: Set<string> | undefined
  grantScope: ((asked: string | null, audience: string | null) => string | undefined) | undefined
  idTokenOnRefresh: boolean
}

/** What is behind an access token. */
export interface TokenInfo {
  /** The API that it is for; `null`: none but UserInfo. */
  audience: string | null
  scope: string
  sub: string
  /** Seconds since the epoch; `null` if it never expires. */
  expiresAt: number | null
  /** The thumbprint of the key that it is bound to; `null`: it is not. */
  jkt: string | null
}

/** An answer with tokens (RFC 6749 §5.1, OpenID Connect Core 1.0 §3.1.3.3). */
export interface TokenAnswer {
  access_token: string
  token_type: 'Bearer' | 'DPoP'
  expires_in?: number | undefined
  scope?: string | undefined
  id_token?: string
  refresh_token?: string
}

interface AccessToken extends Omit<TokenInfo, 'sub'> { grant: Grant }

/** Exchanges codes and refresh tokens, and knows every token it gave out. */
export class TokenEndpoint {
  readonly codes = new Codes()
  readonly refreshTokens = new RefreshTokens()
  readonly #accessTokens = new Map<string, AccessToken>()
  readonly #settings: TokenSettings
  readonly #sign: (claims: Json) => string

  constructor (settings: TokenSettings, sign: (claims: Json) => string) {
    this.#settings = settings
    this.#sign = sign
  }

  /** @param jkt of the key that was proven */
  answer (params: URLSearchParams, jkt: string | null): TokenAnswer {
    if (params.get('grant_type') === 'authorization_code') return this.#exchange(params, jkt)
    if (params.get('grant_type') === 'refresh_token') return this.#refresh(params, jkt)
    throw new OAuthError('unsupported_grant_type', 'Only codes and refresh tokens are exchanged here')
  }

  /** Whose access token it is, if it is one. */
  grantOf (accessToken: string): Grant | null {
    return this.#accessTokens.get(accessToken)?.grant ?? null
  }

  /** What is behind an access token, if it is one. */
  tokenInfo (accessToken: string): TokenInfo | null {
    const token = this.#accessTokens.get(accessToken)
    if (token === undefined) return null
    const { grant, ...info } = token
    return { ...info, sub: String(grant.user.sub) }
  }

  /** RFC 6749 §4.1.3. */
  #exchange (params: URLSearchParams, jkt: string | null): TokenAnswer {
    const grant = Object.assign(this.codes.redeem(params), { jkt })
    const asked = grant.request.get('scope')!.split(' ')
    const isOffline = asked.includes('offline_access') && this.#settings.grantsOffline
    const scope = asked.filter(one => one !== 'offline_access' || isOffline).join(' ')
    const access = this.#accessToken(grant, audienceIn(grant.request), scope)
    const idToken = this.#idToken(grant, access.access_token)
    return { ...access, scope, id_token: idToken, ...(isOffline && { refresh_token: this.refreshTokens.issue(grant) }) }
  }

  /** RFC 6749 §6; RFC 9449 §5. A refusal spends no token. */
  #refresh (params: URLSearchParams, jkt: string | null): TokenAnswer {
    const { reuseLeeway, grantScope, idTokenOnRefresh, rotation } = this.#settings
    const token = params.get('refresh_token') ?? ''
    const grant = this.refreshTokens.redeem(token, reuseLeeway)
    if (grant.jkt !== jkt) throw new OAuthError('invalid_grant', 'Bound to another key')
    const audience = this.#audience(params, grant)
    const due = scopeDue(params.get('scope'), audience, grant)
    const scope = grantScope ? grantScope(params.get('scope'), audience) : due
    const access = this.#accessToken(grant, audience, scope ?? due)
    return {
      ...access,
      scope,
      ...(idTokenOnRefresh && { id_token: this.#idToken(grant, access.access_token, { nonce: undefined }) }),
      ...(rotation && { refresh_token: this.refreshTokens.rotate(token) })
    }
  }

  /** The audience asked for, else the login's. */
  #audience (params: URLSearchParams, grant: Grant): string | null {
    const asked = audienceIn(params)
    if (asked === null) return audienceIn(grant.request)
    if (this.#settings.audiences?.has(asked) === false) throw new OAuthError('access_denied', `Service not found: ${asked}`, 403)
    return asked
  }

  #accessToken (grant: Grant, audience: string | null, scope: string): TokenAnswer {
    const accessToken = random('access-token')
    const lifetime = this.#settings.accessTokenLifetime
    const expiresAt = lifetime === undefined ? null : Math.floor(Date.now() / 1000) + lifetime
    const { jkt = null } = grant
    this.#accessTokens.set(accessToken, { grant, audience, scope, expiresAt, jkt })
    return { access_token: accessToken, token_type: jkt === null ? 'Bearer' : 'DPoP', expires_in: lifetime }
  }

  /** Says of the login the same each time, but for the times of the token itself (OpenID Connect Core 1.0 §12.2). */
  #idToken (grant: Grant, accessToken: string, changes: Json = {}): string {
    const { issuer, clientId, onlyInUserInfo } = this.#settings
    const user = Object.entries(claimsOf(grant)).filter(([name]) => !onlyInUserInfo.includes(name))
    const login = loginClaims(grant, { iss: issuer, aud: clientId, accessToken })
    return this.#sign(change({ ...Object.fromEntries(user), ...login, sid: grant.sid }, changes))
  }
}

/** The API that is asked for, in Auth0's words or in those of RFC 8707. */
const audienceIn = (params: URLSearchParams) => params.get('audience') ?? params.get('resource')

/** What is asked for, else the login's scope, which is also the most that there is for the login's audience (RFC 6749 §6). */
function scopeDue (asked: string | null, audience: string | null, { request }: Grant): string {
  const ofLogin = request.get('scope')!
  if (asked === null) return ofLogin
  const exceeds = asked.split(' ').some(one => !ofLogin.split(' ').includes(one))
  if (exceeds && audience === audienceIn(request)) throw new OAuthError('invalid_scope', 'More than the login was granted')
  return asked
}
