import { FST_AUTH0_POLICY_MISSING } from '../errors.ts'
import { listRoutes } from './route-policy.ts'
import type { WatchedRoutes } from './watched-routes.ts'

/**
 * Refuses to serve routes of which nobody said who may use them, so that none is open because its guard was forgotten.
 *
 * @throws {FST_AUTH0_POLICY_MISSING} that names them
 * @see ASVS 5.0 §8.2.1
 */
export function requirePolicies ({ routes, earlier }: WatchedRoutes): void {
  const open = listRoutes(routes).filter(({ policy }) => policy === null).map(({ method, url }) => `- ${method} ${url}`)
  if (earlier !== null) open.push(`and routes that were there before this plugin, so that nothing is known of them. Register it before these:\n${earlier}`)
  if (open.length > 0) throw new FST_AUTH0_POLICY_MISSING(open.join('\n'))
}
