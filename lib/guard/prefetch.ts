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

/**
 * Refuses what a page embeds as an image or a script: five of them on somebody's page would push a login under way out of its cookies.
 *
 * @throws {FST_AUTH0_PREFETCH_REFUSED} 403
 * @see W3C Fetch Metadata §2.1 (`Sec-Fetch-Dest`)
 */
export function refuseEmbedding ({ headers: { 'sec-fetch-dest': destination = 'document' } }: AnyRequest): void {
  if (!['document', 'iframe', 'frame', 'empty'].includes(String(destination))) throw new FST_AUTH0_PREFETCH_REFUSED()
}
