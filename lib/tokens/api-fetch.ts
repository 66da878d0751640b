import { FST_AUTH0_OPTIONS_INVALID, FST_AUTH0_REFRESH_TOKEN_MISSING } from '../errors.ts'
import { isConfidential } from '../provider/bounded-fetch.ts'
import { createBoundFetch, discard, isRepeatable } from '../provider/bound-fetch.ts'
import type { DpopProofs } from '../provider/dpop.ts'
import type { GivenToken, WantedToken } from './access-tokens.ts'
import type { TargetOptions } from './login-tokens.ts'
import { verifyTargetOptions } from './verify-token-options.ts'

/** A parameter of a challenge (RFC 9110 §11.2), a quoted value as a whole: what it says is no parameter. */
const AUTH_PARAM = /(?<![\w!#$%&'*+.^`|~-])([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/g

/** A request to an API, as of `fetch`; and for which access token, when not that of the login. */
export interface ApiRequest extends RequestInit {
  accessToken?: TargetOptions | undefined
}

/** In whose name an API is called. */
export interface ApiCaller {
  token (wanted: WantedToken): Promise<GivenToken>
}

/**
 * Calls an API with an access token. When the API says that the token is not good any more (RFC 6750 §3.1 `invalid_token`), once more with a new one, unless the
 * body is a stream, which can be sent only once, or the token was just received. With a token that is bound to a key it follows no redirect.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} 500 for an address where others could read the token: not https, nor on this machine; and for a `Request`
 * @throws what `getAccessToken` throws
 */
export type ApiFetch = (caller: ApiCaller, url: string | URL, init?: ApiRequest | null) => Promise<Response>

export function createApiFetch (fetch: typeof globalThis.fetch, proofs: DpopProofs): ApiFetch {
  const boundFetch = createBoundFetch(fetch, proofs)

  return async (caller, url, options) => {
    const address = verifyAddress(url)
    const { accessToken: target, ...init } = verifyRequest(options ?? {})
    const wanted = verifyTargetOptions('auth0.fetch, "accessToken"', target)
    const headers = new Headers(init.headers)

    async function call ({ tokenSet: { accessToken, tokenType }, dpopKey }: GivenToken): Promise<Response> {
      if (tokenType === 'DPoP') return boundFetch(address, { ...init, headers }, { accessToken, key: dpopKey })
      headers.set('authorization', `Bearer ${accessToken}`)
      return fetch(address.href, { ...init, headers })
    }

    const given = await caller.token(wanted)
    const { accessToken: refused } = given.tokenSet
    const response = await call(given)
    if (!saysInvalidToken(response) || !isRepeatable(init.body)) return response
    const other = await caller.token({ ...wanted, refused }).catch(async error => {
      if (error instanceof FST_AUTH0_REFRESH_TOKEN_MISSING) return given
      await discard(response)
      throw error
    })
    if (other.tokenSet.accessToken === refused) return response // what the API said is all there is
    await discard(response)
    return call(other)
  }
}

function verifyAddress (url: string | URL): URL {
  verify(typeof url === 'string' || url instanceof URL, 'the address must be a string or a URL. Of a Request give "url", and "method", "headers" and "body" as options')
  const address = new URL(url)
  verify(isConfidential(address), 'the address must be https, or on this machine')
  return address
}

/** What is inherited, as all of a `Request` is, would be lost on the way: a PUT would become a GET. */
function verifyRequest (options: ApiRequest): ApiRequest {
  const isPlain = typeof options === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(options))
  verify(isPlain, 'options must be a plain object. Of a Request give "method", "headers" and "body"')
  return options
}

function verify (isRight: boolean, problem: string): void {
  if (!isRight) throw new FST_AUTH0_OPTIONS_INVALID(`- auth0.fetch: ${problem}`)
}

function saysInvalidToken ({ status, headers }: Response): boolean {
  if (status !== 401) return false
  const params = [...(headers.get('www-authenticate') ?? '').matchAll(AUTH_PARAM)]
  return params.some(([, name = '', quoted, token]) => name.toLowerCase() === 'error' && (quoted ?? token) === 'invalid_token')
}
