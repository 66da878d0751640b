import type { AnyRequest } from '../fastify.ts'
import type { RequestAuth, Via } from '../request-auth.ts'
import type { User } from '../session/sessions.ts'
import { verifyGuardOptions } from './verify-options.ts'

type Plain = string | number | boolean | null

/** What a claim must be: the value, one of several values, or what a function says of it. */
export type WantedClaim = Plain | readonly Plain[] | ((value: unknown) => boolean | Promise<boolean>)

/** All of a list, or any of it. */
export type Wanted = string | readonly string[] | { anyOf: readonly string[] }

/** Says whether a person may. Nothing but `true` admits. */
export type Check = (user: Readonly<User>, request: AnyRequest) => boolean | Promise<boolean>

/** What `requireAuth` demands beyond knowing who is calling. All that is given must hold. */
export interface RequireAuthOptions {
  /**
   * What callers may prove who they are with. Default: an access token where the request brings one, and option `api` is set; else the session.
   */
  via?: Via | readonly Via[]
  /** Lets pass who proves nothing: `request.auth0.user` is `null` then. What is proven has to hold all the same. Default: `false`. */
  optional?: boolean
  /** What callers were granted (RFC 6749 §3.3). */
  scopes?: Wanted
  /** Says whether the caller may. */
  check?: Check
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

/** Whether a caller was granted what a route needs. */
export interface ScopeRule {
  /** What it needs, words with a space between them. */
  readonly scope: string
  isMet (caller: RequestAuth): boolean
}

export function compileScopes ({ scopes }: RequireAuthOptions): ScopeRule {
  if (scopes === undefined) return { scope: '', isMet: () => true }
  const names = typeof scopes === 'object' && 'anyOf' in scopes ? scopes.anyOf : [scopes].flat()
  return { scope: names.join(' '), isMet: compileHeld(scopes, caller => caller.scopes) }
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
  const { claims, organization, roles, permissions, check } = options
  const conditions: Condition[] = []
  if (organization !== undefined) conditions.push(compileOrganization(organization))
  if (roles !== undefined) conditions.push(compileHeld(roles, caller => caller.roles))
  if (permissions !== undefined) conditions.push(compileHeld(permissions, caller => caller.permissions))
  if (typeof claims === 'object') conditions.push(...Object.entries(claims).map(compileClaim))
  if (typeof claims === 'function') conditions.push((_caller, user, request) => strictly(claims(user, request)))
  if (check !== undefined) conditions.push((_caller, user, request) => strictly(check(user, request)))
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
  return isPromise(verdict) ? Promise.resolve(verdict).then(holds => holds === true) : verdict === true
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

function compileHeld (wanted: Wanted, held: (caller: RequestAuth) => readonly string[]): (caller: RequestAuth) => boolean {
  if (typeof wanted === 'object' && 'anyOf' in wanted) {
    const any = [...wanted.anyOf]
    return caller => held(caller).some(item => any.includes(item))
  }
  const all = [wanted].flat() as string[]
  return caller => all.every(item => held(caller).includes(item))
}
