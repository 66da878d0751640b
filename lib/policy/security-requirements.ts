import type { GuardPolicy } from '../guard/guard-policy.ts'
import type { Via } from '../request-auth.ts'
import { schemeName } from './security-schemes.ts'

/** Schemes that have to be met together, with the scopes that each needs. */
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>

/**
 * Ways to be admitted by all guards of a route, each of which will do.
 *
 * @param hasScopes whether a document of its version may name scopes of access tokens: since 3.1
 * @see OpenAPI 3.1 §4.8.30
 */
export function securityRequirements (guards: readonly GuardPolicy[], hasScopes: boolean): readonly SecurityRequirement[] {
  const ways = guards.map(guard => waysThrough(guard, hasScopes)).reduce((before, after) => before.flatMap(one => after.map(other => together(one, other))), [{}])
  return ways.filter((way, index) => !ways.some((other, place) => other !== way && asksNoMore(other, way) && (place < index || !asksNoMore(way, other))))
}

function waysThrough ({ name, via, scopes, optional }: GuardPolicy, hasScopes: boolean): SecurityRequirement[] {
  const ways = via.flatMap(one => scopeLists(one, hasScopes ? scopes : undefined).map(list => ({ [schemeName(name, one)]: list })))
  return optional === true ? [...ways, {}] : ways
}

function scopeLists (via: Via, scopes: GuardPolicy['scopes'] = []): Array<readonly string[]> {
  if (via === 'session') return [[]]
  return typeof scopes === 'object' && 'anyOf' in scopes ? scopes.anyOf.map(scope => [scope]) : [[scopes].flat()]
}

function together (one: SecurityRequirement, other: SecurityRequirement): SecurityRequirement {
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return Object.fromEntries([...names].map(name => [name, [...new Set([...one[name] ?? [], ...other[name] ?? []])]]))
}

/** Whether whoever meets the one meets the other: then the other says nothing new. Asking nothing is something else, and stays beside the rest. */
function asksNoMore (one: SecurityRequirement, other: SecurityRequirement): boolean {
  const isNothing = [one, other].some(way => Object.keys(way).length === 0)
  return !isNothing && Object.entries(one).every(([name, scopes]) => scopes.every(scope => other[name]?.includes(scope)) && other[name] !== undefined)
}
