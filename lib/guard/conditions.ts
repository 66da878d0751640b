import { closestMatch } from 'leven'
import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'
import type { RequestAuth } from '../request-auth.ts'
import type { User } from '../session/sessions.ts'

type Plain = string | number | boolean | null

/** All of a list, or any of it. */
export type Wanted = string | readonly string[] | { anyOf: readonly string[] }

/** Says whether a person may. */
export type Check = (user: Readonly<User>, request: AnyRequest) => boolean | Promise<boolean>

/** What `requireAuth` demands beyond being logged in. All that is given must hold. */
export interface RequireAuthOptions {
  /** By name: the value, one of several values, or a function of the value. A claim that is a list must contain it. Or one function of all. */
  claims?: Readonly<Record<string, Plain | readonly Plain[] | ((value: unknown) => boolean)>> | Check
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

const OPTIONS = ['claims', 'organization', 'roles', 'permissions', 'maxAge', 'acr']

/**
 * Turns options of a guard into conditions, once, when the route is defined.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} for what would otherwise guard less than it seems to
 */
export function compileConditions (options: RequireAuthOptions): Condition[] {
  verifyOptions(options)
  const { claims, organization, roles, permissions } = options
  const conditions: Condition[] = []
  if (typeof claims === 'function') conditions.push((_caller, user, request) => claims(user, request))
  if (typeof claims === 'object') conditions.push(...Object.entries(claims).map(compileClaim))
  if (organization !== undefined) conditions.push(compileClaim([organization.startsWith('org_') ? 'org_id' : 'org_name', organization]))
  if (roles !== undefined) conditions.push(compileList(roles, caller => caller.roles))
  if (permissions !== undefined) conditions.push(compileList(permissions, caller => caller.permissions))
  return conditions
}

function compileClaim ([name, wanted]: [string, Plain | readonly Plain[] | ((value: unknown) => boolean)]): Condition {
  if (typeof wanted === 'function') return (_caller, user) => wanted(own(user, name))
  const accepted: readonly unknown[] = [wanted].flat()
  return (_caller, user) => [own(user, name)].flat().some(value => accepted.includes(value))
}

function own (user: Readonly<User>, name: string): unknown {
  return Object.hasOwn(user, name) ? user[name] : undefined
}

function compileList (wanted: Wanted, held: (caller: RequestAuth) => readonly string[]): Condition {
  if (typeof wanted === 'object' && 'anyOf' in wanted) return caller => wanted.anyOf.some(item => held(caller).includes(item))
  const all = [wanted].flat() as string[]
  return caller => all.every(item => held(caller).includes(item))
}

function verifyOptions (options: RequireAuthOptions): void {
  for (const name of Object.keys(options)) {
    if (OPTIONS.includes(name)) continue
    const nearest = closestMatch(name, OPTIONS, { maxDistance: 4 })
    throw invalid(name, nearest === undefined ? `is unknown. Known are ${OPTIONS.join(', ')}` : `is unknown. Did you mean "${nearest}"?`)
  }
  const { claims, organization, roles, permissions, maxAge, acr } = options
  if (claims !== undefined && typeof claims !== 'function' && !isRecord(claims)) throw invalid('claims', 'must be an object or a function')
  if (organization !== undefined && (typeof organization !== 'string' || organization === '')) throw invalid('organization', 'must be the id or the name of an organization')
  if (roles !== undefined && !isWanted(roles)) throw invalid('roles', 'must be a name, names, or { anyOf: names }')
  if (permissions !== undefined && !isWanted(permissions)) throw invalid('permissions', 'must be a name, names, or { anyOf: names }')
  if (maxAge !== undefined && !(Number.isSafeInteger(maxAge) && maxAge >= 0)) throw invalid('maxAge', 'must be a whole number of seconds')
  if (acr !== undefined && !isNames([acr].flat())) throw invalid('acr', 'must be a name or names')
}

function isWanted (wanted: unknown): boolean {
  return isRecord(wanted) ? Object.keys(wanted).join() === 'anyOf' && isNames(wanted.anyOf) : isNames([wanted].flat())
}

/** An empty list would be met by everybody, or by nobody: surely not what was meant. */
function isNames (names: unknown): boolean {
  return Array.isArray(names) && names.length > 0 && names.every(name => typeof name === 'string' && name !== '')
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid (name: string, text: string): Error {
  return new FST_AUTH0_OPTIONS_INVALID(`- requireAuth: option "${name}" ${text}`)
}
