import Fastify from 'fastify'
import { nameOf } from '../people.ts'

/** Fastify and nothing else: does not know who is calling, so it greets the first person. */
export function build () {
  const app = Fastify()
  app.get('/', async () => ({ name: nameOf(0) }))
  app.get('/profile', async () => ({ name: nameOf(0) }))
  return app
}
