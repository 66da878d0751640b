import type { Addresses } from '../addresses.ts'
import type { ErrorAnswer } from '../error-answer.ts'
import { wantsPage } from '../error-answer.ts'
import {
  FST_AUTH0_CROSS_SITE_REQUEST, FST_AUTH0_FORBIDDEN, FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_STEP_UP_FAILED, FST_AUTH0_STEP_UP_REQUIRED
} from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import type { Logins } from '../login.ts'
import type { RequestAuth } from '../request-auth.ts'
import { compileConditions, type RequireAuthOptions } from './conditions.ts'
import { compileStepUp } from './step-up.ts'

/** A hook that admits, redirects or refuses. For `preHandler` and `onRequest`. */
export type Guard = (request: AnyRequest, reply: AnyReply) => Promise<void>

/**
 * Guards a route: `preHandler: app.requireAuth`, `app.requireAuth()` or `app.requireAuth({ … })`.
 *
 * Nobody logged in: a navigation goes to log in and comes back, anything else gets 401. Logged in but not allowed: 403. The
 * handler of a refused request never runs.
 *
 * @throws {FST_AUTH0_LOGIN_REQUIRED} 401
 * @throws {FST_AUTH0_STEP_UP_REQUIRED} 401 when the login is too old or not sure enough
 * @throws {FST_AUTH0_STEP_UP_FAILED} 403 when the provider was just asked for a surer login and did not give it
 * @throws {FST_AUTH0_FORBIDDEN} 403
 * @throws {FST_AUTH0_CROSS_SITE_REQUEST} 403 for an unsafe method from another site
 */
export interface RequireAuth {
  (request: AnyRequest, reply: AnyReply, ...more: unknown[]): Promise<void>
  (options?: RequireAuthOptions): Guard
}

/** What guards need. */
export interface GuardServices {
  clockTolerance: number
  addresses: Addresses
  logins: Logins
  answerError: ErrorAnswer
  authOf (request: AnyRequest): RequestAuth
}

/** Query parameters that a login for this guard needs. */
type LoginQuery = Readonly<Record<string, string>>

export function createRequireAuth (services: GuardServices): RequireAuth {
  const plainGuard = createGuard(services, {})

  // Fastify calls a hook with request and reply; people call with options or with nothing. A guard that was never called with
  // options is a guard all the same.
  function requireAuth (...args: [RequireAuthOptions?] | [AnyRequest, AnyReply, ...unknown[]]) {
    const [first, reply] = args
    return reply === undefined ? createGuard(services, (first ?? {}) as RequireAuthOptions) : plainGuard(first as AnyRequest, reply)
  }
  return requireAuth as RequireAuth
}

function createGuard ({ clockTolerance, addresses, logins, answerError, authOf }: GuardServices, options: RequireAuthOptions): Guard {
  const conditions = compileConditions(options)
  const stepUp = compileStepUp(options, clockTolerance)
  const loginQuery: LoginQuery = { ...stepUp.parameters, ...options.organization === undefined ? {} : { organization: options.organization } }

  return async (request, reply) => {
    const caller = authOf(request)
    if (caller.isCrossSite && caller.currentSession.login !== null) return refuse(request, reply, new FST_AUTH0_CROSS_SITE_REQUEST())
    const { login } = caller
    if (login === null) return sendToLogin(request, reply, new FST_AUTH0_LOGIN_REQUIRED())
    const assurance = stepUp.judge(login)
    if (assurance === 'insufficient') return sendToLogin(request, reply, new FST_AUTH0_STEP_UP_REQUIRED())
    if (assurance === 'refused') return refuse(request, reply, new FST_AUTH0_STEP_UP_FAILED())
    for (const admits of conditions) {
      if (!await admits(caller, login.user, request)) return refuse(request, reply, new FST_AUTH0_FORBIDDEN())
    }
  }

  /** A person who navigates goes to log in. Never one who sends a form: its contents would be lost on the way. */
  async function sendToLogin (request: AnyRequest, reply: AnyReply, error: Error): Promise<void> {
    if (request.method !== 'GET' || !wantsPage(request)) return refuse(request, reply, error)
    const returnTo = addresses.publicPath(request, request.originalUrl)
    const address = addresses.login(request, { returnTo, ...loginQuery }) ??
      (await logins.start(request, reply, { returnTo, authorizationParams: loginQuery })).href
    reply.header('cache-control', 'no-store').redirect(address, 302)
    return never()
  }

  /** For a browser our page, through `onError`; for all others an error, which is for the application's error handler. */
  async function refuse (request: AnyRequest, reply: AnyReply, error: Error): Promise<void> {
    if (!wantsPage(request)) throw error
    await answerError(error, request, reply, request.method === 'GET' ? addresses.publicPath(request, request.originalUrl) : null)
    return never()
  }
}

/**
 * Keeps a request whose answer is given from going on. Fastify runs the handler when a hook's promise is fulfilled while the answer
 * is still on its way: behind an asynchronous `onSend`, a stream or a hijacked reply, or when the client hangs up.
 */
function never (): Promise<never> {
  return new Promise(() => {})
}
