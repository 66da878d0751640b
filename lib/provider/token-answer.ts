import type { DPoPOptions, TokenEndpointResponse, TokenEndpointResponseHelpers } from 'openid-client'
import { FST_AUTH0_PROVIDER_FAILED } from '../errors.ts'
import { ProviderFailure } from './failures.ts'

const MAX_EXPIRES_IN = 2 ** 31 - 1 // seconds; what some say for "never"
const TYPES = new Map(Object.entries({ bearer: 'Bearer', dpop: 'DPoP' } as const))

/**
 * RFC 6749 §A.12 allows a space, too, and RFC 6750 §2.1 only `b64token`. The one would end the token in a header (RFC 9110 §11.4); by the other those of Salesforce,
 * which have a `!`, would be none.
 */
const ACCESS_TOKEN = /^[\x21-\x7e]+$/
/** RFC 6749 §A.17; it goes into a form. */
export const REFRESH_TOKEN: RegExp = /^[\x20-\x7e]+$/

/** Tokens, as the token endpoint gave them. */
export interface Tokens {
  accessToken: string
  /** How an API wants it (RFC 6750, RFC 9449). */
  type: 'Bearer' | 'DPoP'
  refreshToken: string | null
  /** As granted; the specification lets a provider leave it out when it is what was asked for (RFC 6749 §5.1). */
  scope: string | null
  /** Seconds; `null` when the provider did not say. */
  expiresIn: number | null
  /** When they came, in seconds since the epoch. */
  receivedAt: number
}

/** What openid-client makes of an answer of the token endpoint. */
export type TokenAnswer = TokenEndpointResponse & TokenEndpointResponseHelpers

/**
 * @param proof what was sent to bind the tokens to a key; then one that is not bound is refused (RFC 9449 §5)
 * @throws {FST_AUTH0_PROVIDER_FAILED} 502
 */
export function parseTokens (granted: TokenAnswer, { DPoP: proof }: DPoPOptions, receivedAt: number): Tokens {
  const type = TYPES.get(granted.token_type)
  if (proof === undefined && type !== 'Bearer') throw unusable('"token_type" is not Bearer')
  if (proof !== undefined && type !== 'DPoP') throw unusable('"token_type" is not DPoP: let the provider bind tokens to keys, or leave option "dpop" out')
  if (!ACCESS_TOKEN.test(granted.access_token)) throw unusable('"access_token" has characters that no header takes')
  if (granted.refresh_token !== undefined && !REFRESH_TOKEN.test(granted.refresh_token)) throw unusable('"refresh_token" has characters that no token has')
  return {
    accessToken: granted.access_token,
    type: type as Tokens['type'],
    refreshToken: granted.refresh_token ?? null,
    scope: granted.scope ?? null,
    expiresIn: parseExpiresIn(granted.expires_in),
    receivedAt
  }
}

function parseExpiresIn (expiresIn: number | undefined): number | null {
  if (expiresIn === undefined) return null
  if (expiresIn < 1 || expiresIn > MAX_EXPIRES_IN) throw unusable('"expires_in" is no time')
  return Math.floor(expiresIn)
}

function unusable (reason: string): Error {
  return new FST_AUTH0_PROVIDER_FAILED({ cause: new ProviderFailure(`token endpoint: ${reason}`) })
}
