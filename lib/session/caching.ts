import type { AnyReply } from '../fastify.ts'

/** Somebody's data are for nobody else's cache, unless the application says so (RFC 9111 §5.2.2). */
export function forbidCaching (reply: AnyReply): void {
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-store')
}

/** Whether the application lets caches give the answer to others: with a cookie of ours in it, they would get that too (RFC 9111 §7.3). */
export function isForOthers (reply: AnyReply): boolean {
  if (reply.hasHeader('cdn-cache-control') || reply.hasHeader('surrogate-control')) return true
  const said = String(reply.getHeader('cache-control') ?? '')
  return /public|stale-|s-maxage|age\s*=\s*["0]*[1-9]/i.test(said) && !/private|no-store/i.test(said)
}
