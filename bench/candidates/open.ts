import cookie from '@fastify/cookie'
import Fastify from 'fastify'
import { open } from '../floor-seal.ts'

declare module 'fastify' {
  interface FastifyRequest {
    opened: { user: { name: string } } | null
  }
}

/** The least that a page guarded by an encrypted cookie needs: @fastify/cookie, one AES-GCM open, one `JSON.parse`. */
export function build () {
  const app = Fastify()
  app.register(cookie)
  app.decorateRequest('opened', null)
  app.get('/profile', {
    preHandler: async request => { request.opened = open(request.cookies['session'] ?? '') }
  }, async request => ({ name: request.opened?.user.name }))
  return app
}
