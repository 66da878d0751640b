import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import type { PlainFetch } from './bounded-fetch.ts'

/** What a client shows in the TLS handshake, as PEM. */
export interface ClientCertificate {
  /** It, and those between it and its root. */
  readonly cert: string
  readonly key: string
  /** Whom to trust in place of Node's own roots. */
  readonly ca?: readonly string[]
}

const BODILESS = new Set([204, 205, 304]) // no `Response` with such a status may have a body
const MAX_STATUS = 599 // of a `Response`, which throws at more

/**
 * Makes a `fetch` that shows a certificate to whom it asks (RFC 8705 §2). Node's own shows none; that of undici would, at the price of a dependency.
 *
 * Each call has a connection of its own: they are few, and one that is kept may end just when the next code is sent.
 */
export function createCertifiedFetch ({ ca, ...own }: ClientCertificate): PlainFetch {
  const agent = new Agent({ ...own, ...ca && { ca: [...ca] }, keepAlive: false })
  return async (url, { method, headers, body, signal }) => {
    const outgoing = request(url, { agent, method, headers: Object.fromEntries(new Headers(headers)), ...signal && { signal } })
    outgoing.on('error', () => {}) // of what comes after the head of an answer, its body tells
    outgoing.end(body === null || body === undefined ? undefined : String(body))
    const [incoming] = await once(outgoing, 'response') as [IncomingMessage]
    const status = Number(incoming.statusCode)
    const isBodiless = BODILESS.has(status) || status > MAX_STATUS
    if (isBodiless) incoming.destroy()
    return new Response(isBodiless ? null : ReadableStream.from(incoming), { status, headers: headersOf(incoming) })
  }
}

function headersOf ({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers()
  for (let index = 0; index < rawHeaders.length; index += 2) headers.append(rawHeaders[index] as string, rawHeaders[index + 1] as string)
  return headers
}
