import cookie from '@fastify/cookie'
import Fastify from 'fastify'
import { nameOf } from '../people.ts'

/** Fastify with @fastify/cookie, which parses the header of every request. */
export function build () {
  const app = Fastify()
  app.register(cookie)
  app.get('/', async () => ({ name: nameOf(0) }))
  return app
}
