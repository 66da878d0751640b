import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Addresses } from './addresses.ts'
import { publish } from './events.ts'
import { FST_AUTH0_LOGOUT_INCOMPLETE, FST_AUTH0_SESSION_UNAVAILABLE } from './errors.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import type { Config } from './options.ts'
import { sendPage, type Way } from './pages.ts'
import { ProviderFailure } from './provider/failures.ts'

const RETRY_AFTER = 10 // seconds, where the provider does not say
const RETRY_STORE_AFTER = 1 // seconds; a store is back soon, or nobody knows when

/** What a page says above the error's own message, and what may help. */
interface Explanation {
  title: string
  remedy?: 'login' | 'logout'
}

/** By code. */
const EXPLANATIONS = new Map<string, Explanation>(Object.entries({
  FST_AUTH0_LOGIN_REQUIRED: { title: 'Please log in', remedy: 'login' },
  FST_AUTH0_STEP_UP_REQUIRED: { title: 'Please log in again', remedy: 'login' },
  FST_AUTH0_STEP_UP_FAILED: { title: 'This needs a stronger login', remedy: 'login' },
  // Who is logged in at the provider would be logged in again as the same person.
  FST_AUTH0_FORBIDDEN: { title: 'This page is not for you', remedy: 'logout' },
  FST_AUTH0_SCOPE_MISSING: { title: 'This page is not for you', remedy: 'logout' },
  FST_AUTH0_LOGIN_REFUSED: { title: 'You are not logged in', remedy: 'logout' },
  FST_AUTH0_LOGIN_DENIED: { title: 'You are not logged in', remedy: 'login' },
  FST_AUTH0_ORGANIZATION_MISMATCH: { title: 'Another organization', remedy: 'login' },
  FST_AUTH0_LOGIN_EXPIRED: { title: 'This login cannot go on', remedy: 'login' },
  FST_AUTH0_CALLBACK_INVALID: { title: 'This login cannot go on', remedy: 'login' },
  FST_AUTH0_PROVIDER_UNAVAILABLE: { title: 'Logging in does not work right now', remedy: 'login' },
  FST_AUTH0_PROVIDER_FAILED: { title: 'Logging in does not work right now', remedy: 'login' },
  FST_AUTH0_ID_TOKEN_INVALID: { title: 'Logging in does not work right now', remedy: 'login' },
  FST_AUTH0_SESSION_UNAVAILABLE: { title: 'This does not work right now' },
  FST_AUTH0_LOGOUT_INCOMPLETE: { title: 'Logging out is not complete', remedy: 'logout' },
  FST_AUTH0_TOO_MANY_SESSIONS: { title: 'You are not logged in', remedy: 'login' },
  FST_AUTH0_CROSS_SITE_REQUEST: { title: 'This did not come from here' }
}))

/** The query of our login route that a link on a page leads to. */
export type LoginQuery = Readonly<Record<string, string>>

/** Answers with an error: as `onError` has it, else as a page for a browser and as JSON for all others. */
export type ErrorAnswer = (error: Error, request: AnyRequest, reply: AnyReply, loginQuery: LoginQuery) => Promise<AnyReply>

/** Whether the answer is for a person to read: a navigation, or a client of old that accepts HTML. */
export function wantsPage ({ headers }: AnyRequest): boolean {
  const { 'sec-fetch-mode': mode, 'x-requested-with': requestedWith, accept } = headers
  if (mode !== undefined) return mode === 'navigate'
  return accept?.includes('text/html') === true && requestedWith !== 'XMLHttpRequest'
}

/** @throws what `onError` throws, for the application's error handler */
export function createErrorAnswer ({ name, onError, paths }: Config, addresses: Addresses): ErrorAnswer {
  return async (thrown, request, reply, loginQuery) => {
    const error = thrown ?? new Error('nothing was thrown') // hooks may throw `null`
    const { code, statusCode, message } = describe(error)
    log(error, statusCode, request)
    publish('refusal', { instance: name, requestId: request.id, code, statusCode })
    if (statusCode === 503) reply.header('retry-after', retryAfter(error))
    // A hook of the application sees what it knows: its own server's request and reply.
    const answer = onError?.(error, request as FastifyRequest, reply as unknown as FastifyReply)
    // A reply is thenable: awaiting it is waiting until it was sent.
    if (answer !== undefined) await answer
    if (answer === reply || reply.sent || reply.raw.destroyed) return reply
    if (!wantsPage(request)) {
      return reply.code(statusCode).header('cache-control', 'no-store').send({ statusCode, code, error: STATUS_CODES[statusCode], message })
    }
    const { title, remedy }: Explanation = EXPLANATIONS.get(code) ?? { title: 'This did not work' }
    return sendPage(reply, statusCode, {
      title,
      text: /[.!?…]$/.test(message) ? message : `${message}.`,
      ways: waysOn(request, remedy, loginQuery),
      note: `${statusCode} · ${code} · request ${request.id}`
    })
  }

  /** What helps comes first. */
  function waysOn (request: AnyRequest, remedy: Explanation['remedy'], loginQuery: LoginQuery): Way[] {
    const home = { label: 'Go to the home page', href: addresses.publicPath(request, '/') }
    const login = addresses.login(request, loginQuery)
    if (remedy === 'login' && login !== null) return [{ label: 'Log in', href: login }, home]
    if (remedy === 'logout' && paths.logout !== null) return [home, { label: 'Log out', href: addresses.publicPath(request, paths.logout) }]
    return [home]
  }
}

/** What may be told of an error. One without a status is a bug, ours or of a hook: what it says is for the log. */
export function describe (error: Error): { statusCode: number, code: string, message: string } {
  const { code: given, statusCode: status = 500 } = error as Partial<FastifyError>
  const code = typeof given === 'string' ? given : '' // a DOMException has a number
  const statusCode = status >= 400 && status <= 599 ? status : 500
  const isOurs = code.startsWith('FST_AUTH0_')
  const isPublic = statusCode < 500 || (statusCode > 500 && isOurs)
  return {
    statusCode,
    code: code !== '' && (isPublic || isOurs) ? code : 'FST_AUTH0_FAILED',
    message: isPublic ? error.message : 'Something went wrong'
  }
}

function log (error: Error, statusCode: number, request: AnyRequest): void {
  if (statusCode >= 500) request.log.error({ err: error }, error.message)
  else request.log.info({ err: error }, error.message)
}

/** Seconds after which to try again what failed with a 503 (RFC 9110 §10.2.3). */
export function retryAfter (error: Error): number {
  if (error instanceof FST_AUTH0_SESSION_UNAVAILABLE || error instanceof FST_AUTH0_LOGOUT_INCOMPLETE) return RETRY_STORE_AFTER
  const { cause } = error
  return (cause instanceof ProviderFailure ? cause.retryAfter : null) ?? RETRY_AFTER
}
