import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { nameOf } from '../people.ts'
import { redisUrl } from '../redis.ts'

/** The least that a session in Redis needs: one GET, by a key that is cut from the header. Does not look at what comes back. */
export function build () {
  const app = Fastify()
  const redis = new Redis(redisUrl())
  app.addHook('onClose', async () => redis.disconnect())
  app.get('/profile', async ({ headers }) => {
    if (await redis.get(headers.cookie?.slice('session='.length) ?? '') === null) throw new Error('No such session')
    return { name: nameOf(0) }
  })
  return app
}
