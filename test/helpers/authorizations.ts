import { createHash, randomBytes } from 'node:crypto'
import type { Json } from './id-tokens.ts'

/** A person's consent to a client's request: what a code stands for, and the tokens that come of it. */
export interface Grant {
  request: URLSearchParams
  user: Json
  authTime: number
  /** The provider's session, by the name that its ID tokens give it. */
  sid: string
  /** The thumbprint of the key that the tokens are bound to; `null`: they are not. */
  jkt?: string | null
}

/** An OAuth error that the provider answers with. */
export class OAuthError extends Error {
  constructor (readonly error: string, readonly description: string, readonly status = 400) {
    super(`${error}: ${description}`)
  }
}

/** Something that nobody guesses, which says what it is. */
export const random = (prefix: string): string => `${prefix}-${randomBytes(24).toString('base64url')}`

const required = ['client_id', 'redirect_uri', 'response_type', 'scope', 'state', 'nonce', 'code_challenge', 'code_challenge_method']

/** Checks an authorization request as a strict provider does (RFC 9700 §2.1); throws what is wrong with it. */
export function checkRequest (request: URLSearchParams, clientId: string, redirectUris: string[] | undefined): void {
  const check = (holds: boolean | undefined, description: string) => {
    if (!holds) throw new OAuthError('invalid_request', description)
  }
  for (const name of new Set(request.keys())) check(request.getAll(name).length === 1, `${name} is repeated`)
  for (const name of required) check(Boolean(request.get(name)), `${name} is missing`)
  check(request.get('client_id') === clientId, 'client_id is unknown')
  check(request.get('response_type') === 'code', 'response_type must be code')
  check(request.get('scope')?.split(' ').includes('openid'), 'scope must include openid')
  check(request.get('code_challenge_method') === 'S256', 'code_challenge_method must be S256')
  check(/^[\w-]{43}$/.test(request.get('code_challenge')!), 'code_challenge must be a SHA-256')
  check(['query', 'form_post', 'jwt', 'query.jwt', 'form_post.jwt', null].includes(request.get('response_mode')), 'response_mode is unknown')
  check(!redirectUris || redirectUris.includes(request.get('redirect_uri')!), 'redirect_uri is not registered')
  check(!request.has('client_secret') && !request.has('code_verifier'), 'a secret is in the front channel')
}

/** Codes that the provider gave out: each good once, for ten minutes, for the client that asked. */
export class Codes {
  #grants = new Map<string, Grant>()

  issue (grant: Grant): string {
    const code = `code-${randomBytes(16).toString('hex')}`
    this.#grants.set(code, grant)
    return code
  }

  /** Exchanges a code, once (RFC 6749 §4.1.3, RFC 7636 §4.6). */
  redeem (body: URLSearchParams): Grant {
    const grant = this.#grants.get(body.get('code') ?? '')
    this.#grants.delete(body.get('code') ?? '')
    if (grant === undefined) throw new OAuthError('invalid_grant', 'Invalid authorization code')
    const { request, authTime } = grant
    const challenge = createHash('sha256').update(body.get('code_verifier') ?? '').digest('base64url')
    if (challenge !== request.get('code_challenge')) throw new OAuthError('invalid_grant', 'Failed to verify code verifier')
    if (body.get('redirect_uri') !== request.get('redirect_uri')) throw new OAuthError('invalid_grant', 'The redirect URI is wrong')
    if (Date.now() / 1000 > authTime + 600) throw new OAuthError('invalid_grant', 'The code has expired')
    return grant
  }
}

/** Authorization requests that were pushed: each good once (RFC 9126 §4). */
export class PushedRequests {
  #requests = new Map<string, URLSearchParams>()

  push (request: URLSearchParams): string {
    const uri = `urn:ietf:params:oauth:request_uri:${randomBytes(16).toString('hex')}`
    this.#requests.set(uri, request)
    return uri
  }

  take (parameters: URLSearchParams): URLSearchParams {
    const uri = parameters.get('request_uri')
    if (uri === null) throw new OAuthError('invalid_request', 'requests must be pushed')
    if ([...parameters.keys()].sort().join() !== 'client_id,request_uri') throw new OAuthError('invalid_request', 'more than client_id and request_uri')
    const request = this.#requests.get(uri)
    this.#requests.delete(uri)
    if (request === undefined) throw new OAuthError('invalid_request', 'request_uri is unknown or was used')
    return request
  }
}

/** Checks that the client proves itself in exactly one way, and rightly (RFC 6749 §2.3.1). */
export function checkClient (headers: Headers, body: URLSearchParams, client: { id: string, secret: string }): void {
  const authorization = headers.get('authorization')
  if (authorization !== null && body.has('client_secret')) throw new OAuthError('invalid_request', 'two client authentications')
  const [id, secret] = authorization === null ? [body.get('client_id'), body.get('client_secret')] : basic(authorization)
  if (id !== client.id || secret !== client.secret) throw new OAuthError('invalid_client', 'Unauthorized', 401)
}

function basic (authorization: string): string[] {
  const decoded = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString()
  return decoded.split(':').map(part => decodeURIComponent(part.replaceAll('+', ' ')))
}
