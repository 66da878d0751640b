import { createHash } from 'node:crypto'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { clearCookie, cookieNames, readCookie, setCookie, type CookieAttributes } from './cookies.ts'

// Browsers keep 4,096 bytes of name and value (RFC 6265bis §5.7); the rest is for the name.
const MAX_VALUE = 3800
const GENERATION = 8 // characters
const FINGERPRINT = 22 // characters; as long as a seal's tag

/**
 * A long value in one cookie, or in several: `name.0`, `name.1`, … each as `generation.count.part`.
 *
 * The generation is the end of the whole value, which for a seal is its tag: parts of two values are never joined, whatever
 * order answers arrive in.
 */
export interface ChunkedCookie {
  /** The whole value; `null` when there is none, a part is missing, or parts do not belong together. */
  read (request: AnyRequest): string | null
  /** @param maxAge seconds */
  write (request: AnyRequest, reply: AnyReply, value: string, maxAge: number): void
  clear (request: AnyRequest, reply: AnyReply): void
  /** Tells the cookies that a request sent, of use or not, from others of their names; empty when it sent none. */
  fingerprint (request: AnyRequest): string
}

/** @param maxSize bytes of all parts together; a longer value is not read */
export function createChunkedCookie (name: string, maxSize: number, attributes: CookieAttributes): ChunkedCookie {
  const maxCount = Math.ceil(maxSize / MAX_VALUE)

  function readChunks (request: AnyRequest): string | null {
    const first = parseChunk(readCookie(request, `${name}.0`))
    if (first === null || first.count > maxCount) return null
    let value = first.part
    for (let index = 1; index < first.count; index++) {
      const chunk = parseChunk(readCookie(request, `${name}.${index}`))
      if (chunk === null || chunk.generation !== first.generation || chunk.count !== first.count) return null
      value += chunk.part
    }
    return value.endsWith(first.generation) ? value : null
  }

  function sentNames (request: AnyRequest): string[] {
    return cookieNames(request, name).filter(sent => sent === name || /^\.\d{1,2}$/.test(sent.slice(name.length)))
  }

  return {
    read (request) {
      const value = readCookie(request, name) ?? readChunks(request)
      return value !== null && value.length <= maxSize ? value : null
    },

    write (request, reply, value, maxAge) {
      const cookies = split(name, value)
      for (const [part, content] of cookies) setCookie(reply, part, content, maxAge, attributes)
      // The single one is read first, and a callback from another site may come without it: `SameSite` held it back.
      for (const stale of new Set([name, ...sentNames(request)])) if (!cookies.has(stale)) clearCookie(reply, stale, attributes)
    },

    clear (request, reply) {
      for (const sent of sentNames(request)) clearCookie(reply, sent, attributes)
    },

    fingerprint (request) {
      const sent = sentNames(request).map(part => `${part}=${readCookie(request, part)?.slice(-FINGERPRINT) ?? ''}`)
      // A hash is short, and no piece of the header, which it would keep in memory.
      return sent.length === 0 ? '' : createHash('sha256').update(sent.join(';')).digest('base64url')
    }
  }
}

function split (name: string, value: string): Map<string, string> {
  if (value.length <= MAX_VALUE) return new Map([[name, value]])
  const count = Math.ceil(value.length / MAX_VALUE)
  const generation = value.slice(-GENERATION)
  return new Map(Array.from({ length: count }, (_, index) =>
    [`${name}.${index}`, `${generation}.${count}.${value.slice(index * MAX_VALUE, (index + 1) * MAX_VALUE)}`]))
}

function parseChunk (cookie: string | null) {
  const [, generation, count, part] = /^([\w-]{8})\.([1-9]\d?)\.(.+)$/.exec(cookie ?? '') ?? []
  return generation === undefined || part === undefined ? null : { generation, count: Number(count), part }
}
