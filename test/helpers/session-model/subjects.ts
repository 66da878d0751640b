import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Test } from 'tap'
import type { MemoryStore, RedisStore, SessionOptions } from '../../../lib/index.ts'
import { hashedName } from '../../../lib/session/revocations.ts'
import type { Records } from '../../../lib/store/records.ts'
import { nameOf } from '../../../lib/store/session-store.ts'
import { appBaseUrl, buildApp } from '../app.ts'
import { Browser, type BrowserResponse } from '../browser.ts'
import { changeDraft, signDraft, type Draft, type Json } from '../id-tokens.ts'
import { Provider } from '../provider.ts'
import { until } from '../redis.ts'
import { addRoutes } from './application.ts'
import { atomically } from './flights.ts'

/** Who logs in, by which session of the provider, and when that says so, in seconds since the epoch by its clock. */
export interface Identified {
  sub: string
  sid: string
  issuedAt: number
}

/** A login that left for the provider. */
export interface Departure {
  /** Comes back from there. */
  comeBack: (host: number, who: Identified) => Promise<BrowserResponse>
}

/** What a host offers beside its routes. */
export interface Host {
  list: (sub: string) => Promise<string[]>
  end: (id: string) => Promise<boolean>
  endAll: (sub: string) => Promise<number>
  logOutByProvider: (logoutToken: string) => Promise<number>
}

/** Two hosts with one store. */
export interface Subject {
  name: string
  cookieName: string
  hosts: readonly [Host, Host]
  newBrowser: () => Browser
  leave: (browser: Browser, host: number, sub: string) => Promise<Departure>
  logoutToken: (claims: Json) => string
  /** The name of a session in lists. */
  nameOf: (cookie: string) => string
  /** Ends a session as time does, the others not. Gives how many seconds that took. */
  expire: (session: string, login: { sub: string, sid: string } | null, others: readonly string[]) => Promise<number>
  /** The store loses what it has. Gives how many seconds that took. */
  loseEverything: () => Promise<number>
  /** Entries in the index of a person. */
  indexSize: (sub: string) => Promise<number>
  /** Whether the store gave no answer in time: nothing can be said of what happened meanwhile. */
  tookTooLong: () => boolean
  /** Forgets what one run leaves, and waits for the store. */
  tidy: () => Promise<void>
}

/** Where a request goes. */
export const toHost = (host: number): Record<string, string> => ({ 'x-host': String(host) })

const { issuer, clientId } = new Provider()
const NAME = '__Host-auth0'
const VERBS = ['read', 'create', 'commit', 'replaceLogin', 'end', 'enter', 'list', 'close', 'prune', 'mark', 'marks'] as const satisfies ReadonlyArray<keyof Records>

/** What differs between our stores. */
export interface Storage extends Pick<Subject, 'name' | 'expire' | 'loseEverything'> {
  /** One for each host. */
  sessions: readonly [SessionOptions, SessionOptions]
}

/** Two applications with the plugin, which have one store. Slow requests halt before each of its verbs. */
export async function pluginSubject (t: Test, { sessions, ...storage }: Storage): Promise<Subject> {
  const provider = new Provider()
  provider.forge('idToken', identify)
  const built = await Promise.all(sessions.map(session => buildHost(t, provider, session)))
  const apps = built.map(({ app }) => app)
  const [{ store: first }, { store: second }] = built as [BuiltHost, BuiltHost]
  let isAway = false
  let tookTooLong = false
  for (const store of new Set([first, second])) {
    gate(store.records)
    store.on('unavailable', () => { isAway = tookTooLong = true })
    store.on('available', () => { isAway = false })
  }
  return {
    ...storage,
    cookieName: NAME,
    hosts: apps.map(hostOf) as [Host, Host],
    newBrowser: () => new Browser({ baseUrl: appBaseUrl, app: dispatcher(apps), provider, refusedCookies: 'note' }),
    leave: async (browser, host, sub) => {
      const user: Json = { sub, name: sub }
      const callback = await browser.leave('/login', { headers: toHost(host), authorize: { user } })
      return {
        comeBack: (host, { sid, issuedAt }) => {
          user.session = { sid, iat: issuedAt }
          return browser.comeBack(callback, { headers: toHost(host) })
        }
      }
    },
    logoutToken: claims => provider.logoutToken(draft => signDraft(changeDraft(draft, { claims }))),
    nameOf: cookie => nameOf(decodeURIComponent(cookie).split('.', 1)[0] as string),
    indexSize: async sub => (await first.records.list(indexOf('sub', sub))).length,
    tookTooLong: () => tookTooLong,
    tidy: async () => {
      await until('the store answers', () => !isAway)
      tookTooLong = false
      for (const list of [provider.calls, provider.authorizations, provider.logouts]) list.length = 0
      provider.secrets.clear()
    }
  }
}

/** The name of an index in the store. */
export function indexOf (kind: 'sub' | 'sid', value: string): string {
  return hashedName(kind, ['auth0', issuer, clientId], value)
}

/** As the person is told to be, in `user.session`. */
function identify (draft: Draft): string {
  return signDraft(changeDraft(draft, { claims: { ...draft.claims.session as Json, session: undefined } }))
}

interface BuiltHost {
  app: FastifyInstance
  /** That the plugin made, or was given. */
  store: RedisStore | MemoryStore
}

async function buildHost (t: Test, provider: Provider, session: SessionOptions): Promise<BuiltHost> {
  let store: unknown
  const { app } = await buildApp(t, {
    provider,
    auth0: { session },
    fastify: { logger: false, trustProxy: true },
    routes: app => {
      app.get('/store', async request => { store = (request as unknown as { sessionStore: unknown }).sessionStore })
      addRoutes(app, {
        who: ({ auth0: { user, session } }) => ({ sub: user?.sub ?? null, sid: user?.sid ?? null, data: { ...session?.data } as Record<string, string> }),
        update: ({ auth0 }, data) => auth0.updateSession(data),
        endOthers: request => app.auth0.sessions.endOthers(request)
      })
    }
  })
  await app.inject('/store')
  return { app, store: store as BuiltHost['store'] }
}

function hostOf ({ auth0: { sessions, handleBackchannelLogout } }: FastifyInstance): Host {
  return {
    list: async sub => (await sessions.list(sub)).map(({ id }) => id),
    end: id => sessions.end(id),
    endAll: sub => sessions.endAll({ sub }),
    logOutByProvider: handleBackchannelLogout
  }
}

/** Requests go to the host that they name. */
export function dispatcher (apps: readonly FastifyInstance[]): Pick<FastifyInstance, 'inject'> {
  const inject = (request: InjectOptions) => (apps[Number(request.headers?.['x-host'])] as FastifyInstance).inject(request)
  return { inject } as Pick<FastifyInstance, 'inject'>
}

function gate (records: Records): void {
  for (const verb of VERBS) {
    const act = records[verb].bind(records) as (...args: unknown[]) => Promise<never>
    Object.assign(records, { [verb]: (...args: unknown[]) => atomically(() => act(...args)) })
  }
}
