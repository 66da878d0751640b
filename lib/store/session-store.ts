import { hash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { Handle, HANDLE, handleOf } from './handle.ts'
import type { Records, StoredRecord } from './records.ts'
import { verifyOption } from './verify-option.ts'

const EXTENDED = 10 // a session is written when a tenth of its idle time-out has gone by without, not at every request
const MAX_UNENDED = 10_000

/** A store of @fastify/session, or of express-session. */
export interface SessionStoreLike {
  get (sessionId: string, callback: (error: unknown, session?: unknown) => void): void
  set (sessionId: string, session: never, callback: (error?: unknown) => void): void
  destroy (sessionId: string, callback: (error?: unknown) => void): void
}

/** How long sessions last that nobody logged in to; a login's own come from the options of the plugin. */
export interface SessionStoreOptions {
  /** Seconds since the last use; the `maxAge` of the session's cookie counts when it is shorter. Default: 86 400 (one day). */
  idleTimeout?: number
  /** Seconds since it began. Default: 259 200 (three days). */
  absoluteTimeout?: number
}

/** What @fastify/session hands to a store. */
type StoredSession = Record<string, unknown> & { cookie?: { originalMaxAge?: number | null } }

/** Members of a session that are @fastify/session's, or would change all objects. */
const RESERVED = new Set(['cookie', 'sessionId', 'encryptedSessionId', '__proto__', HANDLE])

/**
 * A store for @fastify/session in which an ended session never returns: what is written to a session that is there no more is dropped, and of a
 * session only those members are written that changed.
 */
export abstract class SessionStore extends EventEmitter implements SessionStoreLike {
  /** For the plugin: what is underneath. */
  readonly records: Records
  readonly #idleTimeout: number
  readonly #absoluteTimeout: number
  readonly #unended = new Set<string>()
  #isTolerant = false

  constructor (records: Records, { idleTimeout = 86_400, absoluteTimeout = 259_200 }: SessionStoreOptions) {
    super()
    for (const [name, seconds] of Object.entries({ idleTimeout, absoluteTimeout })) {
      verifyOption(Number.isFinite(seconds) && seconds > 0, name, 'must be a number of seconds')
    }
    this.records = records
    this.#idleTimeout = Math.ceil(idleTimeout * 1000)
    this.#absoluteTimeout = Math.ceil(absoluteTimeout * 1000)
  }

  /**
   * For the plugin, which knows what asks for a session: only that uses it. And whatever cannot be read is told by the session's handle, so that pages
   * that do not ask are served all the same.
   */
  tolerateFailures (): void {
    this.#isTolerant = true
  }

  get (sessionId: string, callback: (error: unknown, session?: never) => void): void {
    this.#read(nameOf(sessionId)).then(session => callback(null, session as never), error => callback(error))
  }

  set (sessionId: string, session: never, callback: (error?: unknown) => void): void {
    this.#write(nameOf(sessionId), session).then(() => callback(), callback)
  }

  destroy (sessionId: string, callback: (error?: unknown) => void): void {
    this.end(nameOf(sessionId)).then(() => callback(), callback)
  }

  /**
   * For the plugin: ends a session by its name. One that cannot be ended now, because the store is away, is ended as soon as it is back.
   *
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
   */
  async end (name: string): Promise<boolean> {
    try {
      return await this.records.end(name)
    } catch (error) {
      if (this.#unended.size < MAX_UNENDED) this.#unended.add(name)
      throw error
    }
  }

  /** The store is back. */
  protected endTheRest (): void {
    for (const name of this.#unended) this.records.end(name).then(() => this.#unended.delete(name), () => {})
  }

  async #read (name: string): Promise<StoredSession | null> {
    try {
      const record = await this.records.read(name)
      if (record === null) return null
      const fields = parseFields(record)
      if (fields !== null) return { ...fields, [HANDLE]: new Handle(name, this.#isTolerant ? record : this.#use(name, record)) }
      await this.#discard(name)
      return null
    } catch (error) {
      if (!this.#isTolerant) throw error
      return { [HANDLE]: new Handle(name, null, error as Error) }
    }
  }

  /** @fastify/session does not write what did not change. Beside the request: what makes it fail makes others fail, too. */
  #use (name: string, record: StoredRecord): StoredRecord {
    if (!isDue(record)) return record
    this.records.touch(name).catch(() => {})
    return { ...record, usedAt: Date.now() }
  }

  async #discard (name: string): Promise<void> {
    await this.records.end(name)
    this.emit('corrupt')
  }

  async #write (name: string, session: StoredSession): Promise<void> {
    const known = handleOf(session)
    if (known?.session !== name) return this.#begin(name, session)
    if (known.failure !== null) throw known.failure
    if (known.record === null) return
    const fields = fieldsOf(session)
    const changes = difference(known.fields, fields)
    if (Object.keys(changes).length === 0 && !isDue(known.record)) return
    await this.records.commit(name, changes)
    known.fields = fields
    known.record &&= { ...known.record, usedAt: Date.now() }
  }

  async #begin (name: string, session: StoredSession): Promise<void> {
    const fields = fieldsOf(session)
    const idleTimeout = Math.ceil(Math.min(session.cookie?.originalMaxAge ?? Infinity, this.#idleTimeout))
    const created = await this.records.create(name, { fields, login: null, places: [], idleTimeout, absoluteTimeout: this.#absoluteTimeout, notAfter: null })
    // Whatever the same request writes later is a change of it.
    session[HANDLE] = new Handle(name, created ? { fields, login: null, version: 1, usedAt: Date.now(), idleTimeout } : null)
  }
}

/** The name of a session in a store: whoever reads the store cannot make a cookie of it. */
export function nameOf (sessionId: string): string {
  return hash('sha256', sessionId, 'base64url')
}

/** Whether so much of the idle time-out has gone by that the session should be extended. */
export function isDue ({ usedAt, idleTimeout }: StoredRecord): boolean {
  return Date.now() - usedAt > idleTimeout / EXTENDED
}

/** The application's own members of a session; `null` when they cannot be read. */
export function parseFields ({ fields }: StoredRecord): Record<string, unknown> | null {
  try {
    return Object.fromEntries(Object.entries(fields).filter(([name]) => !RESERVED.has(name)).map(([name, json]) => [name, JSON.parse(json)]))
  } catch {
    return null
  }
}

function fieldsOf (session: StoredSession): Record<string, string> {
  const fields = Object.keys(session).filter(name => !RESERVED.has(name)).map(name => [name, JSON.stringify(session[name])] as const)
  return Object.fromEntries(fields.filter(([, json]) => json !== undefined))
}

/** What to write so that one becomes the other; `null` removes. */
function difference (before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): Record<string, string | null> {
  const changed = Object.entries(after).filter(([name, json]) => before[name] !== json)
  const removed = Object.keys(before).filter(name => !Object.hasOwn(after, name)).map(name => [name, null])
  return Object.fromEntries([...changed, ...removed])
}
