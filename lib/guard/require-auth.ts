import type { FastifyError } from 'fastify'
import type { Addresses } from '../addresses.ts'
import { hasTokenInForm, schemeOf } from '../api/credentials.ts'
import { resourceMetadataUrl } from '../api/resource-metadata.ts'
import { now } from '../clock.ts'
import { describe, retryAfter, wantsPage, type ErrorAnswer, type LoginQuery } from '../error-answer.ts'
import {
  FST_AUTH0_ACCESS_TOKEN_INVALID, FST_AUTH0_ACCESS_TOKEN_REQUIRED, FST_AUTH0_CREDENTIALS_INVALID, FST_AUTH0_CROSS_SITE_REQUEST, FST_AUTH0_FORBIDDEN, FST_AUTH0_INTERACTION_REQUIRED, FST_AUTH0_LOGIN_REQUIRED,
  FST_AUTH0_OPTIONS_INVALID, FST_AUTH0_REFRESH_TOKEN_MISSING, FST_AUTH0_REFRESH_TOKEN_REFUSED, FST_AUTH0_SCOPE_MISSING, FST_AUTH0_STEP_UP_FAILED, FST_AUTH0_STEP_UP_REQUIRED
} from '../errors.ts'
import { publish } from '../events.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import type { Logins } from '../login.ts'
import type { ApiConfig } from '../options.ts'
import type { RequestAuth, Via } from '../request-auth.ts'
import type { Login, User } from '../session/sessions.ts'
import { challengeFor, type ChallengedRoute } from './challenge.ts'
import { compileConditions, compileScopes, type Condition, type RequireAuthOptions } from './conditions.ts'
import { guardPolicyOf, isOwn, withPolicy, type GuardPolicy } from './guard-policy.ts'
import { refusePrefetch } from './prefetch.ts'
import { compileStepUp, GRACE, toLoginQuery } from './step-up.ts'

/** A hook that admits, redirects or refuses. For `preHandler` and `onRequest`. */
export type Guard = (request: AnyRequest, reply: AnyReply) => Promise<void>

/**
 * Guards a route: `preHandler: app.requireAuth`, `app.requireAuth()` or `app.requireAuth({ … })`.
 *
 * Nobody logged in: a navigation goes to log in and comes back, anything else gets 401. Logged in but not allowed: 403. The
 * handler of a refused request never runs. A hook that calls a guard has to await or return it. Where option `api` is set, a request that brings an access token is judged
 * by that, and a refusal says in `WWW-Authenticate` what would help (RFC 6750 §3, RFC 9470 §3).
 *
 * @throws {FST_AUTH0_LOGIN_REQUIRED} 401
 * @throws {FST_AUTH0_ACCESS_TOKEN_REQUIRED} 401 where only access tokens will do
 * @throws {FST_AUTH0_ACCESS_TOKEN_INVALID} 401
 * @throws {FST_AUTH0_CREDENTIALS_INVALID} 400
 * @throws {FST_AUTH0_SCOPE_MISSING} 403
 * @throws {FST_AUTH0_STEP_UP_REQUIRED} 401 when the login is too old or not sure enough
 * @throws {FST_AUTH0_STEP_UP_FAILED} 403 when the provider was just asked for a surer login and did not give it
 * @throws {FST_AUTH0_FORBIDDEN} 403
 * @throws {FST_AUTH0_CROSS_SITE_REQUEST} 403 for an unsafe method from another site
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 with `Retry-After` when it cannot be known who is calling
 */
export interface RequireAuth {
  (request: AnyRequest, reply: AnyReply, ...more: unknown[]): Promise<void>
  (options?: RequireAuthOptions): Guard
}

/** What guards need. */
export interface GuardServices {
  /** Of the instance. */
  name: string
  clockTolerance: number
  /** `null`: access tokens are not accepted. */
  api: Pick<ApiConfig, 'resource' | 'dpop'> | null
  hasLogins: boolean
  addresses: Addresses
  startLogin: Logins['start']
  answerError: ErrorAnswer
  authOf (request: AnyRequest): RequestAuth
}

/** How tokens may come, by option `api.dpop`. */
const SCHEMES = { off: ['Bearer'], allowed: ['Bearer', 'DPoP'], required: ['DPoP'] } as const

const ADMITTED: Promise<void> = Promise.resolve()
const NEEDING_LOGIN = [FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_REFRESH_TOKEN_MISSING, FST_AUTH0_REFRESH_TOKEN_REFUSED, FST_AUTH0_INTERACTION_REQUIRED]

export function createRequireAuth (services: GuardServices): RequireAuth {
  const plainGuard = createGuard(services, {})

  // Fastify calls a hook with request and reply; people call with options or with nothing. A guard that was never called with
  // options is a guard all the same.
  function requireAuth (...args: [RequireAuthOptions?] | [AnyRequest, AnyReply, ...unknown[]]) {
    const [first, reply] = args
    if (reply !== undefined) return plainGuard(first as AnyRequest, reply)
    // Options that turn out `undefined`, by a misspelt name, must not guard less: only no argument at all means none.
    return createGuard(services, args.length === 0 ? {} : first as RequireAuthOptions)
  }
  return withPolicy(requireAuth as RequireAuth, guardPolicyOf(plainGuard) as GuardPolicy)
}

