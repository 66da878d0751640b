import { now } from '../clock.ts'
import type { Tokens } from '../provider/provider.ts'
import { parseJwt } from '../provider/strict-jwt.ts'
import type { AccessToken, DpopKey, LoginTokens } from '../session/sessions.ts'

const MAX_ACCESS_TOKENS = 8
const MINIMUM_LIFETIME = 60 // seconds
const ASSUMED_LIFETIME = 300 // seconds, of a token whose provider does not say
const MAX_SPREAD = 30 // seconds
/** Longer ID tokens are not kept: as a hint they would make a URL that providers refuse. */
const MAX_ID_TOKEN_HINT = 4096 // characters

/** What an access token is for. */
export type Target = Pick<AccessToken, 'audience' | 'scope' | 'organization'>

/** Which access token is wanted. What is not given is as at the login. */
export interface TargetOptions {
  /** The API: its identifier. */
  audience?: string | undefined
  /** Words with a space between them, in any order. */
  scope?: string | undefined
  /** Auth0: its id or name. */
  organization?: string | undefined
}

/**
 * The tokens that a login begins with.
 *
 * @param dpopKey what they are bound to, if they are
 */
export function firstTokens (asked: TargetOptions, tokens: Tokens, dpopKey: DpopKey | undefined): LoginTokens {
  const target = { audience: asked.audience ?? null, scope: inOrder(asked.scope), organization: asked.organization ?? null }
  return { refreshToken: tokens.refreshToken, access: [toAccessToken(target, tokens)], refreshes: 0, ...dpopKey && { dpopKey } }
}

/** What is kept of an ID token, for the provider's logout. */
export function idTokenHint (idToken: string): string | null {
  return idToken.length <= MAX_ID_TOKEN_HINT ? idToken : null
}

/** What is wanted, in full. */
export function targetOf ({ access: [first] }: LoginTokens, { audience, scope, organization }: TargetOptions): Target {
  const ofLogin = first as AccessToken
  const isOtherApi = audience !== undefined && audience !== ofLogin.audience
  return {
    audience: audience ?? ofLogin.audience,
    scope: scope === undefined && !isOtherApi ? ofLogin.scope : inOrder(scope),
    organization: organization ?? ofLogin.organization
  }
}

export function nameOfTarget ({ audience, scope, organization }: Target): string {
  return JSON.stringify([audience, scope, organization])
}

/** The token that is there for it; `null` when there is none. */
export function tokenFor ({ access }: LoginTokens, target: Target): AccessToken | null {
  return access.find(token => isFor(token, target)) ?? null
}

/**
 * Whether a token for an API other than that of the login says itself that it is for a third: whoever may not ask for an API gets from Auth0 a token for
 * that of the login, and no word of it.
 */
export function isMisdirected ({ access: [first] }: LoginTokens, { audience, token }: AccessToken): boolean {
  if (audience === null || audience === first?.audience) return false
  const said = audienceOf(token)
  return said !== undefined && ![said].flat().includes(audience)
}

/** `undefined` where a token does not say: access tokens need not be JWTs. */
function audienceOf (token: string): unknown {
  try {
    return parseJwt(token, reason => new Error(reason)).payload.aud
  } catch {
    return undefined
  }
}

/** What has to be said of a target that is not that of the login (RFC 6749 §6: a scope that is not named is that of the login). */
export function differenceFromLogin ({ access: [first] }: LoginTokens, target: Target): Partial<Record<keyof Target, string>> {
  const ofLogin = first as AccessToken
  const isOtherApi = target.audience !== ofLogin.audience
  return {
    ...isOtherApi && target.audience !== null && { audience: target.audience },
    ...(isOtherApi || target.scope !== ofLogin.scope) && target.scope !== null && { scope: target.scope },
    ...target.organization !== ofLogin.organization && target.organization !== null && { organization: target.organization }
  }
}

/**
 * Puts what a refresh brought in the place of what there was. Of tokens for other APIs those go that expired, and the oldest of too many. A provider that does
 * not rotate refresh tokens gives none: the old one stays (RFC 6749 §6).
 */
export function renewedTokens (tokens: LoginTokens, target: Target, fresh: Tokens): LoginTokens {
  const [first, ...others] = tokens.access as [AccessToken, ...AccessToken[]]
  const token = toAccessToken(target, fresh)
  const isFirst = isFor(first, target)
  const kept = others.filter(other => !isFor(other, target) && isValid(other)).slice(0, MAX_ACCESS_TOKENS - 2)
  return {
    ...tokens,
    refreshToken: fresh.refreshToken ?? tokens.refreshToken,
    access: isFirst ? [token, ...kept] : [first, token, ...kept],
    refreshes: tokens.refreshes + 1
  }
}

/**
 * Whether a token is good for so many seconds more, and not so near to that that it should be renewed.
 *
 * @param minimumLifetime of a token that never lives that long it is half of its life; so it is where nobody said, and that is less than 60
 */
export function isFresh (token: AccessToken, minimumLifetime: number | undefined): boolean {
  const lifetime = lifetimeOf(token)
  const longest = lifetime - requiredOf(lifetime, minimumLifetime)
  return now() < token.receivedAt + longest - Math.min(token.spread, longest / 2)
}

function requiredOf (lifetime: number, minimumLifetime: number | undefined): number {
  if (minimumLifetime === undefined) return Math.min(MINIMUM_LIFETIME, lifetime / 2)
  return minimumLifetime < lifetime ? minimumLifetime : lifetime / 2
}

/** Whether a token is still good, as far as the provider said. */
export function isValid ({ expiresAt }: AccessToken): boolean {
  return expiresAt === null || now() < expiresAt
}

function lifetimeOf ({ receivedAt, expiresAt }: AccessToken): number {
  return expiresAt === null ? ASSUMED_LIFETIME : expiresAt - receivedAt
}

function toAccessToken (target: Target, { accessToken, scope, expiresIn, type, receivedAt }: Tokens): AccessToken {
  return {
    ...target,
    token: accessToken,
    type,
    granted: scope ?? target.scope, // not said when it is what was asked for (RFC 6749 §5.1)
    receivedAt,
    expiresAt: expiresIn === null ? null : receivedAt + expiresIn,
    spread: Math.floor(Math.random() * Math.min(MAX_SPREAD, (expiresIn ?? ASSUMED_LIFETIME) / 10))
  }
}

function isFor (token: Target, { audience, scope, organization }: Target): boolean {
  return token.audience === audience && token.scope === scope && token.organization === organization
}

/** So that the same words are the same scope. */
function inOrder (scope: string | undefined): string | null {
  const words = new Set(scope?.split(' ').filter(word => word !== ''))
  return words.size === 0 ? null : [...words].sort().join(' ')
}
