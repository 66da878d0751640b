import { FST_AUTH0_OPTIONS_INVALID, FST_AUTH0_REFRESH_TOKEN_MISSING } from '../errors.ts'
import { isConfidential } from '../provider/bounded-fetch.ts'
import { createBoundFetch, isRepeatable } from '../provider/bound-fetch.ts'
import type { DpopProofs } from '../provider/dpop.ts'
import type { DpopKey } from '../session/sessions.ts'
import type { AccessTokenOptions, TokenSet } from './access-tokens.ts'
import type { TargetOptions } from './login-tokens.ts'

/** A request to an API, as of `fetch`; and for which access token, when not that of the login. */
export interface ApiRequest extends RequestInit {
  accessToken?: TargetOptions | undefined
}

/** In whose name an API is called. */
export interface ApiCaller {
  getTokenSet (options: AccessTokenOptions): Promise<TokenSet>
  /** What the tokens of the session are bound to, if they are. */
  dpopKey (): DpopKey | undefined
}

/**
 * Calls an API with an access token. When the API says that the token is not good any more (RFC 6750 §3.1 `invalid_token`), once more with a new one, unless the
 * body is a stream, which can be sent only once.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} 500 for an address where others could read the token: not https, nor on this machine
 * @throws what `getAccessToken` throws
 */
export type ApiFetch = (caller: ApiCaller, url: string | URL, init?: ApiRequest) => Promise<Response>

export function createApiFetch (fetch: typeof globalThis.fetch, proofs: DpopProofs): ApiFetch {
  const boundFetch = createBoundFetch(fetch, proofs)

  return async (caller, url, { accessToken: target, ...init } = {}) => {
    const address = new URL(url)
    if (!isConfidential(address)) throw new FST_AUTH0_OPTIONS_INVALID('- auth0.fetch: the address must be https, or on this machine')
    const call = async ({ accessToken, tokenType }: TokenSet) => {
      const headers = new Headers(init.headers)
      if (tokenType === 'DPoP') return boundFetch(address, { ...init, headers }, { accessToken, key: caller.dpopKey() as DpopKey })
      headers.set('authorization', `Bearer ${accessToken}`)
      return fetch(url, { ...init, headers })
    }
    const response = await call(await caller.getTokenSet({ ...target }))
    if (!saysInvalidToken(response) || !isRepeatable(init.body)) return response
    const renewed = await caller.getTokenSet({ ...target, forceRefresh: true }).catch(ifMissing)
    if (renewed === null) return response
    await response.body?.cancel()
    return call(renewed)
  }
}

function saysInvalidToken ({ status, headers }: Response): boolean {
  return status === 401 && /\berror="?invalid_token\b/.test(headers.get('www-authenticate') ?? '')
}

/** Then what the API said is all there is. */
function ifMissing (error: unknown): null {
  if (error instanceof FST_AUTH0_REFRESH_TOKEN_MISSING) return null
  throw error
}
