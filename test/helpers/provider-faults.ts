import { setTimeout as delay } from 'node:timers/promises'
import { ATTACKER } from './attacker.ts'
import { change, type Json } from './id-tokens.ts'

/** What a fault may use: the call's signal, and the answer an honest provider gives. */
export interface FaultContext {
  signal: AbortSignal
  honest: () => Promise<Response>
}

/** Answers in place of the provider. `honest()` does what the provider does, so it also spends the code. */
export type Answer = (context: FaultContext) => Response | Promise<Response>

const SIZE = 4 * 1024 * 1024
const CHUNK = 64 * 1024
const PATIENCE = 20_000 // milliseconds

const json = (body: string, status = 200, headers: Record<string, string> = {}) =>
  new Response(body, { status, headers: { 'content-type': 'application/json', ...headers } })
const says = (body: string, status?: number, headers?: Record<string, string>): Answer => () => json(body, status, headers)
const html = (status: number, headers: Record<string, string> = {}): Answer => () =>
  new Response('<!doctype html><title>Oops</title><h1>Something went wrong</h1>', { status, headers: { 'content-type': 'text/html', ...headers } })
const oauthError = (error: string, status = 400, headers?: Record<string, string>): Answer =>
  says(JSON.stringify({ error, error_description: `The provider says <b>${error}</b>` }), status, headers)
const broken = (code: string): Answer => () => {
  throw new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) })
}
const patched = (changes: Json): Answer => async ({ honest }) => {
  const response = await honest()
  if (!response.ok) return response
  return json(JSON.stringify(change(await response.json() as Json, changes)))
}
/** Waits as on an open socket: until the caller gives up, which must come before the test's patience ends. */
const never = (signal: AbortSignal) => new Promise<never>((_resolve, reject) => {
  const timer = setTimeout(() => reject(new Error('nobody gave up waiting')), PATIENCE)
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    reject(signal.reason)
  })
})
const halfOpen = () => {
  let timer: NodeJS.Timeout
  return new ReadableStream<Uint8Array>({
    start (controller) {
      controller.enqueue(Buffer.from('{'))
      timer = setTimeout(() => controller.error(new Error('nobody gave up reading')), PATIENCE)
    },
    cancel () { clearTimeout(timer) }
  })
}
/** A body that hands out one piece each time it is read. */
const streamed = (pieces: Iterable<string> | AsyncIterable<string>) => {
  async function * bytes () {
    for await (const piece of pieces) yield Buffer.from(piece)
  }
  const iterator = bytes()
  return new ReadableStream<Uint8Array>({
    async pull (controller) {
      const { done, value } = await iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel () { await iterator.return(undefined) }
  }, { highWaterMark: 0 })
}
const slices = function * (text: string, size: number) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size)
}
const stream = (body: ReadableStream) => new Response(body, { headers: { 'content-type': 'application/json' } })
/** The honest answer, with its body handed out in another way. */
const restreamed = (pieces: (text: string) => Iterable<string> | AsyncIterable<string>, headers: Record<string, string> = {}): Answer => async ({ honest }) => {
  const response = await honest()
  const text = await response.text()
  return new Response(streamed(pieces(text)), { status: response.status, headers: { ...Object.fromEntries(response.headers), ...headers } })
}
/** Made longer by white space at its end: still right, if one reads that far. */
const padded = (text: string) => slices(text + ' '.repeat(SIZE - Buffer.byteLength(text)), CHUNK)

