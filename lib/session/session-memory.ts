import { FifoMap, LruMap } from 'toad-cache'
import { now } from '../clock.ts'

const REMEMBERED_ENDS = 100_000 // 14 MB
const REMEMBERED_WRITES = 10_000
const REMEMBERED_COOKIES = 10_000

/**
 * What one process remembers of sessions that browsers keep, so that answers that overtake each other do no harm. All of it bounded;
 * other processes know nothing of it.
 */
export class SessionMemory {
  readonly #ended: FifoMap<true>
  readonly #written = new LruMap<{ turn: number, at: number }>(REMEMBERED_WRITES)
  readonly #replaced = new LruMap<number>(REMEMBERED_COOKIES)
  #turn = 0

  /** @param absoluteTimeout seconds */
  constructor (absoluteTimeout: number) {
    this.#ended = new FifoMap(REMEMBERED_ENDS, absoluteTimeout * 1000)
  }

  /** Counts what answers did to cookies; whoever notes it can ask later what happened since. */
  get turn (): number {
    return this.#turn
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
