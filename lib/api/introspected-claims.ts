import { now } from '../clock.ts'
import type { User } from '../session/sessions.ts'
import { faultIn } from '../verify/access-token.ts'
import { thumbprintOf } from './possession.ts'

/** What a token may call itself: `token_use` of Cognito and others, `token_type` (RFC 7662 §2.2), and `typ` of Keycloak. In lower case. */
const USES: readonly unknown[] = ['access_token', 'access']
const TYPES: readonly unknown[] = ['bearer', 'dpop']
const KINDS: readonly unknown[] = [...TYPES, 'at+jwt', 'jwt']

/** What a token that was introspected has to be. */
export interface IntrospectionExpectation {
  issuer: string
  audiences: readonly string[]
  /** Seconds. */
  clockTolerance: number
}

/** Claims that are good for us; or why they are not, and from when on they may be, in seconds since the epoch. */
export type Judgement = { claims: Readonly<User> } | { claims: null, reason: string, validFrom: number }

/**
 * Judges what the provider says of an active token. It says so of all that it gave to anybody: of refresh tokens and ID tokens, and of tokens for other APIs.
 *
 * @see RFC 7662 §2.2, §4; RFC 9449 §6.2
 */
export function judgeIntrospected (said: Readonly<Record<string, unknown>>, { issuer, audiences, clockTolerance }: IntrospectionExpectation): Judgement {
  const { iss = issuer, aud, exp = Infinity, nbf = 0, client_id: clientId, sub = clientId } = said
  if (iss !== issuer) return never('"iss" is another')
  if (![aud].flat().some(audience => audiences.includes(audience as string))) return never('"aud" is another')
  if (typeof exp !== 'number' || now() >= exp) return never('"exp" is over, or no time')
  if (typeof nbf !== 'number') return never('"nbf" is no time')
  if (!isAccessToken(said)) return never('another type of token')
  const claims = { ...said, iss, sub }
  const fault = faultIn(claims)
  if (fault !== null) return never(fault)
  const validFrom = nbf - clockTolerance
  return now() < validFrom ? { claims: null, reason: '"nbf" is to come', validFrom } : { claims: claims as User }
}

/** What is not said is not held against it. */
function isAccessToken (said: Readonly<Record<string, unknown>>): boolean {
  const { token_use: use = 'access_token', token_type: type = 'bearer', typ = 'bearer' } = said
  const isBound = [type, typ].some(name => lower(name) === 'dpop')
  return USES.includes(use) && TYPES.includes(lower(type)) && KINDS.includes(lower(typ)) && (!isBound || thumbprintOf(said) !== null)
}

function lower (name: unknown): unknown {
  return typeof name === 'string' ? name.toLowerCase() : name
}

function never (reason: string): Judgement {
  return { claims: null, reason, validFrom: Infinity }
}