function createGuard ({ name, clockTolerance, api, hasLogins, addresses, startLogin: start, answerError, authOf }: GuardServices, options: RequireAuthOptions): Guard {
  const isAdmitted = compileConditions(options)
  const scopes = compileScopes(options)
  const stepUp = compileStepUp(options, clockTolerance)
  const { via = ways(api !== null, hasLogins), optional: isOptional = false } = options
  const takes = new Set([via].flat())
  if (api === null && takes.has('bearer')) throw new FST_AUTH0_OPTIONS_INVALID('- requireAuth: option "via" is "bearer", which needs option "api" of the plugin')
  if (!hasLogins && takes.has('session')) throw new FST_AUTH0_OPTIONS_INVALID('- requireAuth: option "via" is "session", which needs logins: give the plugin "clientId", "clientSecret", "secret" and "appBaseUrl"')
  const route: ChallengedRoute = { realm: api?.resource ?? name, resourceMetadata: api?.resource == null ? null : resourceMetadataUrl(api.resource), scope: scopes.scope, stepUp: stepUp.demand, schemes: SCHEMES[api?.dpop ?? 'off'] }
  const organization: LoginQuery = options.organization === undefined ? {} : { organization: options.organization }

  // No async function: what is known at once is thrown or answered at once, so that a hook of the application that forgot to await its
  // guard lets nobody through.
  return withPolicy<Guard>((request, reply) => {
    const caller = authOf(request)
    if (!caller.isPrepared && !isOwn(request)) throw new FST_AUTH0_OPTIONS_INVALID('- A guard ran before it was known who is calling: register the plugin before hooks and contexts that guard')
    if (caller.bringsToken) return judgeToken(caller, request, reply)
    if (!takes.has('session')) return isOptional ? ADMITTED : refuseToken(request, reply, new FST_AUTH0_ACCESS_TOKEN_REQUIRED())
    const { login: anybody, failure } = look(caller)
    if (failure !== null) return refuse(request, reply, failure)
    if (caller.isCrossSite && anybody !== null) return refuse(request, reply, new FST_AUTH0_CROSS_SITE_REQUEST())
    const { login } = caller
    if (login === null) return isOptional ? ADMITTED : sendToLogin(request, reply, new FST_AUTH0_LOGIN_REQUIRED(), toLoginQuery(stepUp.demand))
    if (!stepUp.isMet(login)) {
      const demand = stepUp.demandAfter(login, addresses.returnTo(request, pageOf(request)))
      if (demand === null) return refuse(request, reply, new FST_AUTH0_STEP_UP_FAILED(), toLoginQuery(stepUp.demand))
      return sendToLogin(request, reply, new FST_AUTH0_STEP_UP_REQUIRED(), toLoginQuery(demand))
    }
    caller.relogin = (request, reply, failure) => needsLogin(login, failure) && isNavigation(request) ? loginAddress(request, reply) : null
    return judge(caller, login.user, request, error => refuse(request, reply, error))
  }, { ...options, name, via: [...takes] })

  /** Judges by the access token alone. */
  function judgeToken (caller: RequestAuth, request: AnyRequest, reply: AnyReply): Promise<void> {
    if (!takes.has('bearer')) return refuse(request, reply, new FST_AUTH0_LOGIN_REQUIRED())
    if (caller.isUnasked && !isOwn(request)) return caller.ask().then(() => judgeToken(caller, request, reply))
    const { tokenFailure } = caller
    if (tokenFailure !== null) return refuseToken(request, reply, tokenFailure)
    if (hasTokenInForm(request)) return refuseToken(request, reply, new FST_AUTH0_CREDENTIALS_INVALID({ cause: new Error('one access token in the header, and one in the form') }))
    const { user } = caller
    if (user === null) return refuseToken(request, reply, new FST_AUTH0_ACCESS_TOKEN_INVALID())
    if (!stepUp.isMet({ user, stepUp: {}, createdAt: 0 })) return refuseToken(request, reply, new FST_AUTH0_STEP_UP_REQUIRED())
    return judge(caller, user, request, error => refuseToken(request, reply, error))
  }

  function judge (caller: RequestAuth, user: Readonly<User>, request: AnyRequest, refuse: (error: Error) => Promise<void>): Promise<void> {
    if (!scopes.isMet(caller)) return refuse(new FST_AUTH0_SCOPE_MISSING(scopes.scope))
    const verdict = decide(caller, user, request)
    if (verdict === true) return ADMITTED
    if (verdict === false) return refuse(new FST_AUTH0_FORBIDDEN())
    return Promise.resolve(verdict).then(holds => holds ? undefined : refuse(new FST_AUTH0_FORBIDDEN()))
  }

  /** What the functions of the application say. Fastify takes `null` and `undefined`, where they are thrown, for no error, and would let the request pass. */
  function decide (...call: Parameters<Condition>): ReturnType<Condition> {
    try {
      return isAdmitted(...call)
    } catch (error) {
      throw error ?? new Error('a condition of requireAuth threw nothing')
    }
  }

  /** For a program: the error, and in a header what would help. */
  function refuseToken (request: AnyRequest, reply: AnyReply, error: Error): Promise<void> {
    if (isOwn(request)) return ADMITTED
    challenge(request, reply, error)
    setHeaders(reply, error)
    reply.headers((error as { headers?: Record<string, string> }).headers ?? {})
    tell(request, error)
    throw error
  }

  function challenge (request: AnyRequest, reply: AnyReply, error: Error): void {
    const value = takes.has('bearer') ? challengeFor(error, schemeOf(request), route) : null
    if (value !== null) reply.header('www-authenticate', value)
  }

  /** A person who navigates goes to log in. Never one who sends a form: its contents would be lost on the way. */
  function sendToLogin (request: AnyRequest, reply: AnyReply, error: Error, demand: LoginQuery): Promise<void> {
    if (isOwn(request)) return ADMITTED
    if (!isNavigation(request)) return refuse(request, reply, error, demand)
    tell(request, error)
    const address = loginRoute(request, demand)
    if (address !== null) return redirect(reply, address)
    return startLogin(request, reply, demand).then(address => redirect(reply, address)).catch(failure => refuse(request, reply, failure))
  }

  function loginRoute (request: AnyRequest, demand: LoginQuery): string | null {
    return addresses.login(request, { returnTo: pageOf(request), ...organization, ...demand })
  }

  /** Where there is no login route to go to. */
  async function startLogin (request: AnyRequest, reply: AnyReply, demand: LoginQuery): Promise<string> {
    refusePrefetch(request)
    const url = await start(request, reply, { returnTo: pageOf(request), authorizationParams: { ...organization, ...demand } })
    return url.href
  }

  async function loginAddress (request: AnyRequest, reply: AnyReply): Promise<string> {
    return loginRoute(request, {}) ?? startLogin(request, reply, {})
  }

  /** For a browser our page, through `onError`; for all others an error, which is for the application's error handler. */
  function refuse (request: AnyRequest, reply: AnyReply, error: Error, demand: LoginQuery = {}): Promise<void> {
    if (isOwn(request)) return ADMITTED
    setHeaders(reply, error)
    if (!wantsPage(request)) {
      if (error instanceof FST_AUTH0_LOGIN_REQUIRED) challenge(request, reply, error)
      tell(request, error)
      throw error
    }
    const returnTo: LoginQuery = request.method === 'GET' ? { returnTo: pageOf(request) } : {}
    return answerError(error, request, reply, { ...returnTo, ...organization, ...demand }).then(never)
  }

  function tell (request: AnyRequest, error: Error): void {
    const { code, statusCode } = describe(error)
    publish('refusal', { instance: name, requestId: request.id, code, statusCode })
  }

  /** The page of a request, as the browser calls it. */
  function pageOf (request: AnyRequest): string {
    return addresses.publicPath(request, request.originalUrl)
  }
}

