import { now } from '../clock.ts'
import { FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_SESSION_TOO_LARGE, FST_AUTH0_SESSION_WRITTEN } from '../errors.ts'
import type { AnyReply, AnyRequest } from '../fastify.ts'
import { createChunkedCookie, type ChunkedCookie } from './chunked-cookie.ts'
import type { CookieAttributes } from './cookies.ts'
import { frozenCopy, verifyJson } from './frozen-json.ts'
import type { Seal } from './seal.ts'
import { SessionMemory } from './session-memory.ts'
import type { Login, NewLogin, Session, Sessions } from './sessions.ts'

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
  memory: SessionMemory
}

/** Sessions that live in the browser, encrypted, and nowhere else. */
export function createCookieSessions (options: CookieSessionOptions): Sessions {
  const cookie = createChunkedCookie(options.name, options.maxSize, options.attributes)
  const services: Services = { ...options, cookie, memory: new SessionMemory(options) }
  return { open: request => new CookieSession(services, request) }
}

class CookieSession implements Session {
  readonly #services: Services
  readonly #request: AnyRequest
  /** When this request began to ask, by the memory's count. */
  readonly #turn: number
  #sent: Login | null | undefined
  #login: Login | null | undefined
  #pending: string | null = null
  #isEnd = false
  #isWritten = false

  constructor (services: Services, request: AnyRequest) {
    this.#services = services
    this.#request = request
    this.#turn = services.memory.turn
  }

  get login (): Login | null {
    if (this.#login === undefined) {
      const sent = this.#open()
      this.#login = sent !== null && this.#isAlive(sent) ? sent : null
    }
    return this.#login
  }

  get id (): string | null {
    return this.#open()?.id ?? null
  }

  async start (login: NewLogin, replaces?: string): Promise<Login> {
    const kept = this.#write({ ...login, data: {}, createdAt: now(), usedAt: now() })
    const { memory, cookie } = this.#services
    for (const previous of [this.id, replaces ?? null]) if (previous !== null) memory.end(previous)
    memory.replaced(cookie.fingerprint(this.#request), true)
    return kept
  }

  async update (data: Record<string, unknown>): Promise<void> {
    const login = this.login
    if (login === null) throw new FST_AUTH0_LOGIN_REQUIRED()
    verifyJson(data)
    // Using what is over already does not bring it back.
    const usedAt = this.#isAlive(login) ? now() : login.usedAt
    this.#write({ ...login, data: { ...login.data, ...data }, usedAt })
  }

  async end (): Promise<void> {
    this.#assertUnwritten()
    if (this.login !== null) this.#services.memory.end(this.login.id)
    this.#login = null
    this.#isEnd = true
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
    const { seal, cookie, memory, idleTimeout, absoluteTimeout } = this.#services
    if (this.#pending === null && this.#isDue(login) && !isForOthers(reply)) this.#pending = seal.seal({ ...login, usedAt: now() })
    if (this.#pending === null) return
    memory.wrote(login.id)
    cookie.write(this.#request, reply, this.#pending, Math.min(idleTimeout, login.createdAt + absoluteTimeout - now()))
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

  /** What the request's cookie holds, be it of use or not. */
  #open (): Login | null {
    if (this.#sent === undefined) {
      const sealed = this.#services.cookie.read(this.#request)
      this.#sent = sealed === null ? null : this.#services.memory.open(sealed)
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

  #write (login: Login): Login {
    this.#assertUnwritten()
    this.#login = this.#seal(login)
    return this.#login
  }

  /** Seals a login, and gives it back as a later request will read it. */
  #seal (login: Login): Login {
    const { seal, maxSize } = this.#services
    const read = frozenCopy(login)
    const sealed = seal.seal(read)
    if (sealed.length > maxSize) throw new FST_AUTH0_SESSION_TOO_LARGE(sealed.length, maxSize, largestParts(read))
    this.#pending = sealed
    return read
  }

  close (): void {
    this.#isWritten = true
  }

  #assertUnwritten (): void {
    if (this.#isWritten) throw new FST_AUTH0_SESSION_WRITTEN()
  }
}

/** Somebody's data are for nobody else's cache, unless the application says so (RFC 9111 §5.2.2). */
function forbidCaching (reply: AnyReply): void {
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-store')
}

/** Whether the application lets caches give the answer to others: with a cookie of ours in it, they would get that too (RFC 9111 §7.3). */
function isForOthers (reply: AnyReply): boolean {
  if (reply.hasHeader('cdn-cache-control') || reply.hasHeader('surrogate-control')) return true
  const said = String(reply.getHeader('cache-control') ?? '')
  return /public|stale-|s-maxage|age\s*=\s*["0]*[1-9]/i.test(said) && !/private|no-store/i.test(said)
}

function largestParts ({ user, data, idToken }: Login): string {
  const parts = { ...prefixed('claim ', user), 'the ID token': idToken, ...prefixed('session data ', data) }
  const sizes = Object.entries(parts).map(([name, value]) => ({ name: name.slice(0, 60), size: Buffer.byteLength(JSON.stringify(value)) }))
  return sizes.sort((a, b) => b.size - a.size).slice(0, 3).map(({ name, size }) => `${name} (${size})`).join(', ')
}

function prefixed (prefix: string, members: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).map(([name, value]) => [prefix + name, value]))
}
