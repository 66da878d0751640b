import {
  FST_AUTH0_LOGIN_EXPIRED, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_PROVIDER_UNAVAILABLE
} from '../errors.ts'
import { NoAnswerError } from './bounded-fetch.ts'

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
  const response = causes.find(cause => cause instanceof Response) ?? responseOf(causes)
  const cause = new ProviderFailure(`${during}: ${describe(causes)}`, retryAfter(response))
  if (causes.some(isNoAnswer) || isOverloaded(response)) return new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause })
  if (causes.some(isSpentCode)) return new FST_AUTH0_LOGIN_EXPIRED({ cause })
  return new FST_AUTH0_PROVIDER_FAILED({ cause })
}

/** Whether there was no answer, or one whose status says no: nothing that could be wrong about a person. */
export function isFailedRequest (error: unknown): boolean {
  const causes = causeChain(error)
  return causes.some(isNoAnswer) || causes.some(cause => cause instanceof Response) || responseOf(causes) !== undefined
}

function causeChain (error: unknown): unknown[] {
  const chain: unknown[] = []
  for (let cause = error; cause !== undefined && chain.length < 5; cause = (cause as Error).cause) {
    chain.push(cause)
    if (!(cause instanceof Error)) break
  }
  return chain
}

function responseOf (causes: unknown[]): Response | undefined {
  const [error] = causes as Array<{ response?: unknown }>
  return error?.response instanceof Response ? error.response : undefined
}

function isNoAnswer (cause: unknown): boolean {
  return cause instanceof NoAnswerError
}

function isOverloaded (response: Response | undefined): boolean {
  return response !== undefined && (response.status === 429 || response.status >= 500)
}

/** The code was used before, is too old, or is not of this login (RFC 6749 §5.2). */
function isSpentCode (cause: unknown): boolean {
  return (cause as { error?: unknown }).error === 'invalid_grant'
}

/** Messages only. What the provider wrote itself is cut short. */
function describe (causes: unknown[]): string {
  const messages = causes.map(cause => {
    if (cause instanceof Response) return `status ${cause.status}`
    if (!(cause instanceof Error)) return ''
    const { error, error_description: description } = cause as { error?: unknown, error_description?: unknown }
    return typeof error === 'string' ? `${cause.message} (${`${error}: ${description ?? ''}`.slice(0, 200)})` : cause.message
  })
  return [...new Set(messages)].filter(message => message !== '').join(': ')
}

/** In seconds; both forms of RFC 9110 §10.2.3. */
function retryAfter (response: Response | undefined): number | null {
  const header = response?.headers.get('retry-after')
  if (header === null || header === undefined) return null
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000)
  return seconds > 0 && seconds <= 3600 ? seconds : null
}
