import type { Scheme } from '../api/credentials.ts'
import {
  FST_AUTH0_ACCESS_TOKEN_INVALID, FST_AUTH0_ACCESS_TOKEN_REQUIRED, FST_AUTH0_CREDENTIALS_INVALID, FST_AUTH0_DPOP_NONCE_REQUIRED, FST_AUTH0_DPOP_PROOF_INVALID, FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_SCOPE_MISSING, FST_AUTH0_STEP_UP_REQUIRED
} from '../errors.ts'
import type { StepUp } from '../session/sessions.ts'
import { PROOF_ALGORITHMS } from '../verify/dpop-proof.ts'

/** What a challenge tells of a route. */
export interface ChallengedRoute {
  /** Names the API. */
  realm: string
  /** Where the document is that says who issues its tokens; `null`: nowhere. */
  resourceMetadata: string | null
  /** Words with a space between them. */
  scope: string
  stepUp: StepUp
  /** How tokens may come. */
  schemes: readonly Scheme[]
}

/** What is wrong with a token, by the error that refuses it. Where there was none, nothing is. */
const ERRORS = new Map<unknown, string>([
  [FST_AUTH0_CREDENTIALS_INVALID, 'invalid_request'],
  [FST_AUTH0_ACCESS_TOKEN_INVALID, 'invalid_token'],
  [FST_AUTH0_DPOP_PROOF_INVALID, 'invalid_dpop_proof'],
  [FST_AUTH0_DPOP_NONCE_REQUIRED, 'use_dpop_nonce'],
  [FST_AUTH0_SCOPE_MISSING, 'insufficient_scope'],
  [FST_AUTH0_STEP_UP_REQUIRED, 'insufficient_user_authentication']
])
const NO_TOKEN = [FST_AUTH0_ACCESS_TOKEN_REQUIRED, FST_AUTH0_LOGIN_REQUIRED]

/**
 * The value of `WWW-Authenticate` for an error; `null` for one that no other token would help against.
 *
 * @param used how a token came; `null`: none did
 * @see RFC 6750 §3, §3.1; RFC 9449 §7.1; RFC 9470 §3; RFC 9728 §5.1
 */
export function challengeFor (error: Error, used: Scheme | null, { realm, resourceMetadata, scope, stepUp: { maxAge, acrValues }, schemes }: ChallengedRoute): string | null {
  const code = ERRORS.get(error.constructor)
  if (code === undefined && !NO_TOKEN.some(NoToken => error instanceof NoToken)) return null
  const parameters = {
    realm,
    error: code,
    error_description: code && error.message,
    scope: code === 'insufficient_scope' ? scope : undefined,
    acr_values: code === 'insufficient_user_authentication' ? acrValues?.join(' ') : undefined,
    max_age: code === 'insufficient_user_authentication' ? maxAge : undefined,
    resource_metadata: resourceMetadata ?? undefined
  }
  const told = used !== null && schemes.includes(used) ? [used] : schemes
  return told.map(scheme => challenge(scheme, { ...parameters, algs: scheme === 'DPoP' ? PROOF_ALGORITHMS.join(' ') : undefined })).join(', ')
}

function challenge (scheme: string, parameters: Record<string, unknown>): string {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined)
  return `${scheme} ${pairs.map(([name, value]) => `${name}="${printable(String(value))}"`).join(', ')}`
}

/** What may stand between the quotes; Node would not send the header else (RFC 6750 §3). */
function printable (text: string): string {
  return text.replace(/[^\x20-\x7E]|["\\]/g, "'")
}
