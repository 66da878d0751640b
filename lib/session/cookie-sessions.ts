import { now } from '../clock.ts'
import { FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_SESSION_TOO_LARGE, FST_AUTH0_SESSION_WRITTEN } from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { forbidCaching, isForOthers } from './caching.ts'
import { createChunkedCookie, type ChunkedCookie } from './chunked-cookie.ts'
import type { CookieAttributes } from './cookies.ts'
import { frozenCopy, verifyJson } from './frozen-json.ts'
import { OpenedSeals } from './opened-seals.ts'
import { present } from './renewals.ts'
import type { Revocations } from './revocations.ts'
import type { Seal } from './seal.ts'
import { SessionMemory } from './session-memory.ts'
import type { Login, NewLogin, Renewal, RenewedLogin, Session, Sessions } from './sessions.ts'
import { isNewer, type Successors } from './successors.ts'

/** What encrypted-cookie sessions need to know. Times in seconds. */
export interface CookieSessionOptions {
  name: string
  attributes: CookieAttributes
  /** Bytes of all its cookies together. */
  maxSize: number
  idleTimeout: number
  absoluteTimeout: number
  seal: Seal
  /** What was ended from elsewhere; `null` when nobody keeps that. */
  revocations: Revocations | null
  successors: Successors
}

interface Services extends CookieSessionOptions {
  cookie: ChunkedCookie
  memory: SessionMemory
  opened: OpenedSeals<Login>
}

/** Sessions that live in the browser, encrypted, and nowhere else. */
export function createCookieSessions (options: CookieSessionOptions): Sessions {
  const { name, maxSize, attributes, seal, absoluteTimeout, revocations } = options
  const services: Services = {
    ...options,
    cookie: createChunkedCookie(name, maxSize, attributes),
    memory: new SessionMemory(absoluteTimeout),
    opened: new OpenedSeals(seal, maxSize)
  }
  return {
    open: request => new CookieSession(services, request),
    mustFetch: revocations !== null,
    endByProvider: revocations === null ? null : logout => revocations.endByProvider(logout),
    seenTokens: revocations,
    directory: null
  }
}

class CookieSession implements Session {
  readonly #services: Services
  readonly #request: AnyRequest
  /** When this request began to ask, by the memory's count. */
  readonly #turn: number
  /** The same, by the count of renewals. */
  readonly #renewalTurn: number
  #sent: Login | null | undefined
  #login: Login | null | undefined
  #pending: string | null = null
  #isEnd = false
  #isWritten = false
  /** Whether the login changed without the application's knowing. */
  #isRenewed = false
  /** Whether the answer has a session cookie, and went out to somebody. */
  #hasCarried = false
  /** Why it is not known whether the session was ended from elsewhere. */
  #failure: Error | null = null

  constructor (services: Services, request: AnyRequest) {
    this.#services = services
    this.#request = request
    this.#turn = services.memory.turn
    this.#renewalTurn = services.successors.turn
  }

