import { FST_AUTH0_CREDENTIALS_INVALID } from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'

/** An access token as a request brings it (RFC 6750 §2.1; RFC 9449 §7.1). */
export interface Credentials {
  readonly scheme: 'Bearer' | 'DPoP'
  readonly token: string
}

/** Whether a request brings an access token, or tries to. Other schemes, such as the Basic of a proxy, are none of ours. */
export function bringsToken ({ headers: { authorization } }: AnyRequest): boolean {
  return authorization !== undefined && /^(?:bearer|dpop)(?:\s|$)/i.test(authorization)
}

/**
 * The access token of a request that brings one. One in the query or in a form is not looked at; two at once are refused.
 *
 * @throws {FST_AUTH0_CREDENTIALS_INVALID} 400
 * @see RFC 6750 §2, §2.1; RFC 9110 §11.4
 */
export function readCredentials (request: AnyRequest): Credentials {
  const { headers: { authorization }, raw: { rawHeaders }, query } = request
  const [, scheme = '', token] = /^(bearer|dpop) +([\w.~+/-]+=*)$/i.exec(authorization as string) ?? []
  if (token === undefined) throw invalid('"Authorization" is no access token')
  if (rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'authorization').length > 1) throw invalid('"Authorization" is there twice')
  if (typeof query === 'object' && query !== null && 'access_token' in query) throw invalid('one access token in the header, and one in the query')
  return { scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token }
}

function invalid (reason: string): Error {
  return new FST_AUTH0_CREDENTIALS_INVALID({ cause: new Error(reason) })
}