/** What proves who is calling, unless a guard says otherwise. */
function ways (takesTokens: boolean, hasLogins: boolean): readonly Via[] {
  return [...hasLogins ? ['session' as const] : [], ...takesTokens ? ['bearer' as const] : []]
}

function setHeaders (reply: AnyReply, error: Error): void {
  reply.header('cache-control', 'no-store')
  if ((error as FastifyError).statusCode === 503) reply.header('retry-after', retryAfter(error))
}

/** Who is logged in, or why that cannot be known. */
function look ({ currentSession }: RequestAuth): { login: Login | null, failure: Error | null } {
  try {
    return { login: currentSession.login, failure: null }
  } catch (failure) {
    return { login: null, failure: failure as Error }
  }
}

function isNavigation (request: AnyRequest): boolean {
  return request.method === 'GET' && wantsPage(request)
}

/** Whether a handler failed for want of an access token that a login brings; one that was made a moment ago did not. */
function needsLogin ({ createdAt }: Login, failure: Error): boolean {
  return NEEDING_LOGIN.some(NeedingLogin => failure instanceof NeedingLogin) && now() - createdAt > GRACE
}

function redirect (reply: AnyReply, address: string): Promise<never> {
  reply.header('cache-control', 'no-store').redirect(address, 302)
  return never()
}

/**
 * Keeps a request whose answer is given from going on. Fastify runs the handler when a hook's promise is fulfilled while the answer
 * is still on its way: behind an asynchronous `onSend`, a stream or a hijacked reply, or when the client hangs up.
 */
function never (): Promise<never> {
  return new Promise(() => {})
}
