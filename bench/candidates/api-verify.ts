import { createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto'
import Fastify from 'fastify'
import { publishedKeys } from '../tokens.ts'

declare module 'fastify' {
  interface FastifyRequest {
    claims: Record<string, unknown> | null
  }
}

/** The least that an API needs which sees a token for the first time: one `crypto.verify`, one `JSON.parse`, and a look at `exp`. */
export function build () {
  const app = Fastify()
  const key = createPublicKey({ key: publishedKeys().keys[0] as JsonWebKey, format: 'jwk' })
  app.decorateRequest('claims', null)
  app.get('/profile', {
    preHandler: async request => { request.claims = claimsOf(request.headers.authorization?.slice('Bearer '.length) ?? '', key) }
  }, async request => ({ name: request.claims?.['https://example.com/name'] }))
  return app
}

function claimsOf (token: string, key: KeyObject): Record<string, unknown> | null {
  const end = token.lastIndexOf('.')
  if (!verify('sha256', Buffer.from(token.slice(0, end)), key, Buffer.from(token.slice(end + 1), 'base64url'))) return null
  const claims = JSON.parse(Buffer.from(token.slice(token.indexOf('.') + 1, end), 'base64url').toString())
  return claims.exp > Date.now() / 1000 ? claims : null
}
