import { randomBytes } from 'node:crypto'
import { FifoMap } from 'toad-cache'
import { now } from './clock.ts'
import type { Addresses } from './addresses.ts'
import { parseAuthorizationParams } from './authorization-params.ts'
import { parseCallbackAnswer } from './callback-answer.ts'
import {
  FST_AUTH0_CLIENT_REQUIRED, FST_AUTH0_LOGIN_DENIED, FST_AUTH0_LOGIN_EXPIRED, FST_AUTH0_OPTIONS_INVALID, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_PROVIDER_UNAVAILABLE,
  FST_AUTH0_SESSION_UNAVAILABLE, FST_AUTH0_STEP_UP_FAILED
} from './errors.ts'
import { publish } from './events.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import { transactionId, TRANSACTION_LIFETIME, type LoginTransaction, type LoginTransactions } from './login-transaction.ts'
import type { AuthorizationParams, Config } from './options.ts'
import { ProviderFailure, quote } from './provider/failures.ts'
import type { Provider } from './provider/provider.ts'
import type { NewLogin, Session, User } from './session/sessions.ts'
import { firstTokens, idTokenHint } from './tokens/login-tokens.ts'
import { asSameUser, differentClaims } from './tokens/same-user.ts'
import { verifyAuthorizationAnswer } from './verify/authorization-answer.ts'

const MAX_REMEMBERED_RETURN_TO = 256 // characters; it stays in the session
const REMEMBERED_STATES = 10_000

/** Nobody is logged in at the provider, or it would have to ask them something: what `prompt=none` wants to know (OpenID Connect Core 1.0 §3.1.2.6). */
const INTERACTION_ERRORS = new Set(['login_required', 'interaction_required', 'consent_required', 'account_selection_required'])

/** How a login begins. */
export interface LoginOptions {
  /** Where to go afterwards: a path, or a URL on an origin of `appBaseUrl`. Default: home. */
  returnTo?: string
  /** Comes back from `completeInteractiveLogin`, sealed meanwhile. JSON, some hundred bytes. */
  appState?: unknown
  /** Added to those of the options. */
  authorizationParams?: AuthorizationParams
}

/** In place of whatever begins or ends one, where nobody logs in. */
export async function refuseLogin (): Promise<never> {
  throw new FST_AUTH0_CLIENT_REQUIRED()
}

/** How a login ended. */
export interface CompletedLogin {
  /** `null` when `prompt=none` found nobody logged in. */
  user: Readonly<User> | null
  /** Safe to redirect to. */
  returnTo: string
  appState: unknown
}

/** Logins, from leaving for the provider to the new session. */
export interface Logins {
  start (request: AnyRequest, reply: AnyReply, options?: LoginOptions): Promise<URL>
  complete (request: AnyRequest, reply: AnyReply): Promise<CompletedLogin>
  /** Where the login went that a callback belongs to; `null` when it is unknown here. */
  returnToOf (request: AnyRequest): string | null
}

/** What logins are made of. */
export interface LoginServices {
  config: Config
  addresses: Addresses
  provider: Provider
  transactions: LoginTransactions
  sessionOf (request: AnyRequest): Session
}

