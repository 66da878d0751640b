import { isDeepStrictEqual } from 'node:util'
import { OWN, STATED, type GuardPolicy } from '../guard/guard-policy.ts'
import { guardsOf } from './guards-of.ts'
import type { WatchedRoute } from './watched-routes.ts'

/** What a route without a guard says of itself, by `config: { auth0: … }`. */
export type StatedPolicy = 'public' | 'custom'

/**
 * Who may use a route: what its guard demands, or each of its guards; `public`: anybody, on purpose; `custom`: whom the application admits by other means;
 * `plugin`: a route of ours; `null`: nobody said.
 */
export type RoutePolicy = GuardPolicy | readonly GuardPolicy[] | StatedPolicy | 'plugin' | null

/** A route of the server. */
export interface ListedRoute {
  method: string
  url: string
  policy: RoutePolicy
}

/** Lists routes, one for each method. The HEAD that Fastify adds to a GET goes with it, unless another policy is its. */
export function listRoutes (routes: readonly WatchedRoute[]): ListedRoute[] {
  const known = routes.map(route => ({ ...route, methods: [route.options.method].flat(), policy: policyOf(route) }))
  const isAdded = (head: typeof known[number]) => head.methods.join() === 'HEAD' && known.some(route =>
    route.methods.includes('GET') && route.url === head.url && route.options.handler === head.options.handler && isDeepStrictEqual(route.policy, head.policy))
  return known.filter(route => !isAdded(route)).flatMap(({ methods, url, policy }) => methods.map(method => ({ method, url, policy })))
}

function policyOf (route: WatchedRoute): RoutePolicy {
  const [guard, ...more] = guardsOf(route)
  if (guard !== undefined) return more.length === 0 ? guard : [guard, ...more]
  const { auth0: stated, [OWN]: isOwn }: { auth0?: unknown, [OWN]?: true } = route.options.config ?? {}
  if (isOwn === true) return 'plugin'
  return STATED.includes(stated) ? stated as StatedPolicy : null
}
