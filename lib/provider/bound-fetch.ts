import { FST_AUTH0_LOGIN_REQUIRED } from '../errors.ts'
import type { DpopKey } from '../session/sessions.ts'
import { openidClient } from './client.ts'
import type { DpopProofs } from './dpop.ts'

/** An access token that is bound to a key. */
export interface BoundToken {
  accessToken: string
  key: DpopKey | undefined
}

/**
 * Calls an API with a token that is bound to a key, and once more when the API asks for a nonce, unless the body can be sent only once (RFC 9449 §7.1, §9).
 * Follows no redirect: the proof is for one address (§4.2 `htu`), and nobody else's to see.
 *
 * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when the key is missing: without proof the token would be anybody's
 */
export type BoundFetch = (url: URL, init: RequestInit & { headers: Headers }, token: BoundToken) => Promise<Response>

export function createBoundFetch (fetch: typeof globalThis.fetch, proofs: DpopProofs): BoundFetch {
  return async (url, init, { accessToken, key }) => {
    if (key === undefined) throw new FST_AUTH0_LOGIN_REQUIRED()
    const openid = await openidClient()
    const redirect = init.redirect === 'error' ? 'error' : 'manual'
    let first: Response | null = null
    let failure: unknown // as `fetch` threw it; openid-client would wrap it
    const configuration = new openid.Configuration({ issuer: url.origin }, 'unused') // it sends neither to an API
    openid.allowInsecureRequests(configuration) // whoever calls has looked at the address
    configuration[openid.customFetch] = async (href, { headers }) => {
      if (first !== null && !isRepeatable(init.body)) return first
      if (first !== null) await discard(first)
      first = await fetch(href, { ...init, headers: withProof(init.headers, headers), redirect }).catch(error => { throw failure = error })
      return first
    }
    const proof = await proofs.options(configuration, key)
    try {
      return await openid.fetchProtectedResource(configuration, accessToken, url, init.method ?? 'GET', null, new Headers(), proof)
    } catch (error) {
      if (error instanceof openid.WWWAuthenticateChallengeError) return error.response
      throw failure ?? error
    }
  }
}

/** What openid-client adds beyond the proof, such as its name, is for the caller to say. */
function withProof (own: Headers, { authorization, dpop }: Record<string, string>): Headers {
  const headers = new Headers(own)
  headers.set('authorization', authorization as string)
  headers.set('dpop', dpop as string)
  return headers
}

/** Frees the connection of an answer that nobody will read, whatever became of it. */
export async function discard ({ body }: Response): Promise<void> {
  await body?.cancel().catch(() => {})
}

/** Whether sending a body does not use it up. */
export function isRepeatable (body: RequestInit['body']): boolean {
  return !(body instanceof ReadableStream) && !(typeof body === 'object' && body !== null && Symbol.asyncIterator in body)
}
