import type { FastifyInstance } from 'fastify'
import { guardPolicyOf, type GuardPolicy } from '../guard/guard-policy.ts'
import type { WatchedRoute } from './watched-routes.ts'

/** Hooks that run before the handler. */
const PLACES = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

/** What the guards of a route demand, in the order in which they are asked: those of its context, and its own. */
export function guardsOf ({ context, options }: Pick<WatchedRoute, 'context' | 'options'>): readonly GuardPolicy[] {
  const hooks = PLACES.flatMap(place => [...contextHooks(context, place), ...[options[place]].flat()])
  return [...new Set(hooks.map(guardPolicyOf))].filter(policy => policy !== null)
}

/**
 * Fastify tells nobody of the hooks of a context: this is where it keeps them, and takes them from at boot. Should they move, guards are
 * overlooked, and option `requirePolicy` refuses their routes; none is taken for guarded that is not.
 */
function contextHooks (context: FastifyInstance, place: typeof PLACES[number]): readonly unknown[] {
  const key = Object.getOwnPropertySymbols(context).find(({ description }) => description === 'fastify.hooks')
  const hooks = key && (context as unknown as Record<symbol, Record<string, unknown>>)[key]?.[place]
  return Array.isArray(hooks) ? hooks : []
}
