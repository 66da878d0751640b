import type { CustomFetch } from 'openid-client'

const MAX_BYTES = 512 * 1024 // discovery, key sets and tokens are a few kilobytes

/** The provider gave no whole answer: no connection, too slow, or we are closing. */
export class NoAnswerError extends Error {}

/** The provider's answer, or the way to it, is one that we do not take. */
export class UnusableAnswerError extends Error {}

/** What a bounded fetch needs to know. */
export interface BoundedFetchOptions {
  fetch: typeof globalThis.fetch
  /** Milliseconds for a whole call, from the connection to the last byte. */
  timeout: number
  /** Aborts all calls under way. */
  closing: AbortSignal
}

/**
 * Makes a `fetch` that no provider can hurt us with: a total time-out also for a body that trickles, a limit on its size, no
 * redirect followed (it would carry a secret along), and no clear text beyond this machine (RFC 9700 §2.6).
 */
export function createBoundedFetch ({ fetch, timeout, closing }: BoundedFetchOptions): CustomFetch {
  return async (url, init) => {
    assertConfidential(new URL(url))
    const deadline = startDeadline(timeout, closing)
    // `init` is openid-client's: its body is no stream, and its own time-out is longer than ours.
    const request = { ...init, redirect: 'manual', signal: deadline.signal } as RequestInit
    try {
      return await Promise.race([fetchWhole(fetch, url, request), deadline.passed])
    } catch (error) {
      if (error instanceof UnusableAnswerError) throw error
      throw new NoAnswerError(`no answer from ${new URL(url).origin}: ${describe(error)}`)
    } finally {
      deadline.stop()
    }
  }
}

/** Whether a URL's host is this very machine, where `http:` is nobody else's to read. */
export function isLoopback (url: URL): boolean {
  return url.hostname === 'localhost' || url.hostname.endsWith('.localhost') || url.hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
}

/** Refuses a URL that others could read along. */
export function assertConfidential (url: URL): void {
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))) return
  throw new UnusableAnswerError(`the provider names an endpoint that is not https: ${url.origin}`)
}

function startDeadline (timeout: number, closing: AbortSignal) {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error(`not complete within ${timeout} ms`)), timeout)
  const onClosing = () => controller.abort(new Error('the application is closing'))
  if (closing.aborted) onClosing()
  closing.addEventListener('abort', onClosing)
  const passed = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason))
    if (controller.signal.aborted) reject(controller.signal.reason)
  })
  passed.catch(() => {}) // nobody may be waiting any more
  const stop = () => {
    clearTimeout(timer)
    closing.removeEventListener('abort', onClosing)
  }
  return { signal: controller.signal, passed, stop }
}

async function fetchWhole (fetch: typeof globalThis.fetch, url: string, init: RequestInit): Promise<Response> {
  const { status, headers, body } = await fetch(url, init)
  if (status >= 300 && status < 400) {
    await body?.cancel()
    throw new UnusableAnswerError(`${new URL(url).pathname} answered with a redirect (${status})`)
  }
  const bytes = await readWhole(body)
  return new Response(bytes.length > 0 ? bytes : null, { status, headers })
}

async function readWhole (body: ReadableStream<Uint8Array> | null): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of body ?? []) {
    size += part.length
    if (size > MAX_BYTES) throw new UnusableAnswerError(`an answer is longer than ${MAX_BYTES} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function describe (error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}
