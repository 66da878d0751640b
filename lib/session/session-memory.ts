import { FifoMap, LruMap } from 'toad-cache'
import { now } from '../clock.ts'
import type { Login } from './sessions.ts'
import { deepFreeze } from './frozen-json.ts'
import type { Seal } from './seal.ts'

const TAG_LENGTH = 22 // characters of a seal's tag, its end
const OPENED_BYTES = 24 * 1024 * 1024 // of seals; with the logins in them some three times as much
const ADMISSION = 30 // milliseconds between two logins that are remembered, once the memory is full
const REMEMBERED_ENDS = 100_000 // 14 MB
const REMEMBERED_WRITES = 10_000
const REMEMBERED_COOKIES = 10_000

/** What session memory needs to know. */
export interface SessionMemoryOptions {
  seal: Seal
  /** Bytes of the longest seal. */
  maxSize: number
  /** Seconds. */
  absoluteTimeout: number
}

/**
 * What one process remembers of sessions that browsers keep, so that opening is cheap and answers that overtake each other do no
 * harm. All of it bounded; other processes know nothing of it.
 */
export class SessionMemory {
  readonly #seal: Seal
  readonly #opened: LruMap<{ sealed: string, login: Login }>
  readonly #ended: FifoMap<true>
  readonly #written = new LruMap<{ turn: number, at: number }>(REMEMBERED_WRITES)
  readonly #replaced = new LruMap<number>(REMEMBERED_COOKIES)
  #turn = 0
  #admittedAt = 0

  constructor ({ seal, maxSize, absoluteTimeout }: SessionMemoryOptions) {
    this.#seal = seal
    this.#opened = new LruMap(Math.ceil(OPENED_BYTES / maxSize))
    this.#ended = new FifoMap(REMEMBERED_ENDS, absoluteTimeout * 1000)
  }

  /** Counts what answers did to cookies; whoever notes it can ask later what happened since. */
  get turn (): number {
    return this.#turn
  }

  /** What was sealed, frozen; from memory when it was opened lately. Its times and its end are still to be looked at. */
  open (sealed: string): Login | null {
    const known = this.#opened.get(sealed.slice(-TAG_LENGTH))
    if (known?.sealed === sealed) return known.login
    const opened = this.#seal.open(sealed)
    if (opened === null) return null
    const login = deepFreeze(opened as Login)
    if (this.#hasRoom()) this.#remember(sealed, login)
    return login
  }

  /**
   * A crowd larger than the memory would push each other out of it, and keeping a login that is not met again costs more than
   * opening it: most of that is collecting the garbage.
   */
  #hasRoom (): boolean {
    if (this.#opened.size < this.#opened.max) return true
    if (Date.now() - this.#admittedAt < ADMISSION) return false
    this.#admittedAt = Date.now()
    return true
  }

  #remember (sealed: string, login: Login): void {
    // A copy: what was cut from a header, a key too, would keep the whole header in memory.
    const copy = Buffer.from(sealed, 'latin1').toString('latin1')
    this.#opened.set(copy.slice(-TAG_LENGTH), { sealed: copy, login })
  }

  /** Remembers that a session ended: an answer still under way must not set its cookie again. */
  end (id: string): void {
    this.#ended.set(id, true)
  }

  hasEnded (id: string): boolean {
    return this.#ended.get(id) === true
  }

  /** Remembers that an answer set the cookie of a session. */
  wrote (id: string): void {
    this.#written.set(id, { turn: ++this.#turn, at: now() })
  }

  /** The latest answer that set the cookie of a session: its turn, and its time in seconds since the epoch. */
  lastWrite (id: string): { turn: number, at: number } {
    return this.#written.get(id) ?? { turn: 0, at: 0 }
  }

  /** Remembers that an answer put a new session in the place of these cookies, for good; or that it cleared them. */
  replaced (cookies: string, forGood: boolean): void {
    this.#replaced.set(cookies, forGood ? Infinity : ++this.#turn)
  }

  wereReplacedSince (cookies: string, turn: number): boolean {
    return (this.#replaced.get(cookies) ?? 0) > turn
  }
}
