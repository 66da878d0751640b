import { createHash } from 'node:crypto'
import type { IDToken } from 'openid-client'
import { now } from '../clock.ts'
import {
  FST_AUTH0_ID_TOKEN_INVALID, FST_AUTH0_ORGANIZATION_MISMATCH, FST_AUTH0_STEP_UP_FAILED
} from '../errors.ts'
import { ProviderFailure } from './failures.ts'
import { LATEST_EXPIRY, MAX_SUBJECT, parseJwt } from './strict-jwt.ts'

const MAX_AGE = 600 // seconds between issue and receipt; Entra ID dates its tokens five minutes back

/** What was asked for, and came with the ID token. */
export interface Expectation {
  clientId: string
  accessToken: string
  /** Seconds since the epoch. */
  startedAt: number
  /** Seconds. */
  clockTolerance: number
  maxAge?: number | undefined
  organization?: string | undefined
}

/**
 * Checks what openid-client leaves to its caller. It has verified signature, `iss`, `aud`, `exp`, `nbf` and `nonce` before.
 *
 * @throws {FST_AUTH0_ID_TOKEN_INVALID} 502
 * @throws {FST_AUTH0_STEP_UP_FAILED} 403 when the authentication is older than the `max_age` that was asked for
 * @throws {FST_AUTH0_ORGANIZATION_MISMATCH} 403
 * @see OpenID Connect Core 1.0 §3.1.3.7, §3.1.3.8
 */
export function verifyIdToken (idToken: string, claims: IDToken, expected: Expectation): void {
  const { header } = parseJwt(idToken, invalid)
  refuseIf(header.typ !== undefined && (typeof header.typ !== 'string' || header.typ.toLowerCase() !== 'jwt'), 'another type of token (RFC 8725 §3.11)')
  refuseIf(header.b64 !== undefined, 'an unencoded payload (RFC 7797)')
  refuseIf('events' in claims, 'a security event, not a login')
  refuseIf([claims.aud].flat().some(audience => audience !== expected.clientId), '"aud" names another client, too')
  refuseIf(claims.azp !== undefined && claims.azp !== expected.clientId, '"azp" is another client')
  refuseIf(claims.sub === '' || claims.sub.length > MAX_SUBJECT, '"sub" is empty or too long')
  refuseIf(claims.exp > LATEST_EXPIRY, '"exp" is no time')
  verifyIssuedAt(claims.iat, expected)
  verifyAccessTokenHash(claims.at_hash, String(header.alg), expected.accessToken)
  verifyAuthTime(claims.auth_time, expected)
  verifyOrganization(claims, expected.organization)
}

function verifyIssuedAt (issuedAt: number, { startedAt, clockTolerance }: Expectation): void {
  refuseIf(issuedAt > now() + clockTolerance, '"iat" is in the future')
  refuseIf(issuedAt < startedAt - MAX_AGE - clockTolerance, '"iat" is long before this login began')
}

/** `at_hash` is optional in the code flow, but must be right when it is there. */
function verifyAccessTokenHash (hash: unknown, alg: string, accessToken: string): void {
  if (hash === undefined) return
  const algorithm = /^[EPR]S/.test(alg) ? `sha${alg.slice(-3)}` : 'sha512' // EdDSA has no number
  const digest = createHash(algorithm).update(accessToken).digest()
  refuseIf(hash !== digest.subarray(0, digest.length / 2).toString('base64url'), '"at_hash" is of another access token')
}

/** Who authenticated during this very login did it recently enough, however long it took them. */
function verifyAuthTime (authTime: number | undefined, { maxAge, startedAt, clockTolerance }: Expectation): void {
  refuseIf(authTime !== undefined && authTime > now() + clockTolerance, '"auth_time" is in the future') // it would never be too old
  if (maxAge === undefined) return
  const earliest = Math.min(startedAt, now() - maxAge) - clockTolerance
  if (authTime === undefined || authTime < earliest) {
    throw new FST_AUTH0_STEP_UP_FAILED({ cause: new ProviderFailure('"auth_time" is missing or older than "max_age"') })
  }
}

/** Auth0: an id is compared with `org_id`, a name with `org_name`. */
function verifyOrganization (claims: IDToken, organization: string | undefined): void {
  if (organization === undefined) return
  const actual = organization.startsWith('org_') ? claims.org_id : claims.org_name
  const wanted = organization.startsWith('org_') ? organization : organization.toLowerCase()
  if (actual !== wanted) throw new FST_AUTH0_ORGANIZATION_MISMATCH()
}

function refuseIf (isWrong: boolean, reason: string): void {
  if (isWrong) throw invalid(reason)
}

function invalid (reason: string): Error {
  return new FST_AUTH0_ID_TOKEN_INVALID({ cause: new ProviderFailure(`ID token: ${reason}`) })
}
