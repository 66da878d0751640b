import type { AnyRequest } from './fastify.ts'

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Whether a request could make something happen in somebody's name without their will (CSRF): it acts, and does not prove that
 * it comes from one of our pages. A handshake for a WebSocket acts, though it is a GET.
 *
 * Fetch Metadata first, then `Origin`; a client without either, which is no browser of today, sends `X-Requested-With`, which no
 * page can send across sites without being asked for it by CORS.
 *
 * @param origins that are ours
 * @see ASVS 5.0 §3.5.1, §3.5.3; OWASP Cross-Site Request Forgery Prevention Cheat Sheet; W3C Fetch Metadata §2.4
 */
export function isCrossSite (request: AnyRequest, origins: ReadonlySet<string>): boolean {
  if (SAFE_METHODS.has(request.method) && request.headers.upgrade === undefined) return false
  const { origin, 'sec-fetch-site': site, 'x-requested-with': requestedWith } = request.headers
  if (origin !== undefined && origins.has(origin)) return false
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  return origin !== undefined || requestedWith === undefined
}
