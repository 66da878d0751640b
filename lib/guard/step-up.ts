import type { Login } from '../session/sessions.ts'
import type { RequireAuthOptions } from './conditions.ts'

/** Seconds for which a login that was made for this guard counts as fresh, so that a small `maxAge` does not ask for ever. */
const GRACE = 60

/** Whether a login is fresh and sure enough: yes, not yet, or not though it was asked for just now. */
export type Assurance = 'sufficient' | 'insufficient' | 'refused'

/** Judges logins by `maxAge` and `acr`. */
export interface StepUpRule {
  judge (login: Login): Assurance
  /** What to ask of the provider. */
  readonly parameters: Readonly<Record<string, string>>
}

/** @see OpenID Connect Core 1.0 §3.1.2.1 (`max_age`, `acr_values`); RFC 9470 §4 */
export function compileStepUp ({ maxAge, acr }: RequireAuthOptions, clockTolerance: number): StepUpRule {
  const classes = acr === undefined ? null : [acr].flat()

  function isFresh ({ user, stepUp, createdAt }: Login): boolean {
    if (maxAge === undefined) return true
    const wasAskedFor = stepUp.maxAge !== undefined && stepUp.maxAge <= maxAge
    const isJustMade = wasAskedFor && now() - createdAt <= GRACE
    return isJustMade || (user.auth_time !== undefined && now() - user.auth_time <= maxAge + clockTolerance)
  }

  function isSure ({ user }: Login): boolean {
    return classes === null || (typeof user.acr === 'string' && classes.includes(user.acr))
  }

  /** The provider was asked for the same a moment ago: asking again would loop. */
  function wasRefused ({ stepUp, createdAt }: Login): boolean {
    return now() - createdAt <= GRACE && classes?.join(' ') === stepUp.acrValues?.join(' ')
  }

  return {
    judge (login) {
      if (isFresh(login) && isSure(login)) return 'sufficient'
      return !isSure(login) && wasRefused(login) ? 'refused' : 'insufficient'
    },
    parameters: {
      ...maxAge === undefined ? {} : { max_age: String(maxAge) },
      ...classes === null ? {} : { acr_values: classes.join(' ') }
    }
  }
}

function now (): number {
  return Math.floor(Date.now() / 1000)
}
