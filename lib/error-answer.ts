import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Addresses } from './addresses.ts'
import {
  FST_AUTH0_FORBIDDEN, FST_AUTH0_LOGIN_DENIED, FST_AUTH0_LOGIN_EXPIRED, FST_AUTH0_LOGIN_REFUSED, FST_AUTH0_LOGIN_REQUIRED,
  FST_AUTH0_ORGANIZATION_MISMATCH, FST_AUTH0_PROVIDER_UNAVAILABLE, FST_AUTH0_STEP_UP_FAILED
} from './errors.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import type { Config } from './options.ts'
import { sendPage, type Way } from './pages.ts'
import { ProviderFailure } from './provider/failures.ts'

const RETRY_AFTER = 10 // seconds, where the provider does not say

/** What a page says above the error's own message. */
const TITLES = new Map<unknown, string>([
  [FST_AUTH0_LOGIN_REQUIRED, 'Please log in'],
  [FST_AUTH0_FORBIDDEN, 'This page is not for you'],
  [FST_AUTH0_STEP_UP_FAILED, 'Not logged in surely enough'],
  [FST_AUTH0_LOGIN_DENIED, 'You are not logged in'],
  [FST_AUTH0_LOGIN_REFUSED, 'You are not logged in'],
  [FST_AUTH0_ORGANIZATION_MISMATCH, 'Another organization'],
  [FST_AUTH0_LOGIN_EXPIRED, 'This login cannot go on'],
  [FST_AUTH0_PROVIDER_UNAVAILABLE, 'Logging in does not work right now']
])

/** Errors that logging in again may help against. */
const LOGIN_HELPS = [
  FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_STEP_UP_FAILED, FST_AUTH0_LOGIN_DENIED, FST_AUTH0_ORGANIZATION_MISMATCH, FST_AUTH0_LOGIN_EXPIRED,
  FST_AUTH0_PROVIDER_UNAVAILABLE
]

/** Whether the answer is for a person to read: a navigation, or a client of old that accepts HTML. */
export function wantsPage (request: AnyRequest): boolean {
  const mode = request.headers['sec-fetch-mode']
  return mode === undefined ? request.headers.accept?.includes('text/html') === true : mode === 'navigate'
}

/** Answers with an error: as `onError` has it, else as a page for a browser and as JSON for all others. */
export type ErrorAnswer = (error: Error, request: AnyRequest, reply: AnyReply, returnTo: string | null) => Promise<AnyReply>

/**
 * @param returnTo where the person wanted to go, if that is known
 * @throws what `onError` throws, for the application's error handler
 */
export function createErrorAnswer ({ onError, paths }: Config, addresses: Addresses): ErrorAnswer {
  function waysOn (error: Error, request: AnyRequest, returnTo: string | null): Way[] {
    const ways = [{ label: 'Go to the home page', href: addresses.publicPath(request, '/') }]
    const login = addresses.login(request, returnTo === null ? {} : { returnTo })
    if (login !== null && LOGIN_HELPS.some(kind => error instanceof kind)) ways.unshift({ label: 'Log in', href: login })
    if (paths.logout !== null && error instanceof FST_AUTH0_FORBIDDEN) ways.push({ label: 'Log out', href: addresses.publicPath(request, paths.logout) })
    return ways
  }

  return async (error, request, reply, returnTo) => {
    const { code, statusCode } = describe(error)
    log(error, statusCode, request)
    // A hook of the application sees what it knows: its own server's request and reply.
    const answer = onError?.(error, request as FastifyRequest, reply as unknown as FastifyReply)
    // A reply is thenable: awaiting it is waiting until it was sent.
    if (answer !== undefined) await answer
    if (answer === reply || reply.sent || reply.raw.destroyed) return reply
    if (statusCode === 503) reply.header('retry-after', retryAfter(error))
    const message = isPublic(statusCode, code) ? error.message : 'Something went wrong'
    if (!wantsPage(request)) {
      return reply.code(statusCode).header('cache-control', 'no-store').send({ statusCode, code, error: STATUS_CODES[statusCode], message })
    }
    const [, title = 'This did not work'] = [...TITLES].find(([kind]) => error instanceof (kind as typeof Error)) ?? []
    return sendPage(reply, statusCode, { title, text: `${message}.`, ways: waysOn(error, request, returnTo), note: `${statusCode} · ${code} · request ${request.id}` })
  }
}

/** An error without a status is a bug, ours or of a hook. */
function describe (error: Error) {
  const { code = 'FST_AUTH0_FAILED', statusCode = 500 } = error as Partial<FastifyError>
  return statusCode >= 400 && statusCode <= 599 ? { code, statusCode } : { code, statusCode: 500 }
}

/** Messages of bugs are nobody's to read. */
function isPublic (statusCode: number, code: string): boolean {
  return statusCode < 500 || (statusCode > 500 && code.startsWith('FST_AUTH0_'))
}

function log (error: Error, statusCode: number, request: AnyRequest): void {
  if (statusCode >= 500) request.log.error({ err: error }, error.message)
  else request.log.info({ err: error }, error.message)
}

function retryAfter ({ cause }: Error): number {
  return (cause instanceof ProviderFailure ? cause.retryAfter : null) ?? RETRY_AFTER
}
