import cookie from '@fastify/cookie'
import session, { type SessionStore } from '@fastify/session'
import Fastify, { type Session } from 'fastify'
import { Redis } from 'ioredis'
import { redisUrl } from '../redis.ts'

declare module 'fastify' {
  interface Session {
    user?: { name: string }
  }
}

/** Of the session id's signature; `sessions.ts` signs with it, too. */
export const SECRET = 'a secret of the bench, which is no secret'

/** Of its keys. */
export const PREFIX = 'sess:'
const DAY = 86_400 // seconds

/** A store as everybody writes it: the session as one JSON. */
class PlainStore implements SessionStore {
  readonly #redis: Redis

  constructor (redis: Redis) {
    this.#redis = redis
  }

  get (sessionId: string, callback: (error: unknown, session?: Session | null) => void): void {
    this.#redis.get(PREFIX + sessionId).then(json => callback(null, json === null ? null : JSON.parse(json)), callback)
  }

  set (sessionId: string, session: Session, callback: (error?: unknown) => void): void {
    this.#redis.set(PREFIX + sessionId, JSON.stringify(session), 'EX', DAY).then(() => callback(), callback)
  }

  destroy (sessionId: string, callback: (error?: unknown) => void): void {
    this.#redis.del(PREFIX + sessionId).then(() => callback(), callback)
  }
}

/** A guarded page as people wire it themselves: @fastify/session, told not to write at every request, on a store of twenty lines. */
export function build () {
  const app = Fastify()
  const redis = new Redis(redisUrl())
  app.addHook('onClose', async () => redis.disconnect())
  app.register(cookie)
  app.register(session, { secret: SECRET, store: new PlainStore(redis), saveUninitialized: false, rolling: false, cookie: { secure: true, sameSite: 'lax' } })
  app.get('/profile', {
    preHandler: async (request, reply) => {
      if (request.session.user === undefined) return reply.code(401).send()
    }
  }, async request => ({ name: request.session.user?.name }))
  return app
}
