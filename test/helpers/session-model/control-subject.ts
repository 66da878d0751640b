import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { appBaseUrl, secret } from '../app.ts'
import { Browser } from '../browser.ts'
import { startRedis } from '../redis.ts'
import { addRoutes } from './application.ts'
import { atomically } from './flights.ts'
import { dispatcher, toHost, type Host, type Identified, type Subject } from './subjects.ts'

interface PlainSession {
  sessionId: string
  login?: Identified
  data?: Record<string, string>
  a?: string
  b?: string
  c?: string
  regenerate (keep: string[]): Promise<void>
  save (): Promise<void>
  destroy (): Promise<void>
}

const NAME = 'sessionId'
const LIFETIME = 60 // seconds

/**
 * The control, which must fail: @fastify/session over a store of GET, SET and DEL, as most are written. The login is a member of the session, and sets name
 * the sessions of a person.
 */
export async function controlSubject (t: Test): Promise<Subject> {
  const server = await startRedis(t)
  const redis = server.client()
  const apps = [await buildHost(t, server.client()), await buildHost(t, server.client())]
  return {
    name: '@fastify/session with a plain SET store',
    cookieName: NAME,
    hosts: [hostOf(redis), hostOf(redis)],
    newBrowser: () => new Browser({ baseUrl: appBaseUrl, app: dispatcher(apps), refusedCookies: 'note' }),
    leave: async browser => ({ comeBack: (host, who) => browser.fetch('/callback', { method: 'POST', json: who, headers: toHost(host) }) }),
    logoutToken: claims => JSON.stringify(claims),
    nameOf: cookie => decodeURIComponent(cookie).split('.', 1)[0] as string,
    expire: async session => redis.del(session),
    loseEverything: async () => { await redis.flushall(); return 0 },
    indexSize: async () => 0,
    tookTooLong: () => false,
    tidy: async () => {}
  }
}

async function buildHost (t: Test, redis: Redis): Promise<FastifyInstance> {
  const app = Fastify({ trustProxy: true })
  t.teardown(() => app.close())
  await app.register(cookie)
  await app.register(session, { store: new PlainStore(redis) as never, secret, cookieName: NAME, cookie: { path: '/' }, saveUninitialized: false, rolling: false })

  app.post<{ Body: Identified }>('/callback', async (request, reply) => {
    const { login } = sessionOf(request)
    await sessionOf(request).regenerate(login === undefined || login.sub === request.body.sub ? ['a', 'b', 'c'] : [])
    sessionOf(request).login = request.body
    await sessionOf(request).save()
    for (const index of indexesOf(request.body)) await redis.sadd(index, sessionOf(request).sessionId)
    return reply.redirect('/', 303)
  })

  app.post('/logout', async (request, reply) => {
    await sessionOf(request).destroy()
    return reply.clearCookie(NAME, { path: '/', secure: true }).redirect('/', 303)
  })

  addRoutes(app, {
    who: request => {
      const { login, data = {} } = sessionOf(request)
      return { sub: login?.sub ?? null, sid: login?.sid ?? null, data }
    },
    update: async (request, data) => { sessionOf(request).data = { ...sessionOf(request).data, ...data } },
    endOthers: async request => {
      const { login, sessionId } = sessionOf(request)
      if (login === undefined) throw Object.assign(new Error('nobody is logged in'), { statusCode: 401 })
      return endIndexed(redis, `sub:${login.sub}`, sessionId)
    }
  })
  return app
}

function hostOf (redis: Redis): Host {
  return {
    list: async sub => {
      const ids = await redis.smembers(`sub:${sub}`)
      const found = await Promise.all(ids.map(id => redis.exists(id)))
      return ids.filter((_id, at) => found[at] === 1)
    },
    end: async id => await atomically(() => redis.del(id)) === 1,
    endAll: sub => endIndexed(redis, `sub:${sub}`),
    logOutByProvider: async token => {
      const { sub, sid }: { sub?: string, sid?: string } = JSON.parse(token)
      return endIndexed(redis, sid === undefined ? `sub:${sub}` : `sid:${sid}`)
    }
  }
}

function indexesOf ({ sub, sid }: Identified): string[] {
  return [`sub:${sub}`, `sid:${sid}`]
}

async function endIndexed (redis: Redis, index: string, except?: string): Promise<number> {
  const ids = (await atomically(() => redis.smembers(index))).filter(id => id !== except)
  const ended = await Promise.all(ids.map(id => atomically(() => redis.del(id))))
  return ended.filter(count => count === 1).length
}

class PlainStore {
  readonly #redis: Redis

  constructor (redis: Redis) {
    this.#redis = redis
  }

  get (id: string, done: (error: unknown, session?: unknown) => void): void {
    atomically(() => this.#redis.get(id)).then(json => done(null, json === null ? null : JSON.parse(json)), done)
  }

  set (id: string, session: unknown, done: (error?: unknown) => void): void {
    atomically(() => this.#redis.set(id, JSON.stringify(session), 'EX', LIFETIME)).then(() => done(), done)
  }

  destroy (id: string, done: (error?: unknown) => void): void {
    atomically(() => this.#redis.del(id)).then(() => done(), done)
  }
}

function sessionOf (request: FastifyRequest): PlainSession {
  return (request as unknown as { session: PlainSession }).session
}
