import { createHash } from 'node:crypto'
import { FST_AUTH0_LOGIN_EXPIRED } from '../errors.ts'
import type { Records } from '../store/records.ts'
import type { Login, NewLogin, ProviderLogout, SeenTokens, User } from './sessions.ts'

const MOMENT = 1000 // milliseconds
const UNDER_WAY = 60 // seconds; a login that the provider ended may be that far from its session

/**
 * Remembers what was ended, where the server does not keep the sessions themselves: by session, and by the provider's session and person. A mark ends what entered
 * before it, by the one clock of the store; a later login is not touched by it, and does not lift it.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503, every method
 */
export class Revocations implements SeenTokens {
  readonly #records: Pick<Records, 'mark' | 'marks'>
  readonly #realm: readonly string[]
  readonly #lifetime: number

  /**
   * @param realm whatever else has the same store: sessions of another instance, client or provider are not meant
   * @param absoluteTimeout seconds; by then what is marked is over anyway
   */
  constructor (records: Pick<Records, 'mark' | 'marks'>, realm: readonly string[], absoluteTimeout: number) {
    this.#records = records
    this.#realm = realm
    this.#lifetime = (absoluteTimeout + UNDER_WAY) * 1000
  }

  /**
   * Lets a login in, and gives when that was: in milliseconds, by the store's clock.
   *
   * @throws {FST_AUTH0_LOGIN_EXPIRED} 400 when the provider ended it on its way here
   */
  async enter ({ user, issuedAt }: Pick<NewLogin, 'user' | 'issuedAt'>): Promise<number> {
    const enteredAt = await this.verifyAvailable() // first: what is ended from now on is ended by the time of its mark
    const closed = await this.#records.marks(whoIs(user).map(([kind, value]) => this.#name(`issued ${kind}`, value)))
    // Not the other way round: what does not say when it was issued is older.
    if (closed.some(mark => mark !== null && !(issuedAt >= mark))) throw new FST_AUTH0_LOGIN_EXPIRED()
    return enteredAt
  }

  /** Whether a login was ended. */
  async areAny ({ id, user, enteredAt }: Pick<Login, 'id' | 'user' | 'enteredAt'>): Promise<boolean> {
    const names = [['session', id] as const, ...whoIs(user)].map(([kind, value]) => this.#name(`ended ${kind}`, value))
    const marks = await this.#records.marks(names)
    return marks.some(mark => mark !== null && !(enteredAt !== null && enteredAt > mark))
  }

  async end (id: string): Promise<void> {
    await this.#records.mark(this.#name('ended session', id), Number.MAX_SAFE_INTEGER, this.#lifetime)
  }

  async endByProvider (logout: ProviderLogout): Promise<number> {
    const [kind, value] = 'sid' in logout ? ['sid', logout.sid] as const : ['sub', logout.sub] as const
    // First: a login that does not see it entered before the other.
    await this.#records.mark(this.#name(`issued ${kind}`, value), logout.issuedAt, this.#lifetime)
    await this.#records.mark(this.#name(`ended ${kind}`, value), null, this.#lifetime)
    return 1
  }

  /** Verifies that the store can be written to: a replica, or one that is full, answers too. Gives its time, in milliseconds. */
  async verifyAvailable (): Promise<number> {
    return this.#records.mark(this.#name('nothing', ''), 0, MOMENT)
  }

  async has (jti: string): Promise<boolean> {
    const [mark] = await this.#records.marks([this.#name('jti', jti)])
    return mark !== null
  }

  async add (jti: string, lifetime: number): Promise<void> {
    await this.#records.mark(this.#name('jti', jti), 1, lifetime * 1000)
  }

  #name (kind: string, value: string): string {
    return hashedName(kind, this.#realm, value)
  }
}

function whoIs ({ sub, sid }: User): Array<readonly ['sub' | 'sid', string]> {
  return [['sub', sub], ...typeof sid === 'string' ? [['sid', sid] as const] : []]
}

/** A name in a store that tells nothing of what it names. */
export function hashedName (kind: string, realm: readonly string[], value: string): string {
  return createHash('sha256').update(JSON.stringify([kind, ...realm, value])).digest('base64url')
}
