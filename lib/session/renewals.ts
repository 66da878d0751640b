import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { FifoMap } from 'toad-cache'
import { FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_PROVIDER_UNAVAILABLE, FST_AUTH0_REFRESH_TOKEN_REFUSED } from '../errors.ts'
import type { Records } from '../store/records.ts'
import type { Login, Renewal, RenewedLogin } from './sessions.ts'

/** Milliseconds after which others go on when a process died in the middle of its work; who is alive asks for more. */
const LEASE = 3000
const POLL = 25 // milliseconds
const MAX_WAIT = 15_000 // milliseconds
const MAX_ATTEMPTS = 3 // when others renew the same login for something else, without a lease
const MAX_UNKEPT = 1000
const UNKEPT_FOR = 3_600_000 // milliseconds

/** A login as it is kept, with what belongs to it there. */
export interface Kept {
  readonly login: Login
}

/** Where the login of one session is kept. */
export interface LoginKeeper<K extends Kept> {
  /** Names the session for all who share it. */
  readonly name: string
  /** As it is kept by now; `null` when the session has ended. */
  load (): Promise<K | null>
  /** Keeps it renewed, unless somebody else was faster. Gives what is kept now; `null` when the session has ended. */
  replace (before: K, renewed: RenewedLogin): Promise<Renewed<K> | null>
  end (): Promise<unknown>
}

/** What became of a renewal, and whether it was this very call that kept it. */
export interface Renewed<K extends Kept> {
  readonly kept: K
  readonly isOwn: boolean
}

/** Renews logins: one piece of work at a time for each session, in all processes that share the records. */
export class Renewals<K extends Kept> {
  readonly #records: Pick<Records, 'lease' | 'release'>
  /** What could not be kept where logins are kept, for the next one to keep: a refresh token that is lost is a login that is lost. */
  readonly #unkept = new FifoMap<RenewedLogin>(MAX_UNKEPT, UNKEPT_FOR)
  readonly #underWay = new Map<string, Promise<Renewed<K>>>()
  /** The end of what is under way for a session, and of all that waits for it here. */
  readonly #turns = new Map<string, Promise<void>>()

  constructor (records: Pick<Records, 'lease' | 'release'>) {
    this.#records = records
  }

  /**
   * @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when the session has ended
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503 when others are at it for too long
   */
  async run (keeper: LoginKeeper<K>, work: Renewal): Promise<Renewed<K>> {
    const name = `${keeper.name} ${work.name}`
    const known = this.#underWay.get(name)
    if (known !== undefined) {
      const { kept, isOwn } = await known
      // It may have found that there was nothing to do, for somebody who wanted less.
      return isOwn || work.isDone(kept.login) ? { kept, isOwn: false } : this.run(keeper, work)
    }
    const run = this.#inTurn(keeper.name, () => this.#runAlone(keeper, work)).finally(() => this.#underWay.delete(name))
    this.#underWay.set(name, run)
    return run
  }

  /** After whatever this process began before for the same session, so that only processes have to wait for a lease. */
  #inTurn<T> (session: string, run: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(session) ?? Promise.resolve()).then(run)
    const end = turn.then(() => {}, () => {}).finally(() => { if (this.#turns.get(session) === end) this.#turns.delete(session) })
    this.#turns.set(session, end)
    return turn
  }

  async #runAlone (keeper: LoginKeeper<K>, work: Renewal): Promise<Renewed<K>> {
    const release = await this.#lease(keeper.name)
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const found = present(await this.#load(keeper))
        const before = found.kept
        if (work.isDone(before.login)) return found
        const renewed = await work.run(before.login).catch(error => this.#verifyFinal(keeper, before, error))
        if (renewed === null) continue
        const result = await this.#keep(keeper, before, renewed)
        if (result === null) work.discard(renewed)
        if (present(result).isOwn) return present(result)
      }
      throw new FST_AUTH0_PROVIDER_UNAVAILABLE()
    } finally {
      await release()
    }
  }

  /** As it is kept by now, after what could not be kept before. */
  async #load (keeper: LoginKeeper<K>): Promise<Renewed<K> | null> {
    const kept = await keeper.load()
    const unkept = this.#unkept.get(keeper.name)
    if (kept === null || unkept === undefined) return kept && { kept, isOwn: false }
    return this.#keep(keeper, kept, unkept)
  }

  async #keep (keeper: LoginKeeper<K>, before: K, renewed: RenewedLogin): Promise<Renewed<K> | null> {
    this.#unkept.set(keeper.name, renewed)
    const result = await keeper.replace(before, renewed)
    this.#unkept.delete(keeper.name)
    return result
  }

  /** A refresh token that is refused ends the session, unless it is one of yesterday: then gives `null`, for another attempt. */
  async #verifyFinal (keeper: LoginKeeper<K>, before: K, error: unknown): Promise<null> {
    if (!(error instanceof FST_AUTH0_REFRESH_TOKEN_REFUSED)) throw error
    const { login } = present(await keeper.load())
    if (login.tokens.refreshes !== before.login.tokens.refreshes) return null
    await keeper.end()
    throw error
  }

  /** Waits until nobody else is at it, and gives what lets the next one. */
  async #lease (name: string): Promise<() => Promise<void>> {
    const owner = randomBytes(16).toString('base64url')
    const hold = () => this.#records.lease(name, owner, LEASE)
    const waitsUntil = performance.now() + MAX_WAIT
    while (!await hold()) {
      if (performance.now() > waitsUntil) throw new FST_AUTH0_PROVIDER_UNAVAILABLE()
      await delay(POLL * (1 + Math.random()))
    }
    const timer = setInterval(() => hold().catch(() => {}), LEASE / 3).unref() // once it is lost, `replace` sees what others did
    return async () => {
      clearInterval(timer)
      await this.#records.release(name, owner).catch(() => {}) // it ends by itself
    }
  }
}

/** @throws {FST_AUTH0_LOGIN_REQUIRED} 401 when the session has ended */
export function present<T> (kept: T | null): T {
  if (kept === null) throw new FST_AUTH0_LOGIN_REQUIRED()
  return kept
}
