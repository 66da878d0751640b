import cookie from '@fastify/cookie'
import fastifySession, { type FastifySessionOptions } from '@fastify/session'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Test } from 'tap'
import { MemoryStore, RedisStore, type SessionStoreOptions } from '../../lib/index.ts'
import { secret } from './app.ts'
import { travelInTime } from './clock.ts'
import { startRedis, type RedisServer } from './redis.ts'
import { age } from './stores.ts'

type Own = 'sessionId' | 'save' | 'destroy' | 'regenerate' | 'reload' | 'touch' | 'options' | 'isModified'

/** `request.session`, with whatever members. */
export type Members = Pick<FastifyRequest['session'], Own> & Record<string, unknown>

type Act = (session: Members, request: FastifyRequest, reply: FastifyReply) => unknown
type Answer = Awaited<ReturnType<FastifyInstance['inject']>>
type Run = (act: Act, headers: Record<string, string>) => Promise<Answer>

/** A site with @fastify/session and a store of ours, and nothing else. */
export interface Site {
  store: MemoryStore | RedisStore
  /** Somebody with a cookie jar. */
  visitor: () => Visitor
}

/** A place to keep sessions in. */
export interface Place {
  /** Lets seconds go by for what is kept. */
  pass: (seconds: number) => Promise<void>
  build: (options?: Partial<FastifySessionOptions>, store?: SessionStoreOptions) => Promise<Site>
}

export const RECOMMENDED: Partial<FastifySessionOptions> = { saveUninitialized: false, rolling: false }

export async function memoryPlace (t: Test): Promise<Place> {
  const clock = travelInTime(t)
  return {
    pass: async seconds => clock.advance(seconds),
    build: async (options, store) => buildSite(t, new MemoryStore(store), options)
  }
}

export async function redisPlace (t: Test): Promise<Place & { server: RedisServer }> {
  const server = await startRedis(t)
  return {
    server,
    pass: seconds => age(server, seconds),
    build: async (options, more) => {
      const store = new RedisStore({ ...more, client: server.client() })
      t.teardown(() => store.close())
      return buildSite(t, store, options)
    }
  }
}

export async function buildSite (t: Test, store: MemoryStore | RedisStore, options: Partial<FastifySessionOptions> = {}): Promise<Site> {
  const app = Fastify()
  t.teardown(() => app.close())
  const acts: Act[] = []
  await app.register(cookie)
  await app.register(fastifySession, { secret, store, cookie: { secure: false }, ...options })
  app.get<{ Params: { act: number } }>('/:act', async (request, reply) => await acts[request.params.act]!(request.session as unknown as Members, request, reply) ?? 'done')
  const run = (act: Act, headers: Record<string, string>) => app.inject({ url: `/${acts.push(act) - 1}`, headers })
  return { store, visitor: () => new Visitor(run) }
}

/** Somebody who has one cookie at most: the session's. */
export class Visitor {
  cookie: string | null = null
  readonly #run: Run

  constructor (run: Run) {
    this.#run = run
  }

  /** Sends a request whose handler does that. */
  run = async (act: Act, headers: Record<string, string> = {}): Promise<Answer> => {
    const answer = await this.#run(act, this.cookie === null ? headers : { ...headers, cookie: `sessionId=${this.cookie}` })
    const set = answer.cookies.find(({ name }) => name === 'sessionId')
    if (set !== undefined) this.cookie = set.value === '' ? null : encodeURIComponent(set.value)
    return answer
  }

  /** The members of the session, as JSON. */
  async members (): Promise<Record<string, unknown>> {
    const { cookie: _cookie, ...members } = (await this.run((session, _request, reply) => reply.send(session))).json()
    return members
  }
}
