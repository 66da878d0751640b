import type { CustomFetch } from 'openid-client'
import { readAnswer } from './answer.ts'
import { NoAnswerError, UnusableAnswerError, quote } from './failures.ts'

/** What asks the provider. */
export type PlainFetch = (url: string, init: RequestInit) => Promise<Response>

/** What a bounded fetch needs to know. */
export interface BoundedFetchOptions {
  fetch: PlainFetch
  /** Milliseconds for a whole call, from the connection to the last byte. */
  timeout: number
  /** Aborts all calls under way. */
  closing: AbortSignal
  /** Whether the status of an answer says it all; else it must be JSON, or a JWT. Default: `false`. */
  ignoresContent?: boolean
}

/**
 * Makes a `fetch` that no provider can hurt us with: a total time-out also for a body that trickles, a limit on its size, no
 * redirect followed (it would carry a secret along), and no clear text beyond this machine (RFC 9700 §2.6).
 */
export function createBoundedFetch ({ fetch, timeout, closing, ignoresContent = false }: BoundedFetchOptions): CustomFetch {
  async function fetchWhole (url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    signal.throwIfAborted()
    return readAnswer(await fetch(url, init), signal, ignoresContent)
  }

  return async (url, init) => {
    const { origin, pathname } = assertConfidential(new URL(url))
    const deadline = startDeadline(timeout, closing)
    const { signal } = deadline
    // `init` is openid-client's: its body is no stream, and its own signal knows nothing of the answer's body.
    const request = { ...init, redirect: 'manual', signal } as RequestInit
    const toOurError = (error: unknown) =>
      error instanceof UnusableAnswerError ? error : new NoAnswerError(`no answer from ${origin}${pathname}: ${describe(error)}`)
    // A race, since an application's own `fetch` may not know of signals.
    return Promise.race([fetchWhole(url, request, signal), deadline.passed])
      .catch(error => { throw toOurError(error) })
      .finally(deadline.stop)
  }
}

/** Whether a URL's host is this very machine, where `http:` is nobody else's to read. */
export function isLoopback (url: URL): boolean {
  return url.hostname === 'localhost' || url.hostname.endsWith('.localhost') || url.hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
}

/** Whether nobody else can read along. */
export function isConfidential (url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))
}

/** Gives back a URL that nobody else can read along, and refuses any other. */
export function assertConfidential (url: URL): URL {
  if (isConfidential(url)) return url
  throw new UnusableAnswerError(`the provider names an endpoint that is not https: ${url.protocol}//${url.host}`)
}

function startDeadline (timeout: number, closing: AbortSignal) {
  const controller = new AbortController()
  const { signal } = controller
  const giveUp = (reason: string) => controller.abort(new Error(reason))
  const onClosing = () => giveUp('the application is closing')
  if (closing.aborted) onClosing()
  closing.addEventListener('abort', onClosing)
  const timer = setTimeout(giveUp, timeout, `not complete within ${timeout} ms`)
  const passed = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const stop = () => {
    clearTimeout(timer)
    closing.removeEventListener('abort', onClosing)
  }
  return { signal, passed, stop }
}

/** Node's `fetch` says "fetch failed", and why in its cause. An application's own may say anything. */
function describe (error: unknown): string {
  if (!(error instanceof Error)) return quote(String(error))
  const cause = error.cause as Error & { code?: string } | null | undefined
  return [quote(error.message), cause?.code ?? quote(cause?.message ?? '')].filter(text => text !== '').join(': ')
}
