import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { AnyReply, AnyRequest } from './fastify.ts'
import { isGuarded } from './guard/guard-policy.ts'
import type { RequestAuth } from './request-auth.ts'

/** Nobody asked until the answer went out. */
const ANSWERED: unique symbol = Symbol('answered')

/** Headers that say something of an answer's body, or why it is a 401. */
const OF_THE_BODY = [
  'content-type', 'content-length', 'content-encoding', 'content-disposition', 'content-range', 'transfer-encoding', 'etag', 'last-modified', 'www-authenticate'
]

/**
 * Gives requests a property that says who is calling. It is made when first asked for, once per request, and what it has to
 * write goes out with the answer: a request that never asks pays nothing.
 *
 * @param mustPrepare whether something has to be asked beforehand, so that telling who is calling need not wait; `null`: never
 */
export function decorateRequest (
  app: FastifyInstance, name: string, mustPrepare: ((request: AnyRequest) => boolean) | null, create: (request: AnyRequest) => RequestAuth
): (request: AnyRequest) => RequestAuth {
  const slot = Symbol(name)
  const slotOf = (request: AnyRequest) => request as unknown as { [slot]?: RequestAuth | typeof ANSWERED | null }

  function authOf (request: AnyRequest): RequestAuth {
    const known = slotOf(request)[slot] ?? null
    if (known !== null && known !== ANSWERED) return known
    const auth = create(request)
    if (known === ANSWERED) auth.currentSession.close()
    slotOf(request)[slot] = auth
    return auth
  }

  app.decorateRequest(slot, null)
  app.decorateRequest(name, { getter () { return authOf(this) } })
  if (mustPrepare !== null) app.addHook('onRequest', async request => mustPrepare(request) ? authOf(request).prepare(isGuarded) : undefined)
  app.addHook('onError', (request, _reply, error, done) => {
    const auth = slotOf(request)[slot] ?? null
    if (auth !== null && auth !== ANSWERED) auth.failed(error)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    const auth = slotOf(request)[slot] ?? null // undefined in a context that is older than this instance
    if (auth === null) slotOf(request)[slot] = ANSWERED
    if (auth === null || auth === ANSWERED) return done()
    const address = loginAfter(auth, request, reply)
    if (address === null) {
      auth.currentSession.commit(reply)
      return done()
    }
    address.then(address => redirect(reply, address, payload), () => payload).then(payload => {
      auth.currentSession.commit(reply)
      return payload
    }).then(payload => done(null, payload), done)
  })
  return authOf
}

/** Where whoever the handler could not serve without a new login goes instead; `null` for all others, and where the application answered otherwise. */
function loginAfter ({ failure, relogin }: RequestAuth, request: AnyRequest, reply: AnyReply): Promise<string> | null {
  return failure === null || reply.statusCode !== 401 ? null : relogin?.(request, reply, failure) ?? null
}

/** In place of an answer that is made already. Gives the new one's body. */
function redirect (reply: AnyReply, address: string, payload: unknown): string {
  release(payload instanceof Response ? payload.body : payload)
  for (const name of OF_THE_BODY) reply.removeHeader(name)
  reply.code(302).header('location', address).header('cache-control', 'no-store')
  return ''
}

/** What is behind a body that nobody will read. */
function release (body: unknown): void {
  if (body instanceof Readable) body.destroy()
  if (body instanceof ReadableStream) body.cancel().catch(() => {}) // somebody else may have it
}