  async fetch (): Promise<void> {
    const { revocations, memory, successors } = this.#services
    const sent = this.#open()
    if (revocations === null || sent === null || !this.#isAlive(sent)) return
    try {
      const [isRevoked] = await Promise.all([revocations.areAny(sent), this.#isDue(sent) && successors.load(sent)]) // so that an extension writes no older tokens
      if (isRevoked) memory.end(sent.id)
    } catch (error) {
      this.#failure = error as Error
    }
  }

  get login (): Login | null {
    if (this.#failure !== null) throw this.#failure
    if (this.#login === undefined) {
      const sent = this.#open()
      this.#login = sent !== null && this.#isAlive(sent) ? sent : null
    }
    return this.#login
  }

  get id (): string | null {
    return this.#open()?.id ?? null
  }

  async verifyStartable (): Promise<void> {
    await this.#services.revocations?.verifyAvailable()
  }

  async start (login: NewLogin, replaces?: string): Promise<Login> {
    const { memory, cookie, revocations } = this.#services
    const enteredAt = await revocations?.enter(login) ?? null
    const kept = this.#write({ ...login, enteredAt, data: {}, createdAt: now(), usedAt: now() })
    const before = [this.id, replaces].filter(id => id != null)
    try {
      for (const id of before) await revocations?.end(id)
    } catch (error) {
      this.#forget() // the answer that tells of it must not bring the new session
      throw error
    }
    for (const id of before) memory.end(id)
    memory.replaced(cookie.fingerprint(this.#request), true)
    return kept
  }

  async update (data: Record<string, unknown>): Promise<void> {
    this.#assertUnwritten()
    const { login: before } = this
    if (before === null) throw new FST_AUTH0_LOGIN_REQUIRED()
    verifyJson(data)
    await this.#services.successors.load(before) // so that it writes no older tokens
    const login = this.#still(before)
    // Using what is over already does not bring it back.
    const usedAt = this.#isAlive(login) ? now() : login.usedAt
    this.#write({ ...login, data: { ...login.data, ...data }, usedAt })
  }

  async renew (work: Renewal): Promise<Login> {
    if (this.#isWritten) return this.#renewed(work)
    const before = present(this.login)
    const { successors, revocations } = this.#services
    const { renewed, isOwn } = await successors.renew(before, work, {
      isOver: async () => !this.#isAlive(before) || await revocations?.areAny(before) === true,
      end: async () => this.#end(),
      carrier: { isLost: () => this.#isWritten ? !this.#hasCarried : isGone(this.#request) }
    })
    const login = this.#still(before)
    this.#login = Object.freeze({ ...login, ...renewed, usedAt: isOwn ? now() : login.usedAt })
    this.#isRenewed = true
    if (isOwn || this.#pending !== null) this.#pending = this.#fit(this.#login)
    if (isOwn && this.#pending === null) this.#request.log.error({ err: this.#tooLarge(this.#login) }, 'renewed tokens do not fit the cookie: this login ends with them')
    return this.#login
  }

  verifyFits (renewed: RenewedLogin): void {
    const login = { ...present(this.login), ...renewed }
    if (this.#fit(login) === null) throw this.#tooLarge(login)
  }

  /** For an answer that can keep nothing any more: what others brought will do. */
  async #renewed (work: Renewal): Promise<Login> {
    const newest = await this.#services.successors.load(present(this.login))
    if (!work.isDone(newest)) throw new FST_AUTH0_SESSION_WRITTEN()
    return newest
  }

  async end (): Promise<Login | null> {
    this.#assertUnwritten()
    return this.#end()
  }

  async #end (): Promise<Login | null> {
    const ended = this.#failure === null ? this.login : null
    this.#login = null
    this.#isEnd = true
    const { id } = this
    if (id === null) return null
    const { memory, revocations, successors } = this.#services
    memory.end(id)
    await revocations?.end(id)
    return ended && successors.load(ended)
  }

  commit (reply: AnyReply): void {
    if (this.#isWritten) return // an error made Fastify send twice
    this.#isWritten = true
    const login = this.#login
    if (login === undefined) return // nobody asked
    if (login === null) return this.#clear(reply)
    forbidCaching(reply)
    // Over meanwhile, by its times or by another request. The browser may have a newer session already: leave it alone.
    if (!this.#isAlive(login)) return
    const { cookie, memory, idleTimeout, absoluteTimeout } = this.#services
    const due = this.#whatIsDue(login, reply)
    if (due === null) return
    memory.wrote(login.id)
    this.#hasCarried = !isGone(this.#request)
    if (this.#isRenewed && isForOthers(reply)) {
      this.#request.log.warn('this answer is not for caches: it has a session cookie with new tokens')
      reply.header('cache-control', 'private, no-store').removeHeader('cdn-cache-control').removeHeader('surrogate-control')
    }
    cookie.write(this.#request, reply, due, Math.min(idleTimeout, login.createdAt + absoluteTimeout - now()))
  }

  /** What to write, sealed: never older tokens than there are, and not the newer ones of a request that was there at the same time: it does that. */
  #whatIsDue (login: Login, reply: AnyReply): string | null {
    const { successors } = this.#services
    const newest = successors.newest(login)
    if (this.#pending !== null) return newest === login ? this.#pending : this.#fit(newest)
    if (isForOthers(reply)) return null
    if (this.#isDue(login)) return this.#fit({ ...newest, usedAt: now() })
    const isBehind = isNewer(newest, this.#open() as Login)
    return isBehind && successors.areForKeeping(this.#renewalTurn, login) ? this.#fit({ ...newest, usedAt: now() }) : null
  }

  /** Seals a login so that it fits: if need be without what can be had again, or done without. */
  #fit (login: Login): string | null {
    return this.#sealIfFits(login) ?? this.#sealIfFits(lean(login)) ?? this.#sealIfFits({ ...lean(login), idToken: null })
  }

  #sealIfFits (login: Login): string | null {
    const sealed = this.#services.seal.seal(login)
    return sealed.length <= this.#services.maxSize ? sealed : null
  }

  /** Cookies that are of no use go. Not those in whose place another answer may have put a newer session. */
  #clear (reply: AnyReply): void {
    const { cookie, memory } = this.#services
    const cookies = cookie.fingerprint(this.#request)
    if (cookies === '') return // a visitor who never logged in
    const isReplaced = (this.id !== null && memory.hasEnded(this.id)) || memory.wereReplacedSince(cookies, this.#turn)
    if (!this.#isEnd && (isReplaced || isForOthers(reply))) return
    forbidCaching(reply)
    memory.replaced(cookies, false)
    cookie.clear(this.#request, reply)
  }

  #forget (): void {
    this.#login = undefined
    this.#pending = null
  }

  /** What the request's cookie holds, be it of use or not. */
  #open (): Login | null {
    if (this.#sent === undefined) {
      const sealed = this.#services.cookie.read(this.#request)
      this.#sent = sealed === null ? null : this.#services.opened.open(sealed)
    }
    return this.#sent
  }

  /** By our clock, whatever the browser made of Max-Age (ASVS 5.0 §7.3.1, §7.3.2). */
  #isAlive (login: Login): boolean {
    const { idleTimeout, absoluteTimeout, memory } = this.#services
    return now() < Math.min(login.usedAt + idleTimeout, login.createdAt + absoluteTimeout) && !memory.hasEnded(login.id)
  }

  /** Once in a tenth of the idle time-out for all requests together, and never over what another one wrote meanwhile. */
  #isDue (login: Login): boolean {
    const { memory, idleTimeout } = this.#services
    const dueAt = now() - idleTimeout / 10
    if (login.usedAt > dueAt) return false
    const { turn, at } = memory.lastWrite(login.id)
    return turn <= this.#turn && at <= dueAt
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

  #write (login: Login): Login {
    this.#assertUnwritten()
    this.#login = this.#seal(login)
    return this.#login
  }

  /** Seals a login, and gives it back as a later request will read it. */
  #seal (login: Login): Login {
    const read = frozenCopy(login)
    const sealed = this.#sealIfFits(read) ?? this.#sealIfFits(lean(read))
    if (sealed === null) throw this.#tooLarge(read)
    this.#pending = sealed
    return read
  }

  #tooLarge (login: Login): Error {
    const { seal, maxSize } = this.#services
    return new FST_AUTH0_SESSION_TOO_LARGE(seal.seal(lean(login)).length, maxSize, largestParts(login))
  }

  close (): void {
    this.#isWritten = true
  }

  #assertUnwritten (): void {
    if (this.#isWritten) throw new FST_AUTH0_SESSION_WRITTEN()
  }
}

/** Whether nobody waits for the answer any more. */
function isGone ({ raw }: AnyRequest): boolean {
  return 'stream' in raw ? raw.stream.destroyed : raw.socket.destroyed
}

/** Without access tokens that can be had again. */
function lean (login: Login): Login {
  return { ...login, tokens: { ...login.tokens, access: login.tokens.access.slice(0, 1) } }
}

function largestParts ({ user, data, idToken, tokens }: Login): string {
  const parts = {
    ...prefixed('claim ', user), 'the ID token': idToken, 'the refresh token': tokens.refreshToken, 'the access token': tokens.access[0]?.token, ...prefixed('session data ', data)
  }
  const sizes = Object.entries(parts).map(([name, value]) => ({ name: name.slice(0, 60), size: Buffer.byteLength(JSON.stringify(value ?? null)) }))
  return sizes.sort((a, b) => b.size - a.size).slice(0, 3).map(({ name, size }) => `${name} (${size})`).join(', ')
}

function prefixed (prefix: string, members: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [prefix + name, value]))
}
