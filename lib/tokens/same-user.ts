import { isDeepStrictEqual } from 'node:util'
import { FST_AUTH0_USER_INVALID } from '../errors.ts'
import type { User } from '../session/sessions.ts'

/**
 * What a hook of the application made of a user.
 *
 * @throws {FST_AUTH0_USER_INVALID} 500 when that is somebody else
 */
export function asSameUser (enriched: User, user: User): User {
  if (typeof enriched !== 'object' || enriched.sub !== user.sub || enriched.iss !== user.iss) throw new FST_AUTH0_USER_INVALID()
  return enriched
}

/** Names of the claims that a hook added, changed or took away. */
export function differentClaims (before: User, after: User): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(name => !isDeepStrictEqual(before[name], after[name]))
}
