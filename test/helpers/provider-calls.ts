import { ATTACKER } from './attacker.ts'
import { endpointAt, type Endpoint } from './provider-metadata.ts'

/** A request that reached the provider, or the attacker's host. */
export interface Call {
  endpoint: Endpoint | 'attacker' | null
  method: string
  url: URL
  path: string
  headers: Headers
  body: string
  /** The parameters of a form body. */
  params: URLSearchParams
  /** How much of the answer's body was read. */
  bytesRead: number
  /** Whether the caller gave up: aborted the call, or cancelled the answer's body. */
  aborted: boolean
}

const PIECE = 64 * 1024 // bytes, about what a socket gives at once

/** Reads a request. */
export async function readCall (issuer: string, request: Request): Promise<Call> {
  const url = new URL(request.url)
  const body = await request.text()
  const isForm = request.headers.get('content-type')?.startsWith('application/x-www-form-urlencoded')
  return {
    endpoint: url.origin === ATTACKER ? 'attacker' : endpointAt(issuer, url),
    method: request.method,
    url,
    path: url.pathname,
    headers: request.headers,
    body,
    params: new URLSearchParams(isForm ? body : ''),
    bytesRead: 0,
    aborted: false
  }
}

/** The same answer, whose body comes in pieces, breaks off with the signal, and tells the call how much of it was read. */
export function observed (response: Response, call: Call, signal: AbortSignal): Response {
  if (response.body === null) return response
  const reader = response.body.getReader()
  let rest = new Uint8Array()
  const body = new ReadableStream<Uint8Array>({
    start (controller) {
      signal.addEventListener('abort', () => {
        controller.error(signal.reason)
        reader.cancel().catch(() => {})
      })
    },
    async pull (controller) {
      if (rest.byteLength === 0) {
        const { done, value } = await reader.read()
        if (done) return controller.close()
        rest = value
      }
      const piece = rest.subarray(0, PIECE)
      rest = rest.subarray(PIECE)
      call.bytesRead += piece.byteLength
      controller.enqueue(piece)
    },
    async cancel () {
      call.aborted = true
      await reader.cancel()
    }
  }, { highWaterMark: 0 })
  return new Response(body, { status: response.status, headers: response.headers })
}