/** What can go wrong, everywhere or at one endpoint. Where a client that does not defend itself reads on, it finds the honest answer. */
export const faults = {
  everywhere: {
    hang: ({ signal }) => never(signal),
    'hang after the headers': () => stream(halfOpen()),
    /** 10 bytes every 20 ms: the honest answer, in two seconds or more. */
    trickle: restreamed(async function * (text) {
      for (const piece of slices(text, 10)) {
        await delay(20)
        yield piece
      }
    }),
    /** 300 ms late. */
    slow: async ({ signal, honest }) => {
      await delay(300, undefined, { signal })
      return honest()
    },
    /** 4 MB, without saying so. */
    oversized: restreamed(padded),
    /** 4 MB, and says so. */
    'oversized, declared': restreamed(padded, { 'content-length': String(SIZE) }),
    endless: () => stream(streamed((function * () {
      yield '{"x":"'
      while (true) yield 'x'.repeat(CHUNK)
    })())),
    'connection reset': broken('ECONNRESET'),
    'connection refused': broken('ECONNREFUSED'),
    'unknown host': broken('ENOTFOUND'),
    'reset while reading': () => stream(streamed((function * () {
      yield '{"access_token":"'
      throw new TypeError('terminated', { cause: Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' }) })
    })())),
    400: html(400),
    401: html(401),
    403: html(403),
    404: html(404),
    429: html(429, { 'retry-after': '7' }),
    500: html(500),
    502: html(502),
    503: html(503, { 'retry-after': '7' }),
    html: html(200),
    'invalid JSON': says('{"access_token": '),
    'html called JSON': says('<html>'),
    'deep JSON': says('['.repeat(200_000) + ']'.repeat(200_000)),
    empty: says(''),
    array: says('[]'),
    null: says('null'),
    text: says('"text"'),
    'wrong content type': async ({ honest }) => new Response(await (await honest()).text(), { headers: { 'content-type': 'text/plain' } }),
    /** 307 to the attacker, who answers honestly whoever comes with the same request. */
    redirect: () => new Response(null, { status: 307, headers: { location: `${ATTACKER}/honest` } })
  },
  token: {
    invalid_request: oauthError('invalid_request'),
    invalid_client: oauthError('invalid_client', 401),
    'invalid_client with a challenge': oauthError('invalid_client', 401, { 'www-authenticate': 'Basic realm="provider"' }),
    invalid_grant: oauthError('invalid_grant'),
    access_denied: oauthError('access_denied', 403),
    unauthorized_client: oauthError('unauthorized_client'),
    temporarily_unavailable: oauthError('temporarily_unavailable', 503),
    'no access token': patched({ access_token: undefined }),
    'numeric access token': patched({ access_token: 7 }),
    'no id token': patched({ id_token: undefined }),
    'numeric id token': patched({ id_token: 7 }),
    'no token type': patched({ token_type: undefined }),
    'token type mac': patched({ token_type: 'mac' })
  },
  userinfo: {
    'other sub': patched({ sub: 'another' }),
    'no sub': patched({ sub: undefined }),
    'token refused': says('', 401, { 'www-authenticate': 'Bearer error="invalid_token"' })
  },
  discovery: {
    'other issuer': patched({ issuer: `${ATTACKER}/` }),
    'no issuer': patched({ issuer: undefined }),
    'http endpoints': async ({ honest }) => json((await (await honest()).text()).replaceAll(/(?<=_endpoint":")https:/g, 'http:')),
    'no endpoints': patched({ authorization_endpoint: undefined, token_endpoint: undefined, jwks_uri: undefined }),
    'numeric endpoints': patched({ authorization_endpoint: 7, token_endpoint: 7, jwks_uri: 7 })
  },
  jwks: {
    'no keys': patched({ keys: [] }),
    'keys that are no array': patched({ keys: {} }),
    '10,000 keys': async ({ honest }) => {
      const { keys: [key] } = await (await honest()).json() as { keys: [Json] }
      return json(JSON.stringify({ keys: Array.from({ length: 10_000 }, (_, n) => ({ ...key, kid: `key-${n}` })) }))
    }
  }
} satisfies Record<string, Record<string, Answer>>

type Faults = typeof faults

/** A fault's name, such as `hang` or `500`. */
export type FaultName = { [Group in keyof Faults]: `${keyof Faults[Group] & (string | number)}` }[keyof Faults]

/** What goes wrong: by name, as changes to the honest JSON (`undefined` removes), or as a function that answers. */
export type Fault = FaultName | { json: Json } | Answer

/** The function that answers with this fault. */
export function answerFor (fault: Fault): Answer {
  if (typeof fault === 'function') return fault
  if (typeof fault === 'object') return patched(fault.json)
  const byName: Record<string, Answer> = Object.assign({}, ...Object.values(faults))
  return byName[fault]!
}

/** What to do instead of the usual: for each of the next times, then always. */
export class Deviations<T> {
  always: T | undefined
  next: T[] = []

  take (): T | undefined {
    return this.next.shift() ?? this.always
  }

  clear (): void {
    this.always = undefined
    this.next = []
  }
}
