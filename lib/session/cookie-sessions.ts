import { randomBytes } from 'node:crypto'
import { FifoMap, LruMap } from 'toad-cache'
import {
  FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_SESSION_DATA_INVALID, FST_AUTH0_SESSION_TOO_LARGE, FST_AUTH0_SESSION_WRITTEN
} from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { createChunkedCookie, type ChunkedCookie } from './chunked-cookie.ts'
import type { CookieAttributes } from './cookies.ts'
import type { Seal } from './seal.ts'
import type { Login, NewLogin, Session, Sessions } from './sessions.ts'

const TAG_LENGTH = 22 // characters of a seal's tag, its end
const REMEMBERED_LOGINS = 2000 // opened lately; some 10 kB each
const REMEMBERED_ENDS = 10_000

/** What encrypted-cookie sessions need to know. Times in seconds. */
export interface CookieSessionOptions {
  name: string
  attributes: CookieAttributes
  /** Bytes of all its cookies together. */
  maxSize: number
  idleTimeout: number
  absoluteTimeout: number
  seal: Seal
}

interface Services extends CookieSessionOptions {
  cookie: ChunkedCookie
  /** Opening costs more than looking up; asked only after `ended`, and its times are checked like any other's. */
  opened: LruMap<{ sealed: string, login: Login }>
  /** Ids of sessions that ended here: an answer still under way must not set their cookie again. */
  ended: FifoMap<true>
}

/** Sessions that live in the browser, encrypted, and nowhere else. */
export function createCookieSessions (options: CookieSessionOptions): Sessions {
  const services: Services = {
    ...options,
    cookie: createChunkedCookie(options.name, options.maxSize, options.attributes),
    opened: new LruMap(REMEMBERED_LOGINS),
    ended: new FifoMap(REMEMBERED_ENDS, options.absoluteTimeout * 1000)
  }
  return { open: request => new CookieSession(services, request) }
}

class CookieSession implements Session {
  readonly #services: Services
  readonly #request: AnyRequest
  #login: Login | null | undefined
  #pending: string | null = null
  #isWritten = false

  constructor (services: Services, request: AnyRequest) {
    this.#services = services
    this.#request = request
  }

  get login (): Login | null {
    if (this.#login === undefined) this.#login = this.#read()
    return this.#login
  }

  async start (login: NewLogin): Promise<void> {
    const previous = this.login
    const id = randomBytes(16).toString('base64url')
    this.#write({ ...login, id, data: {}, createdAt: now(), usedAt: now() })
    if (previous !== null) this.#services.ended.set(previous.id, true)
  }

  async update (data: Record<string, unknown>): Promise<void> {
    const login = this.login
    if (login === null) throw new FST_AUTH0_LOGIN_REQUIRED()
    if (typeof data !== 'object' || data === null || Array.isArray(data)) throw new FST_AUTH0_SESSION_DATA_INVALID()
    this.#write({ ...login, data: { ...login.data, ...data }, usedAt: now() })
  }

  async end (): Promise<void> {
    this.#assertUnwritten()
    if (this.login !== null) this.#services.ended.set(this.login.id, true)
    this.#login = null
    this.#pending = null
  }

  commit (reply: AnyReply): void {
    const login = this.#login
    if (login === undefined || this.#isWritten) return // nobody asked, or an error made Fastify send twice
    this.#isWritten = true
    // Cookies that we cannot use go; an anonymous visitor sent none.
    if (login === null) return this.#services.cookie.clear(this.#request, reply)
    // Ended by another request meanwhile. The browser may have a newer session already: leave it alone.
    if (this.#isEnded(login)) return
    forbidCaching(reply)
    if (this.#pending === null && this.#isDue(login)) this.#seal({ ...login, usedAt: now() })
    if (this.#pending === null) return
    const maxAge = Math.min(this.#services.idleTimeout, login.createdAt + this.#services.absoluteTimeout - now())
    this.#services.cookie.write(this.#request, reply, this.#pending, maxAge)
  }

  #read (): Login | null {
    const sealed = this.#services.cookie.read(this.#request)
    if (sealed === null) return null
    const login = this.#open(sealed)
    return login !== null && this.#isAlive(login) ? login : null
  }

  #open (sealed: string): Login | null {
    const { opened, seal } = this.#services
    const tag = sealed.slice(-TAG_LENGTH)
    const known = opened.get(tag)
    if (known?.sealed === sealed) return known.login
    const login = seal.open(sealed)
    if (login === null) return null
    // A copy: what was cut from a header would keep the whole header in memory.
    opened.set(tag, { sealed: Buffer.from(sealed, 'latin1').toString('latin1'), login: deepFreeze(login as Login) })
    return login as Login
  }

  /** By our clock, whatever the browser made of Max-Age (ASVS 5.0 §7.3.1, §7.3.2). */
  #isAlive (login: Login): boolean {
    const { idleTimeout, absoluteTimeout } = this.#services
    return now() < login.usedAt + idleTimeout && now() < login.createdAt + absoluteTimeout && !this.#isEnded(login)
  }

  #isEnded (login: Login): boolean {
    return this.#services.ended.get(login.id) === true
  }

  #isDue (login: Login): boolean {
    return now() - login.usedAt >= this.#services.idleTimeout / 10
  }

  #write (login: Login): void {
    this.#assertUnwritten()
    this.#login = this.#seal(login)
  }

  /** Seals a login, and gives it back as a later request will read it. */
  #seal (login: Login): Login {
    const read = jsonCopy(login)
    const sealed = this.#services.seal.seal(read)
    if (sealed.length > this.#services.maxSize) {
      throw new FST_AUTH0_SESSION_TOO_LARGE(sealed.length, this.#services.maxSize, largestParts(read))
    }
    this.#pending = sealed
    return deepFreeze(read)
  }

  #assertUnwritten (): void {
    if (this.#isWritten) throw new FST_AUTH0_SESSION_WRITTEN()
  }
}

/** Somebody's data are for nobody else's cache, unless the application says so (RFC 9111 §5.2.2). */
function forbidCaching (reply: AnyReply): void {
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-store')
}

function jsonCopy (login: Login): Login {
  try {
    return JSON.parse(JSON.stringify(login))
  } catch (error) {
    throw new FST_AUTH0_SESSION_DATA_INVALID({ cause: error }) // a cycle, or a BigInt
  }
}

function largestParts ({ user, data, idToken }: Login): string {
  const parts = Object.entries({ ...user, idToken, ...data }).map(([name, value]) => [name, JSON.stringify(value).length] as const)
  return parts.sort(([, a], [, b]) => b - a).slice(0, 3).map(([name, size]) => `${name} (${size})`).join(', ')
}

/** One login is shared by all requests that bring its cookie; a handler must not change it for the others. */
function deepFreeze<T> (value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}

function now (): number {
  return Math.floor(Date.now() / 1000)
}