export function createLogins ({ config, addresses, provider, transactions, sessionOf }: LoginServices): Logins {
  /** Finishing a login: twins of one callback, from a prefetch or a double click, share one run. */
  const underWay = new Map<string, Promise<NewLogin>>()
  /** States that were redeemed or failed for good: whoever kept a copy of the cookie cannot try again. */
  const spent = new FifoMap<true>(REMEMBERED_STATES, TRANSACTION_LIFETIME * 1000)

  function finishOnce (request: AnyRequest, answer: URLSearchParams, transaction: LoginTransaction): Promise<NewLogin> {
    const { state } = transaction
    const known = underWay.get(state)
    if (known !== undefined) return known
    const run = finish(request, answer, transaction).finally(() => underWay.delete(state))
    underWay.set(state, run)
    return run
  }

  async function finish (request: AnyRequest, answer: URLSearchParams, transaction: LoginTransaction): Promise<NewLogin> {
    const { user, tokens, dpopKey, issuedAt } = await provider.finishLogin(answer, transaction)
    const { maxAge, acrValues, state, returnTo } = transaction
    const copy = structuredClone(user)
    const enriched = await config.onLogin?.({ user: copy, appState: transaction.appState, tokens: { ...tokens } }, request) ?? copy
    const verified = asSameUser(enriched, user)
    return {
      id: randomBytes(16).toString('base64url'), // here, so that twins begin one session, which one logout ends
      user: verified,
      issuedAt,
      begunBy: { id: transactionId(state), returnTo: returnTo.length <= MAX_REMEMBERED_RETURN_TO ? returnTo : addresses.returnTo(request, '/') },
      idToken: idTokenHint(tokens.idToken),
      tokens: firstTokens(transaction, tokens, dpopKey),
      ownClaims: differentClaims(user, verified),
      stepUp: { ...maxAge === undefined ? {} : { maxAge }, ...acrValues === undefined ? {} : { acrValues } }
    }
  }

  return { start, complete, returnToOf }

  async function start (request: AnyRequest, reply: AnyReply, { returnTo, appState, authorizationParams = {} }: LoginOptions = {}): Promise<URL> {
    const { response_mode: _fixed, ...wanted } = authorizationParams
    const { params, problems } = parseAuthorizationParams(wanted)
    if (problems.length > 0) throw new FST_AUTH0_OPTIONS_INVALID(problems.map(([name, text]) => `- "authorizationParams.${name}" ${text}`).join('\n'))
    const session = sessionOf(request)
    await session.verifyStartable()
    const redirectUri = addresses.redirectUri(request)
    const parameters = { ...config.authorizationParams, ...params }
    const { url, proof } = await provider.startLogin({ ...parameters, redirect_uri: redirectUri })
    transactions.save(request, reply, {
      ...proof,
      redirectUri,
      scope: parameters.scope as string,
      audience: parameters.audience,
      returnTo: addresses.returnTo(request, returnTo),
      appState,
      startedAt: now(),
      maxAge: parameters.max_age === undefined ? undefined : Number(parameters.max_age),
      acrValues: parameters.acr_values?.split(' '),
      organization: parameters.organization,
      isSilent: parameters.prompt === 'none' ? true : undefined,
      replaces: session.id ?? undefined
    }, addresses.returnTo(request, undefined))
    return url
  }

  async function complete (request: AnyRequest, reply: AnyReply): Promise<CompletedLogin> {
    const { parameters: answer, jwt } = parseCallbackAnswer(request, config)
    const state = answer.get('state') as string
    const session = sessionOf(request)
    const transaction = transactions.find(request, state)
    if (transaction === null || spent.get(state) === true) return repeated(session, state)
    const { returnTo, appState } = transaction
    try {
      if (jwt !== null) await verifyAuthorizationAnswer(jwt, await provider.signer(), config)
      await provider.verifyAnswer(answer)
      await session.verifyStartable()
      if (transaction.isSilent === true && INTERACTION_ERRORS.has(answer.get('error') ?? '')) {
        end(reply, transaction)
        return { user: null, returnTo, appState }
      }
      refuseError(answer)
      const login = await finishOnce(request, answer, transaction)
      const { user } = await session.start(login, transaction.replaces)
      end(reply, transaction)
      publish('login', { instance: config.name, iss: user.iss, sub: user.sub, requestId: request.id })
      request.log.info({ sub: user.sub }, 'logged in')
      return { user, returnTo, appState }
    } catch (error) {
      if (!isPassing(error)) end(reply, transaction)
      throw error
    }
  }

  /** Over for good: here, and in the browser. */
  function end (reply: AnyReply, transaction: LoginTransaction): void {
    spent.set(transaction.state, true)
    transactions.end(reply, transaction)
  }

  /** A reload, or the back button: who is logged in by that very login goes on to where it went. */
  function repeated ({ login }: Session, state: string): CompletedLogin {
    if (login === null || login.begunBy.id !== transactionId(state)) throw new FST_AUTH0_LOGIN_EXPIRED()
    return { user: login.user, returnTo: login.begunBy.returnTo, appState: undefined }
  }

  function returnToOf (request: AnyRequest): string | null {
    try {
      const { parameters } = parseCallbackAnswer(request, config)
      return transactions.find(request, parameters.get('state') as string)?.returnTo ?? null
    } catch {
      return null // no answer of a provider
    }
  }
}

/** The provider's "no", in its several forms (RFC 6749 §4.1.2.1). Its words go to the log, never to the page. */
function refuseError (answer: URLSearchParams): void {
  const error = answer.get('error')
  if (error === null) return
  const cause = new ProviderFailure(`authorization: ${quote(`${error}: ${answer.get('error_description') ?? ''}`)}`)
  if (error === 'access_denied' || INTERACTION_ERRORS.has(error)) throw new FST_AUTH0_LOGIN_DENIED({ cause })
  if (error === 'unmet_authentication_requirements') throw new FST_AUTH0_STEP_UP_FAILED({ cause })
  if (error === 'temporarily_unavailable') throw new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause })
  throw new FST_AUTH0_PROVIDER_FAILED({ cause })
}

/** Whether the same callback may work in a moment. */
function isPassing (error: unknown): boolean {
  return error instanceof FST_AUTH0_PROVIDER_UNAVAILABLE || error instanceof FST_AUTH0_SESSION_UNAVAILABLE
}
