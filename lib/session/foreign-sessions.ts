import { now } from '../clock.ts'
import { FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_SESSION_WRITTEN } from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { HANDLE } from '../store/handle.ts'
import { nameOf, type SessionStoreLike } from '../store/session-store.ts'
import { forbidCaching } from './caching.ts'
import { frozenCopy, verifyJson } from './frozen-json.ts'
import { OpenedSeals } from './opened-seals.ts'
import { present } from './renewals.ts'
import type { Revocations } from './revocations.ts'
import type { Seal } from './seal.ts'
import { clearSessionCookie, destroySession, isStored, regenerateSession, saveSession, sentCookieOf, sessionOf, verifyCookieIsSet, type ServerSession, type SessionCookie } from './server-session.ts'
import type { Login, NewLogin, Renewal, Session, Sessions } from './sessions.ts'
import { isSamePerson } from './stored-login.ts'
import type { Successors } from './successors.ts'

const TYPICAL_SIZE = 12_288 // bytes of a sealed login
const EXTENDED = 10 // a session is written when a tenth of its idle time-out has gone by without, not at every request

/** What sessions in a store of others need to know. Times in seconds. */
export interface ForeignSessionOptions {
  store: SessionStoreLike
  seal: Seal
  idleTimeout: number
  absoluteTimeout: number
  /** Whether cookies are `Secure`. */
  isSecure: boolean
  /** What was ended from elsewhere; `null` when nobody keeps that. */
  revocations: Revocations | null
  successors: Successors
}

/** What a session keeps sealed: a login, and the session that it is of, so that it opens in no other. */
interface SealedLogin {
  session: string
  login: Login
}

interface Services extends ForeignSessionOptions {
  opened: OpenedSeals<SealedLogin>
}

/**
 * Sessions in whatever store @fastify/session has: the login is a sealed member of the session. Such a store writes sessions as a whole, so that of
 * two requests at once the last one wins, and one that is under way while its session ends can bring it back, unless there are revocations.
 */
export function createForeignSessions (options: ForeignSessionOptions): Sessions {
  const { seal, revocations } = options
  const services: Services = { ...options, opened: new OpenedSeals(seal, TYPICAL_SIZE) }
  return {
    open: request => new ForeignSession(services, request),
    mustFetch: revocations !== null,
    endByProvider: revocations === null ? null : logout => revocations.endByProvider(logout),
    seenTokens: revocations,
    directory: null
  }
}

class ForeignSession implements Session {
  readonly #services: Services
  readonly #request: AnyRequest
  /** When this request began to ask, by the count of renewals. */
  readonly #turn: number
  /** Of a session that ended in this request. */
  #endedCookie: SessionCookie | null = null
  /** Of a login that was ended from elsewhere. */
  #revoked: string | null = null
  /** Why it is not known whether the login was ended from elsewhere. */
  #failure: Error | null = null
  /** Whether the answer may tell something of somebody. */
  #isPrivate = false
  #isWritten = false
  /** Whether what was renewed went into the session before that was written. */
  #hasKept = false

  constructor (services: Services, request: AnyRequest) {
    this.#services = services
    this.#request = request
    this.#turn = services.successors.turn
  }

