import { FifoMap } from 'toad-cache'
import { now } from '../clock.ts'
import { FST_AUTH0_LOGIN_EXPIRED, FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_SESSION_WRITTEN } from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { handleOf, type Handle } from '../store/handle.ts'
import type { Records, StoredRecord } from '../store/records.ts'
import { isDue, nameOf, parseFields } from '../store/session-store.ts'
import { forbidCaching } from './caching.ts'
import { frozenCopy, verifyJson } from './frozen-json.ts'
import { LoginIndexes, type LoginIndexOptions } from './login-indexes.ts'
import { OpenedSeals } from './opened-seals.ts'
import type { Seal } from './seal.ts'
import { Renewals } from './renewals.ts'
import { Revocations } from './revocations.ts'
import { clearSessionCookie, destroySession, joinSession, ownFieldsOf, regenerateSession, saveSession, sentCookieOf, sessionOf, verifyCookieIsSet, type ServerSession, type SessionCookie } from './server-session.ts'
import type { Login, NewLogin, Renewal, Session, Sessions } from './sessions.ts'
import { createDirectory, endEach } from './store-directory.ts'
import { storedKeeper } from './stored-keeper.ts'
import { changeLogin, isSamePerson, openLogin, readLogin, storedLogin, type SealedLogin, type StoredLogin } from './stored-login.ts'

const MAX_USER_AGENT = 256 // characters
const TYPICAL_SIZE = 12_288 // bytes of a sealed login
const REMEMBERED_LOGINS = 10_000
const TWINS = 60_000 // milliseconds that two runs of one callback are apart, at most

/** What sessions in a store need to know. Times in seconds. */
export interface StoreSessionOptions extends LoginIndexOptions {
  seal: Seal
  /** Whether cookies are `Secure`. */
  isSecure: boolean
}

interface Services extends StoreSessionOptions {
  records: Records
  indexes: LoginIndexes
  opened: OpenedSeals<SealedLogin>
  seenTokens: Revocations
  renewals: Renewals<StoredLogin>
  /** The cookies of sessions, by the login that began them: twins of one callback begin one. */
  begun: FifoMap<Promise<string>>
}

/** Sessions in a store of ours, by way of @fastify/session: the browser has an id only, and what is ended anywhere is ended everywhere. */
export function createStoreSessions (options: StoreSessionOptions): Sessions {
  const { store, seal, realm } = options
  const { records } = store
  const indexes = new LoginIndexes(options)
  const seenTokens = new Revocations(records, realm, options.absoluteTimeout)
  const opened = new OpenedSeals<SealedLogin>(seal, TYPICAL_SIZE)
  const services: Services = {
    ...options,
    records,
    indexes,
    seenTokens,
    renewals: new Renewals(records),
    opened,
    begun: new FifoMap(REMEMBERED_LOGINS, TWINS)
  }
  store.tolerateFailures()

  return {
    open: request => new StoreSession(services, request),
    mustFetch: false,
    async endByProvider (logout, onEnd) {
      const names = await indexes.close(logout)
      if (onEnd === undefined) return endEach(store, names)
      const known = await Promise.all(names.map(name => readLogin(services, name)))
      const count = await endEach(store, names)
      for (const { login } of known.filter(kept => kept !== null)) onEnd(login)
      return count
    },
    seenTokens,
    directory: createDirectory(services)
  }
}

class StoreSession implements Session {
  readonly #services: Services
  readonly #request: AnyRequest
  #opened: { record: StoredRecord, stored: StoredLogin | null } | null = null
  /** Of a session that ended in this request. */
  #endedCookie: SessionCookie | null = null
  /** Whether the answer may tell something of somebody. */
  #isPrivate = false
  #isWritten = false

  constructor (services: Services, request: AnyRequest) {
    this.#services = services
    this.#request = request
  }

  get login (): Login | null {
    const handle = this.#handle
    if (handle === null) return null
    this.#isPrivate = true
    if (handle.failure !== null) throw handle.failure
    const stored = this.#open(handle)
    if (stored === null) return null
    this.#extend(handle)
    return stored.login
  }

  get id (): string | null {
    return this.#handle?.session ?? null
  }

