import type { AnyRequest } from '../fastify.ts'
import type { Via } from '../request-auth.ts'
import type { RequireAuthOptions } from './conditions.ts'

/** What a guard demands: its options, and what they left open. */
export interface GuardPolicy extends Omit<Readonly<RequireAuthOptions>, 'via'> {
  /** Option `name` of the instance that made it. */
  readonly name: string
  /** What it takes. */
  readonly via: readonly Via[]
}

/** In the `config` of a route of ours. */
export const OWN: unique symbol = Symbol('own')

/** What routes say of themselves that have no guard. */
export const STATED: readonly unknown[] = ['public', 'custom']

/** Whether a request goes to a route of ours. They admit everybody: who cannot get to them cannot log in. */
export function isOwn ({ routeOptions: { config } }: AnyRequest): boolean {
  return (config as { [OWN]?: true } | undefined)?.[OWN] === true
}

/** Whether a guard is to be expected: not by what a route says of itself, nor where there is none. A secret that comes there may be meant for others. */
export function isGuarded (request: AnyRequest): boolean {
  return !request.is404 && !isOwn(request) && !STATED.includes(request.routeOptions.config.auth0)
}

const POLICY: unique symbol = Symbol('policy')

/** Lets a guard tell what it demands: among the hooks of a route it is a function like others. */
export function withPolicy<Guard extends object> (guard: Guard, policy: GuardPolicy): Guard {
  return Object.defineProperty(guard, POLICY, { value: Object.freeze(policy) })
}

/** What a hook demands, if it is a guard. */
export function guardPolicyOf (hook: unknown): GuardPolicy | null {
  return (hook as { [POLICY]?: GuardPolicy } | undefined)?.[POLICY] ?? null
}
