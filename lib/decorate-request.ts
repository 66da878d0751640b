import type { FastifyInstance } from 'fastify'
import type { AnyRequest } from './fastify.ts'
import type { RequestAuth } from './request-auth.ts'

/**
 * Gives requests a property that says who is calling. It is made when first asked for, once per request, and what it has to
 * write goes out with the answer: a request that never asks pays nothing.
 */
export function decorateRequest (app: FastifyInstance, name: string, create: (request: AnyRequest) => RequestAuth): (request: AnyRequest) => RequestAuth {
  const slot = Symbol(name)
  const slotOf = (request: AnyRequest) => request as unknown as Record<symbol, RequestAuth | null>
  const authOf = (request: AnyRequest) => (slotOf(request)[slot] ??= create(request))

  app.decorateRequest(slot, null)
  app.decorateRequest(name, { getter () { return authOf(this) } })
  app.addHook('onSend', (request, reply, _payload, done) => {
    slotOf(request)[slot]?.currentSession.commit(reply)
    done()
  })
  return authOf
}
