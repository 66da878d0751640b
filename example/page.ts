import type { FastifyReply } from 'fastify'

/**
 * What a page may load: our style sheet, and pictures. `form-action` is absent on purpose: browsers apply it to the redirects
 * after a form too, and those of a login and a logout lead to another origin.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "img-src 'self' https: http://localhost:*", // profile pictures live at the provider
  "base-uri 'none'",
  "frame-ancestors 'none'"
].join('; ')

/** Answers with a page that no browser will cache, frame or run a script in. */
export function sendPage (reply: FastifyReply, page: string): FastifyReply {
  return reply
    .header('content-security-policy', CONTENT_SECURITY_POLICY)
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'same-origin') // with no-referrer, browsers would send our forms with "Origin: null"
    .header('cache-control', 'no-store')
    .type('text/html; charset=utf-8')
    .send(page)
}