  async fetch (): Promise<void> {
    const login = this.#open()
    if (login === null) return
    try {
      if (await this.#services.revocations?.areAny(login) === true) this.#revoked = login.id
    } catch (error) {
      this.#failure = error as Error
    }
  }

  get login (): Login | null {
    if (this.#failure !== null) throw this.#failure
    const stored = this.#open()
    if (stored === null) return null
    this.#isPrivate = true
    const { successors, idleTimeout } = this.#services
    const login = successors.newest(stored)
    // A request that was under way during a refresh, and wrote its session, put the older tokens back.
    const isBehind = login !== stored && successors.areForKeeping(this.#turn, login)
    if (isBehind || now() - login.usedAt > idleTimeout / EXTENDED) this.#keep({ ...login, usedAt: now() })
    return login
  }

  get id (): string | null {
    return this.#open()?.id ?? null
  }

  async verifyStartable (): Promise<void> {
    verifyCookieIsSet(this.#request, this.#services.isSecure)
    await this.#services.revocations?.verifyAvailable()
  }

  async start (login: NewLogin, replaces?: string): Promise<Login> {
    this.#assertUnwritten()
    const { revocations } = this.#services
    const enteredAt = await revocations?.enter(login) ?? null
    const kept = frozenCopy({ ...login, enteredAt, data: {}, createdAt: now(), usedAt: now() }) // first: a login that cannot be kept ends nothing
    const previous = this.login
    const session = await regenerateSession(this.#request, previous === null || isSamePerson(previous, login))
    this.#endedCookie = null
    for (const id of [previous?.id, replaces]) if (id !== undefined) await revocations?.end(id)
    this.#keep(kept)
    await saveSession(session)
    return this.login as Login
  }

  async update (data: Record<string, unknown>): Promise<void> {
    this.#assertUnwritten()
    const before = present(this.login)
    verifyJson(data)
    await this.#services.successors.load(before) // so that it writes no older tokens
    const login = this.#still(before)
    this.#keep({ ...login, data: { ...login.data, ...data }, usedAt: now() })
  }

  async renew (work: Renewal): Promise<Login> {
    this.#assertUnwritten()
    const before = present(this.login)
    const { store, successors, revocations } = this.#services
    const { renewed, isOwn } = await successors.renew(before, work, {
      isOver: async () => !await isStored(this.#session, store) || await revocations?.areAny(before) === true,
      end: async () => this.#end(),
      carrier: { isLost: () => this.#isWritten && !this.#hasKept }
    })
    const login = this.#still(before) // this request may have changed it meanwhile
    if (isOwn) this.#keep({ ...login, ...renewed, usedAt: now() })
    if (isOwn) this.#hasKept = !this.#isWritten
    return Object.freeze({ ...login, ...renewed })
  }

  async end (): Promise<Login | null> {
    this.#assertUnwritten()
    return this.#end()
  }

  async #end (): Promise<Login | null> {
    if (this.#session === null) return null
    this.#isPrivate = true
    this.#endedCookie = sentCookieOf(this.#request)
    const login = this.#open()
    await destroySession(this.#request)
    if (login === null) return null
    const { revocations, successors } = this.#services
    await revocations?.end(login.id)
    return successors.load(login)
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

  get #session (): ServerSession | null {
    return sessionOf(this.#request, this.#services.store)
  }

  /** `null` when it is over by our clock, or was sealed with another secret, or for another session. */
  #open (): Login | null {
    const session = this.#session
    const sealed = session?.[HANDLE]
    if (session === null || typeof sealed !== 'string') return null
    const kept = this.#services.opened.open(sealed)
    if (kept?.session !== nameOf(session.sessionId) || kept.login.id === this.#revoked) return null
    const { idleTimeout, absoluteTimeout } = this.#services
    const { usedAt, createdAt } = kept.login
    return now() < Math.min(usedAt + idleTimeout, createdAt + absoluteTimeout) ? kept.login : null
  }

  /**
   * The login that a request had before it waited, as it has it now.
   *
   * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when the same request ended it meanwhile
   */
  #still ({ id }: Login): Login {
    const { login } = this
    if (login?.id !== id) throw new FST_AUTH0_LOGIN_REQUIRED()
    return login
  }

  /** @fastify/session writes it with the answer. */
  #keep (login: Login): void {
    const session = this.#session as ServerSession
    const kept: SealedLogin = { session: nameOf(session.sessionId), login: frozenCopy(login) }
    session[HANDLE] = this.#services.seal.seal(kept)
  }

  #assertUnwritten (): void {
    if (this.#isWritten) throw new FST_AUTH0_SESSION_WRITTEN()
  }
}
