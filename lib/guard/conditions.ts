import type { AnyRequest } from '../fastify.ts'
import type { RequestAuth } from '../request-auth.ts'
import type { User } from '../session/sessions.ts'
import { verifyGuardOptions } from './verify-options.ts'

type Plain = string | number | boolean | null

/** What a claim must be: the value, one of several values, or what a function says of it. */
export type WantedClaim = Plain | readonly Plain[] | ((value: unknown) => boolean | Promise<boolean>)

/** All of a list, or any of it. */
export type Wanted = string | readonly string[] | { anyOf: readonly string[] }

/** Says whether a person may. Nothing but `true` admits. */
export type Check = (user: Readonly<User>, request: AnyRequest) => boolean | Promise<boolean>

/** What `requireAuth` demands beyond being logged in. All that is given must hold. */
export interface RequireAuthOptions {
  /** By name: the value, one of several values, or a function of the value. A claim that is a list must contain it. Or one function of all. */
  claims?: Readonly<Record<string, WantedClaim>> | Check
  /** Auth0: the id (`org_…`) or the name of the organization that the login ran in. */
  organization?: string
  roles?: Wanted
  permissions?: Wanted
  /** Seconds since the person last proved who they are. Older: they log in again (OpenID Connect Core 1.0 §3.1.2.1, `max_age`). */
  maxAge?: number
  /** Authentication context classes, one of which the login must have. Another: they log in again with `acr_values`. */
  acr?: string | readonly string[]
}

/** Admits a caller, or does not. */
export type Condition = (caller: RequestAuth, user: Readonly<User>, request: AnyRequest) => boolean | Promise<boolean>

/**
 * Turns options of a guard into one condition, once, when the route is defined.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} for what would otherwise guard less than it seems to
 */
export function compileConditions (options: RequireAuthOptions): Condition {
  verifyGuardOptions(options)
  const { claims, organization, roles, permissions } = options
  const conditions: Condition[] = []
  if (organization !== undefined) conditions.push(compileOrganization(organization))
  if (roles !== undefined) conditions.push(compileList(roles, caller => caller.roles))
  if (permissions !== undefined) conditions.push(compileList(permissions, caller => caller.permissions))
  if (typeof claims === 'object') conditions.push(...Object.entries(claims).map(compileClaim))
  if (typeof claims === 'function') conditions.push((_caller, user, request) => strictly(claims(user, request)))
  return conditions.reduce(and, () => true)
}

/** Waits only for what is not known at once; behind one that does not hold, none is asked. */
function and (first: Condition, second: Condition): Condition {
  return (...call) => {
    const verdict = first(...call)
    return isPromise(verdict) ? verdict.then(holds => holds && second(...call)) : verdict && second(...call)
  }
}

/** What a function of the application says, of which only `true` admits: an empty list would be as good as a yes. */
function strictly (verdict: boolean | Promise<boolean>): boolean | Promise<boolean> {
  return isPromise(verdict) ? verdict.then(holds => holds === true) : verdict === true
}

function isPromise (verdict: boolean | Promise<boolean>): verdict is Promise<boolean> {
  return typeof (verdict as Promise<boolean> | undefined)?.then === 'function'
}

function compileClaim ([name, wanted]: [string, WantedClaim]): Condition {
  if (typeof wanted === 'function') return (_caller, user) => strictly(wanted(own(user, name)))
  const accepted: readonly unknown[] = [wanted].flat()
  return (_caller, user) => [own(user, name)].flat().some(value => accepted.includes(value))
}

/** Auth0 keeps names in lower case, and takes them in any. */
function compileOrganization (organization: string): Condition {
  if (organization.startsWith('org_')) return (_caller, user) => own(user, 'org_id') === organization
  const name = organization.toLowerCase()
  return (_caller, user) => own(user, 'org_name') === name
}

function own (user: Readonly<User>, name: string): unknown {
  return Object.hasOwn(user, name) ? user[name] : undefined
}

function compileList (wanted: Wanted, held: (caller: RequestAuth) => readonly string[]): Condition {
  if (typeof wanted === 'object' && 'anyOf' in wanted) {
    const any = [...wanted.anyOf]
    return caller => held(caller).some(item => any.includes(item))
  }
  const all = [wanted].flat() as string[]
  return caller => all.every(item => held(caller).includes(item))
}
