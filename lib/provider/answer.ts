import { UnusableAnswerError } from './failures.ts'
import { isTooDeep } from './nesting.ts'

const MAX_BYTES = 512 * 1024 // discovery, key sets and tokens are a few kilobytes

/**
 * Reads an answer of the provider to its end. A success must be JSON, or a JWT, as all that we ask for is.
 *
 * @param signal ends the reading
 * @param ignoresContent whether the status says it all
 * @throws {UnusableAnswerError}
 */
export async function readAnswer ({ status, headers, redirected, body }: Response, signal: AbortSignal, ignoresContent: boolean): Promise<Response> {
  const reader = body?.getReader()
  const letGo = () => { reader?.cancel().catch(() => {}) } // the connection, not only the promise
  signal.addEventListener('abort', letGo)
  try {
    signal.throwIfAborted()
    if (redirected || isRedirect(status)) throw new UnusableAnswerError(`a redirect instead of an answer (${status})`)
    const bytes = reader === undefined ? Buffer.alloc(0) : await readWhole(reader)
    if (isSuccess(status) && !ignoresContent && !isJwt(headers)) assertJson(bytes.toString())
    return new Response(bytes.length > 0 ? bytes : null, { status, headers })
  } finally {
    signal.removeEventListener('abort', letGo)
    letGo()
  }
}

async function readWhole (reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Buffer<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  let size = 0
  while (true) {
    const { done, value } = await reader.read()
    if (done) return Buffer.concat(parts)
    size += value.length
    if (size > MAX_BYTES) throw new UnusableAnswerError(`an answer of more than ${MAX_BYTES} bytes`)
    parts.push(value)
  }
}

function isRedirect (status: number): boolean {
  return status >= 300 && status < 400
}

function isSuccess (status: number): boolean {
  return status >= 200 && status < 300
}

/** UserInfo may be one (OpenID Connect Core 1.0 §5.3.2). */
function isJwt (headers: Headers): boolean {
  return headers.get('content-type')?.split(';')[0] === 'application/jwt'
}

function assertJson (text: string): void {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new UnusableAnswerError('an answer that is not JSON') // the parser's message would quote it
  }
  if (isTooDeep(value)) throw new UnusableAnswerError('an answer that nests too deep')
}
