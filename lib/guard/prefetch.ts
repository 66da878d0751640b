import { FST_AUTH0_PREFETCH_REFUSED } from '../errors.ts'
import type { AnyRequest } from '../fastify.ts'

/**
 * Refuses what a browser fetches before the person wants it: prefetch, prerender and previews. An error, since browsers throw
 * a failed prefetch away and ask again when the person comes.
 *
 * @throws {FST_AUTH0_PREFETCH_REFUSED} 403
 * @see W3C Fetch Metadata / HTML Standard, `Sec-Purpose`
 */
export function refusePrefetch (request: AnyRequest): void {
  const { 'sec-purpose': secPurpose, purpose, 'x-purpose': xPurpose, 'x-moz': xMoz } = request.headers
  const purposes = [secPurpose, purpose, xPurpose, xMoz].join()
  if (/prefetch|prerender|preview/i.test(purposes)) throw new FST_AUTH0_PREFETCH_REFUSED()
}
