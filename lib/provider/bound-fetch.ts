import type { DpopKey } from '../session/sessions.ts'
import { openidClient } from './client.ts'
import type { DpopProofs } from './dpop.ts'

/** An access token that is bound to a key. */
export interface BoundToken {
  accessToken: string
  key: DpopKey
}

/** Calls an API with a token that is bound to a key, and once more when the API asks for a nonce, unless the body can be sent only once (RFC 9449 §7.1, §9). */
export type BoundFetch = (url: URL, init: RequestInit & { headers: Headers }, token: BoundToken) => Promise<Response>

export function createBoundFetch (fetch: typeof globalThis.fetch, proofs: DpopProofs): BoundFetch {
  return async (url, init, { accessToken, key }) => {
    const openid = await openidClient()
    let first: Response | null = null
    let failure: unknown // as `fetch` threw it; openid-client would wrap it
    const configuration = new openid.Configuration({ issuer: url.origin }, 'unused') // it sends neither to an API
    openid.allowInsecureRequests(configuration) // whoever calls has looked at the address
    configuration[openid.customFetch] = async (href, { headers }) => {
      if (first !== null && !isRepeatable(init.body)) return first
      await first?.body?.cancel()
      first = await fetch(href, { ...init, headers }).catch(error => { throw failure = error })
      return first
    }
    const options = await proofs.options(configuration, key)
    try {
      return await openid.fetchProtectedResource(configuration, accessToken, url, init.method ?? 'GET', null, init.headers, options)
    } catch (error) {
      if (error instanceof openid.WWWAuthenticateChallengeError) return error.response
      throw failure ?? error
    }
  }
}

/** Whether sending a body does not use it up. */
export function isRepeatable (body: RequestInit['body']): boolean {
  return !(body instanceof ReadableStream) && !(typeof body === 'object' && body !== null && Symbol.asyncIterator in body)
}
