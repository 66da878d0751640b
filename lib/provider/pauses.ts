import { FifoMap } from 'toad-cache'
import { FST_AUTH0_ID_TOKEN_INVALID, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_PROVIDER_UNAVAILABLE } from '../errors.ts'
import { ProviderFailure } from './failures.ts'

const REST = 2000 // milliseconds, and up to as many more, so that processes do not ask in step
const RETRY = 1000 // milliseconds
const REMEMBERED = 10_000
const REMEMBERED_FOR = 3_600_000 // milliseconds, the longest that a provider may ask for

/** What follows from a failure. Times in milliseconds since the epoch. */
interface Pause {
  readonly error: Error
  /** Counts failures. */
  readonly number: number
  /** Until then the provider asked not to be asked. */
  readonly closedUntil: number
  /** Until then nobody asks again. */
  readonly retryAt: number
  /** Until then nobody asks who has a token that will do. Then one does, and the others have a rest once more. */
  restUntil: number
}

/**
 * When a provider that failed is not asked: by nobody before the time that it named; by whoever has a valid token not for some seconds, since it may take as long
 * as `httpTimeout` to see that it still fails; for a login without one not more than once a second. What may be about one person only pauses that login: nobody
 * can keep others from their tokens. So it is for tokens that it is asked about, each by its name.
 */
export class Pauses {
  #everybody: Pause | null = null
  readonly #logins = new FifoMap<Pause>(REMEMBERED, REMEMBERED_FOR)
  #failures = 0

  /**
   * Begins to want a token for a login, and gives the turn in which that was.
   *
   * @param hasToken whether there is one that will do
   * @throws what the provider failed with, when it is not to be asked now
   */
  begin (login: string, hasToken: boolean): number {
    const pauses = [this.#everybody, this.#logins.get(login) ?? null].filter(pause => pause !== null)
    for (const pause of pauses) refuseDuring(pause, hasToken)
    for (const pause of pauses) if (hasToken) pause.restUntil = restFrom(Date.now())
    return this.#failures
  }

  /**
   * To be asked once it is one's turn to ask.
   *
   * @throws what the provider failed with for the same login since then
   */
  verifyNoneSince (turn: number, login: string): void {
    const pause = this.#logins.get(login)
    if (pause !== undefined && pause.number > turn) throw pause.error
  }

  failed (login: string, error: unknown): void {
    const isAway = error instanceof FST_AUTH0_PROVIDER_UNAVAILABLE
    if (!isAway && !(error instanceof FST_AUTH0_PROVIDER_FAILED) && !(error instanceof FST_AUTH0_ID_TOKEN_INVALID)) return // a decision, not a failure
    const wait = error.cause instanceof ProviderFailure ? error.cause.retryAfter : null
    const closedUntil = Date.now() + (wait ?? 0) * 1000
    const pause = { error, number: ++this.#failures, closedUntil, retryAt: closedUntil, restUntil: restFrom(closedUntil) }
    this.#logins.set(login, { ...pause, retryAt: Date.now() + RETRY })
    if (isAway && closedUntil >= (this.#everybody?.closedUntil ?? 0)) this.#everybody = pause // what it asked for counts, whatever came later of those under way
  }

  succeeded (login: string): void {
    this.#logins.delete(login)
    if (this.#everybody !== null && this.#everybody.closedUntil <= Date.now()) this.#everybody = null
  }
}

function refuseDuring ({ error, closedUntil, retryAt, restUntil }: Pause, hasToken: boolean): void {
  const now = Date.now()
  if (now < closedUntil) throw notYet(closedUntil - now)
  if (now < (hasToken ? restUntil : retryAt)) throw error
}

function notYet (remaining: number): Error {
  return new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('the provider asked not to be asked yet', Math.ceil(remaining / 1000)) })
}

function restFrom (time: number): number {
  return time + REST * (1 + Math.random())
}
