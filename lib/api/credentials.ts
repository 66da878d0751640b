import { FST_AUTH0_CREDENTIALS_INVALID } from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'

/** How an access token comes (RFC 6750 §2.1; RFC 9449 §7.1). */
export type Scheme = 'Bearer' | 'DPoP'

/** An access token as a request brings it. */
export interface Credentials {
  readonly scheme: Scheme
  readonly token: string
}

/** How a request brings an access token, or tries to; `null` when it does not. Other schemes, such as the Basic of a proxy, are none of ours. */
export function schemeOf ({ headers: { authorization } }: AnyRequest): Scheme | null {
  const [, scheme] = authorization === undefined ? [] : /^(bearer|dpop)(?:\s|$)/i.exec(authorization) ?? []
  if (scheme === undefined) return null
  return scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer'
}

/**
 * The access token of a request that brings one. One in the query or in a form is not looked at; two at once are refused.
 *
 * @throws {FST_AUTH0_CREDENTIALS_INVALID} 400
 * @see RFC 6750 §2, §2.1; RFC 9110 §11.4
 */
export function readCredentials (request: AnyRequest): Credentials {
  const { headers: { authorization }, query } = request
  const [, token] = /^\w+ +([\w.~+/-]+=*)$/.exec(authorization as string) ?? []
  if (token === undefined) throw invalid('"Authorization" is no access token')
  if (timesOf(request, 'authorization') > 1) throw invalid('"Authorization" is there twice')
  if (typeof query === 'object' && query !== null && 'access_token' in query) throw invalid('one access token in the header, and one in the query')
  return { scheme: schemeOf(request) as Scheme, token }
}

/** Whether a form brings one (RFC 6750 §2.2). Known only when the body was read: to guards in `preHandler`. */
export function hasTokenInForm ({ headers, body }: AnyRequest): boolean {
  const isForm = headers['content-type']?.toLowerCase().startsWith('application/x-www-form-urlencoded') === true
  return isForm && typeof body === 'object' && body !== null && 'access_token' in body
}

/** How often a request has a header; of some, Node tells but one. */
export function timesOf ({ raw: { rawHeaders } }: AnyRequest, header: string): number {
  return rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === header).length
}

function invalid (reason: string): Error {
  return new FST_AUTH0_CREDENTIALS_INVALID({ cause: new Error(reason) })
}
