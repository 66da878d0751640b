import {
  FST_AUTH0_ACCESS_TOKEN_DENIED, FST_AUTH0_ID_TOKEN_INVALID, FST_AUTH0_INTERACTION_REQUIRED, FST_AUTH0_LOGIN_EXPIRED, FST_AUTH0_PROVIDER_FAILED,
  FST_AUTH0_PROVIDER_UNAVAILABLE, FST_AUTH0_REFRESH_TOKEN_REFUSED
} from '../errors.ts'

const MAX_DESCRIPTION = 200 // characters
const MAX_CAUSES = 5
const MAX_RETRY_AFTER = 3600 // seconds

/** The provider gave no whole answer: no connection, too slow, or we are closing. */
export class NoAnswerError extends Error {}

/** The provider's answer, or the way to it, is one that we do not take. */
export class UnusableAnswerError extends Error {}

/** Why the provider failed, for the log: no body, no claims, no token, since answers of the provider hold secrets. */
export class ProviderFailure extends Error {
  /** Seconds after which the provider asks to be tried again. */
  readonly retryAfter: number | null

  constructor (message: string, retryAfter: number | null = null) {
    super(message)
    this.name = 'ProviderFailure'
    this.retryAfter = retryAfter
  }
}

/**
 * Turns what openid-client throws into one of our errors. Its own must go no further: their causes hold whole answers.
 *
 * @param during what was being done, for the log, e.g. `discovery`
 */
export function providerError (error: unknown, during: string): Error {
  const causes = causeChain(error)
  const response = responseOf(causes)
  const cause = new ProviderFailure(`${during}: ${describe(causes)}`, retryAfter(response))
  if (causes.some(isNoAnswer) || isOverloaded(response)) return new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause })
  return new FST_AUTH0_PROVIDER_FAILED({ cause })
}

/** As `providerError`, for a code that is redeemed: it may have been used before, be too old, or not be of this login (RFC 6749 §5.2). */
export function codeError (error: unknown): Error {
  const causes = causeChain(error)
  const isSpent = causes.some(cause => errorCodeOf(cause) === 'invalid_grant')
  if (!isSpent || isOverloaded(responseOf(causes))) return providerError(error, 'token endpoint')
  return new FST_AUTH0_LOGIN_EXPIRED({ cause: new ProviderFailure(`token endpoint: ${describe(causes)}`) })
}

/** What the token endpoint says to a refresh, by error code; statuses differ (RFC 6749 §5.2; OpenID Connect Core 1.0 §3.1.2.6; RFC 8707 §2; Auth0). */
const REFRESH_ERRORS = new Map(Object.entries({
  invalid_grant: FST_AUTH0_REFRESH_TOKEN_REFUSED,
  mfa_required: FST_AUTH0_INTERACTION_REQUIRED,
  interaction_required: FST_AUTH0_INTERACTION_REQUIRED,
  login_required: FST_AUTH0_INTERACTION_REQUIRED,
  consent_required: FST_AUTH0_INTERACTION_REQUIRED,
  account_selection_required: FST_AUTH0_INTERACTION_REQUIRED,
  unmet_authentication_requirements: FST_AUTH0_INTERACTION_REQUIRED,
  access_denied: FST_AUTH0_ACCESS_TOKEN_DENIED,
  invalid_scope: FST_AUTH0_ACCESS_TOKEN_DENIED,
  invalid_target: FST_AUTH0_ACCESS_TOKEN_DENIED
}))

/** As `providerError`, for a refresh. A provider that is overloaded has not decided anything, whatever it says. */
export function refreshError (error: unknown): Error {
  const causes = causeChain(error)
  const KnownError = causes.map(cause => REFRESH_ERRORS.get(errorCodeOf(cause) ?? '')).find(known => known !== undefined)
  if (KnownError === undefined || isOverloaded(responseOf(causes))) return providerError(error, 'refresh')
  return new KnownError({ cause: new ProviderFailure(`refresh: ${describe(causes)}`) })
}

/** As `providerError`, for what openid-client throws once it has an ID token and keys. */
export function idTokenError (error: unknown): Error {
  return new FST_AUTH0_ID_TOKEN_INVALID({ cause: new ProviderFailure(`ID token: ${describe(causeChain(error))}`) })
}

/** Whether there was no answer, none that we take, or one whose status says no: nothing that could be wrong about a person. */
export function isFailedRequest (error: unknown): boolean {
  const causes = causeChain(error)
  return causes.some(cause => isNoAnswer(cause) || cause instanceof UnusableAnswerError) || responseOf(causes) !== undefined
}

/** Whether a member of an answer's JSON is missing or wrong. openid-client tells it by a cause that holds the answer's body. */
export function isIncompleteAnswer (error: unknown): boolean {
  return causeChain(error).some(cause => typeof cause === 'object' && cause !== null && 'body' in cause)
}

/** Whether an ID token names another issuer, or another client, than it should. openid-client tells which claim was wrong in its last cause. */
export function isOtherParty (error: unknown): boolean {
  const claim = (causeChain(error).at(-1) as { claim?: unknown } | null)?.claim
  return claim === 'iss' || claim === 'aud'
}

/** The error, its cause, that one's cause…; last something that is no error, if that is how it ends. */
function causeChain (error: unknown): unknown[] {
  const chain = [error]
  while (chain.length < MAX_CAUSES) {
    const last = chain.at(-1)
    if (!(last instanceof Error) || last.cause === undefined) break
    chain.push(last.cause)
  }
  return chain
}

function responseOf (causes: unknown[]): Response | undefined {
  return causes.flatMap(cause => [cause, (cause as { response?: unknown } | null)?.response]).find(value => value instanceof Response)
}

function isNoAnswer (cause: unknown): boolean {
  return cause instanceof NoAnswerError
}

function isOverloaded (response: Response | undefined): boolean {
  return response !== undefined && (response.status === 429 || response.status >= 500)
}

/** What an answer that is an error says (RFC 6749 §5.2). */
function errorCodeOf (cause: unknown): string | null {
  return cause instanceof Error && 'error' in cause && typeof cause.error === 'string' ? cause.error : null
}

function describe (causes: unknown[]): string {
  return [...new Set(causes.map(describeCause))].filter(text => text !== '').join(': ')
}

/** Libraries' own words only, and the error code: a description may repeat a code or a secret that was sent. */
function describeCause (cause: unknown): string {
  if (cause instanceof Response) return `status ${cause.status}`
  if (!(cause instanceof Error) || cause instanceof SyntaxError) return '' // a parser's message quotes what it read
  const { error } = cause as { error?: unknown }
  return error === undefined ? cause.message : `${cause.message} (${quote(String(error))})`
}

/**
 * Text of the provider for a log line: cut short, and without whatever looks like a code or a token. Some repeat in a
 * description what they were sent.
 */
export function quote (text: string): string {
  return text.replace(/[\w.~+/=-]{20,}/g, '…').slice(0, MAX_DESCRIPTION)
}

/** In seconds; both forms of RFC 9110 §10.2.3. */
function retryAfter (response: Response | undefined): number | null {
  const header = response?.headers.get('retry-after') ?? ''
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000)
  return seconds > 0 && seconds <= MAX_RETRY_AFTER ? seconds : null
}
