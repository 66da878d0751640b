import { now } from '../clock.ts'
import type { Login, StepUp } from '../session/sessions.ts'
import type { RequireAuthOptions } from './conditions.ts'

/** Seconds for which a login that was made for a guard counts as just made, so that it does not ask for ever. */
export const GRACE = 60

/** What is judged of a login. */
export type JudgedLogin = Pick<Login, 'user' | 'stepUp' | 'createdAt'>

/** Judges logins by `maxAge` and `acr`. */
export interface StepUpRule {
  /** What a first login is asked for. */
  readonly demand: StepUp
  /** Whether a login is fresh and sure enough. */
  isMet (login: JudgedLogin): boolean
  /**
   * What to ask for after a login that is not; `null` when that was asked for a moment ago, so that asking again would loop.
   *
   * @param page that the guard is on, as a `returnTo`
   */
  demandAfter (login: Login, page: string): StepUp | null
}

/** @see OpenID Connect Core 1.0 §3.1.2.1 (`max_age`, `acr_values`), §3.1.3.7 (12), (13); RFC 9470 §4 */
export function compileStepUp ({ maxAge, acr }: RequireAuthOptions, clockTolerance: number): StepUpRule {
  const demand: StepUp = {
    ...maxAge === undefined ? {} : { maxAge },
    ...acr === undefined ? {} : { acrValues: [acr].flat() }
  }

  function isFresh ({ user: { auth_time: authTime }, stepUp, createdAt }: JudgedLogin): boolean {
    if (maxAge === undefined) return true
    const wasAskedFor = stepUp.maxAge !== undefined && stepUp.maxAge <= maxAge
    if (wasAskedFor && maxAge < GRACE && now() - createdAt <= GRACE) return true
    // A login that was asked for it was verified; `onLogin` may have taken the claim away.
    const provenAt = authTime === undefined && wasAskedFor ? createdAt : authTime
    return typeof provenAt === 'number' && provenAt <= now() + clockTolerance && now() - provenAt <= maxAge + clockTolerance
  }

  function isSure ({ user }: Pick<JudgedLogin, 'user'>): boolean {
    return demand.acrValues === undefined || (typeof user.acr === 'string' && demand.acrValues.includes(user.acr))
  }

  return {
    demand,

    isMet: login => isFresh(login) && isSure(login),

    demandAfter (login, page) {
      const isJustMade = now() - login.createdAt <= GRACE
      const wanted = isJustMade && login.begunBy.returnTo === page ? both(demand, login.stepUp) : demand
      if (isSure(login)) return wanted
      const wasAskedFor = isJustMade && wanted.acrValues?.join(' ') === login.stepUp.acrValues?.join(' ')
      return wasAskedFor || wanted.acrValues?.length === 0 ? null : wanted
    }
  }
}

/** A demand as query parameters of our login route. */
export function toLoginQuery ({ maxAge, acrValues }: StepUp): Record<string, string> {
  return {
    ...maxAge === undefined ? {} : { max_age: String(maxAge) },
    ...acrValues === undefined ? {} : { acr_values: acrValues.join(' ') }
  }
}

/**
 * What suits two guards of one page. Were each to ask for its own alone, a login for one could undo that for the other, for ever:
 * Auth0 tells `auth_time` only when `max_age` is asked for.
 */
function both (a: StepUp, b: StepUp): StepUp {
  const ages = [a.maxAge, b.maxAge].filter(age => age !== undefined)
  const acrValues = a.acrValues?.filter(value => b.acrValues?.includes(value) ?? true) ?? b.acrValues
  return { ...ages.length === 0 ? {} : { maxAge: Math.min(...ages) }, ...acrValues === undefined ? {} : { acrValues } }
}