  async verifyStartable (): Promise<void> {
    verifyCookieIsSet(this.#request, this.#services.isSecure)
    await this.#services.seenTokens.verifyAvailable()
  }

  async start (login: NewLogin, replaces?: string): Promise<Login> {
    this.#assertUnwritten()
    const { begun } = this.#services
    const twin = begun.get(login.id)
    if (twin !== undefined) return this.#join(await twin)
    const run = this.#begin(login, replaces)
    begun.set(login.id, run)
    await run
    return this.login as Login
  }

  /** Gives the session's cookie. */
  async #begin (login: NewLogin, replaces: string | undefined): Promise<string> {
    const { indexes, records, seal } = this.#services
    const kept = frozenCopy({ ...login, enteredAt: null, data: {}, createdAt: now() }) // first: a login that cannot be kept ends nothing
    const previous = this.id
    const fields = this.#fieldsFor(login)
    const session = await regenerateSession(this.#request, this.login === null)
    this.#endedCookie = null
    if (replaces !== undefined && replaces !== previous) Object.assign(fields, await this.#replaceElsewhere(replaces, login, session))
    const name = nameOf(session.sessionId)
    const { places, notAfter } = await indexes.enter(name, login)
    const sealed = seal.seal({ session: name, userAgent: userAgentOf(this.#request), login: kept } satisfies SealedLogin)
    if (!await records.create(name, { fields: {}, login: sealed, places, notAfter, ...this.#times })) throw new FST_AUTH0_LOGIN_EXPIRED()
    const handle = handleOf(session) as Handle // `regenerate` saved it
    handle.record = { fields: {}, ...handle.record, login: sealed, version: 1, usedAt: Date.now(), idleTimeout: this.#times.idleTimeout }
    Object.assign(session, fields) // not before: whoever is refused leaves nothing of a person to the next one
    await saveSession(session)
    return session.encryptedSessionId
  }

  /** Goes on with the session that a twin began. */
  async #join (twin: string): Promise<Login> {
    const session = await joinSession(this.#request, twin)
    const { login } = this
    if (login === null) throw new FST_AUTH0_LOGIN_EXPIRED() // ended meanwhile
    await saveSession(session)
    return login
  }

  /** Ends the session that the login began in, though the callback came without its cookie, from another site. Gives the person's own fields of it. */
  async #replaceElsewhere (name: string, login: NewLogin, session: ServerSession): Promise<Record<string, unknown> | null> {
    const { records, store, opened } = this.#services
    const record = await records.read(name)
    if (record === null) return null
    await store.end(name)
    if (record.login === null) Object.assign(session, parseFields(record))
    const kept = openLogin(opened, name, record)
    return kept !== null && isSamePerson(kept.login, login) ? parseFields(record) : null
  }

  async update (data: Record<string, unknown>): Promise<void> {
    this.#assertUnwritten()
    verifyJson(data)
    const handle = this.#loggedIn()
    const changed = await changeLogin(this.#services, handle.session, this.#open(handle) as StoredLogin, login => ({ ...login, data: { ...login.data, ...data } }))
    handle.record = changed?.record ?? null
    if (changed === null) throw new FST_AUTH0_LOGIN_REQUIRED()
  }

  async renew (work: Renewal): Promise<Login> {
    const handle = this.#loggedIn()
    const { kept } = await this.#services.renewals.run(storedKeeper(this.#services, handle.session), work)
    handle.record = kept.record
    return kept.login
  }

  async end (): Promise<Login | null> {
    this.#assertUnwritten()
    const handle = this.#handle
    if (handle === null) return null
    this.#isPrivate = true
    this.#endedCookie = sentCookieOf(this.#request)
    const stored = handle.failure === null ? this.#open(handle) : null
    const newest = stored && readLogin(this.#services, handle.session).catch(() => null) // another request may have renewed it
    await destroySession(this.#request)
    return (await newest ?? stored)?.login ?? null
  }

  commit (reply: AnyReply): void {
    if (this.#isWritten) return // an error made Fastify send twice
    this.#isWritten = true
    if (this.#endedCookie !== null) clearSessionCookie(reply, this.#endedCookie)
    if (this.#isPrivate) forbidCaching(reply)
  }

  close (): void {
    this.#isWritten = true
  }

  /** Of the session that the request has now: the application may have begun another, or ended it. */
  get #handle (): Handle | null {
    const session = sessionOf(this.#request, this.#services.store)
    const handle = handleOf(session)
    return handle?.record === null && handle.failure === null ? null : handle
  }

  get #times (): { idleTimeout: number, absoluteTimeout: number } {
    return { idleTimeout: this.#services.idleTimeout * 1000, absoluteTimeout: this.#services.absoluteTimeout * 1000 }
  }

  #open ({ session, record }: Handle): StoredLogin | null {
    if (record === null || record.login === null) return null
    if (this.#opened?.record !== record) this.#opened = { record, stored: storedLogin(this.#services, session, record) }
    return this.#opened.stored
  }

  /** What the person who logs in once more has in the session that there is. */
  #fieldsFor (next: NewLogin): Record<string, unknown> {
    const { login } = this
    return login !== null && isSamePerson(login, next) ? ownFieldsOf(sessionOf(this.#request, this.#services.store) as ServerSession) : {}
  }

  /** Beside the answer: that it fails is no harm, and was logged. */
  #extend (handle: Handle): void {
    if (handle.record === null || !isDue(handle.record)) return
    handle.record = { ...handle.record, usedAt: Date.now() }
    this.#services.records.touch(handle.session).catch(() => {})
  }

  #loggedIn (): Handle {
    const handle = this.#handle
    if (handle === null || this.login === null) throw new FST_AUTH0_LOGIN_REQUIRED()
    return handle
  }

  #assertUnwritten (): void {
    if (this.#isWritten) throw new FST_AUTH0_SESSION_WRITTEN()
  }
}

function userAgentOf ({ headers }: AnyRequest): string | null {
  return headers['user-agent']?.slice(0, MAX_USER_AGENT) ?? null
}
