import { FST_AUTH0_LOGIN_EXPIRED, FST_AUTH0_TOO_MANY_SESSIONS } from '../errors.ts'
import { sessionOf, type Place, type Records } from '../store/records.ts'
import type { SessionStore } from '../store/session-store.ts'
import { hashedName } from './revocations.ts'
import type { NewLogin, ProviderLogout } from './sessions.ts'

/** What indexes of logins need to know. Times in seconds. */
export interface LoginIndexOptions {
  store: SessionStore
  /** Whatever else has the same store: sessions of another instance, client or provider are not meant. */
  realm: readonly string[]
  idleTimeout: number
  absoluteTimeout: number
  maxSessions: { readonly limit: number, readonly onExceed: 'end-oldest' | 'refuse-login' } | null
}

/** Finds sessions by person, and by the provider's own session, without looking at all. */
export class LoginIndexes {
  readonly #options: LoginIndexOptions
  readonly #records: Records

  constructor (options: LoginIndexOptions) {
    this.#options = options
    this.#records = options.store.records
  }

  /**
   * Puts a session where it will be found, before it is created: what ends it meanwhile ends it.
   *
   * @throws {FST_AUTH0_TOO_MANY_SESSIONS} 403
   * @throws {FST_AUTH0_LOGIN_EXPIRED} 400 when the provider ended it meanwhile
   */
  async enter (session: string, { user: { sub, sid }, issuedAt }: NewLogin): Promise<{ places: Place[], notAfter: number }> {
    // Last the one with the limit: a login that the provider ended takes nobody's place.
    const first = typeof sid === 'string' ? await this.#enter(this.#nameOf({ sid }), session, issuedAt, null) : null
    const last = await this.#enter(this.#nameOf({ sub }), session, issuedAt, this.#options.maxSessions)
    return { places: first === null ? [last.place] : [first.place, last.place], notAfter: (first ?? last).notAfter }
  }

  /** Names of the sessions of a person, newest first; some may be over. */
  async sessionsOf (sub: string): Promise<string[]> {
    const entries = await this.#records.list(this.#nameOf({ sub }))
    return [...entries].sort().reverse().map(sessionOf)
  }

  /** Names of the sessions that a logout at the provider ends; logins that began before it are no longer let in. */
  async close (logout: ProviderLogout): Promise<string[]> {
    const entries = await this.#records.close(this.#nameOf(logout), logout.issuedAt, this.#options.absoluteTimeout * 1000)
    return entries.map(sessionOf)
  }

  /** Drops what is over from the index of a person. */
  async prune (sub: string): Promise<void> {
    const name = this.#nameOf({ sub })
    await this.#records.prune(name, await this.#records.list(name))
  }

  async #enter (index: string, session: string, issuedAt: number, maxSessions: LoginIndexOptions['maxSessions']): Promise<{ place: Place, notAfter: number }> {
    const { idleTimeout, absoluteTimeout, store } = this.#options
    // Only those that are there count.
    if (maxSessions !== null) await this.#records.prune(index, await this.#records.list(index))
    const entered = await this.#records.enter(index, {
      session,
      issuedAt,
      idleTimeout: idleTimeout * 1000,
      absoluteTimeout: absoluteTimeout * 1000,
      limit: maxSessions?.limit ?? null,
      refusesBeyond: maxSessions?.onExceed === 'refuse-login'
    })
    if (entered.outcome === 'full') throw new FST_AUTH0_TOO_MANY_SESSIONS()
    if (entered.outcome === 'ended') throw new FST_AUTH0_LOGIN_EXPIRED()
    await Promise.all(entered.surplus.map(entry => store.end(sessionOf(entry))))
    await this.#records.prune(index, entered.suspects)
    return { place: { index, entry: entered.entry }, notAfter: entered.notAfter }
  }

  #nameOf (who: { sub: string } | { sid: string }): string {
    return 'sid' in who ? hashedName('sid', this.#options.realm, who.sid) : hashedName('sub', this.#options.realm, who.sub)
  }
}
