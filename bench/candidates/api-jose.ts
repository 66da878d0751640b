import Fastify from 'fastify'
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose'
import { ISSUER } from '../tenant.ts'
import { AUDIENCE, publishedKeys } from '../tokens.ts'

declare module 'fastify' {
  interface FastifyRequest {
    payload: JWTPayload | null
  }
}

/** An API written by hand with jose. */
export function build () {
  const app = Fastify()
  const keys = createLocalJWKSet(publishedKeys() as unknown as JSONWebKeySet)
  app.decorateRequest('payload', null)
  app.get('/profile', {
    preHandler: async request => {
      const token = request.headers.authorization?.slice('Bearer '.length) ?? ''
      request.payload = (await jwtVerify(token, keys, { issuer: ISSUER, audience: AUDIENCE, algorithms: ['RS256'] })).payload
    }
  }, async request => ({ name: request.payload?.['https://example.com/name'] }))
  return app
}
