import { FifoMap } from 'toad-cache'
import type { Records } from '../store/records.ts'
import { Renewals, type Kept } from './renewals.ts'
import { hashedName } from './revocations.ts'
import type { Seal } from './seal.ts'
import type { Login, Renewal, RenewedLogin } from './sessions.ts'

const LIFETIME = 60_000 // milliseconds
const REMEMBERED = 10_000

/** Where successors are shared with other processes. */
export interface SharedSuccessors {
  records: Pick<Records, 'keep' | 'recall'>
  seal: Seal
  /** Whatever else has the same records: logins of another instance, client or provider are not meant. */
  realm: readonly string[]
}

/** The answer that is to bring a renewal to where the login is kept. */
export interface Carrier {
  /** Whether it went out without, or cannot go out. */
  isLost (): boolean
}

/** Of a renewal that another process did: what became of its answer is not known here, and who lost a race writes nothing. */
const ELSEWHERE: Carrier = { isLost: () => false }

interface Successor {
  renewed: RenewedLogin
  turn: number
  carrier: Carrier
}

interface SealedSuccessor {
  id: string
  renewed: RenewedLogin
}

/**
 * What refreshes brought, for requests that come with what there was before: sent at the same time, or by a browser that the answer did not reach. A
 * refresh token that is used a second time would end the session at many a provider (RFC 9700 §4.14.2).
 */
export class Successors {
  readonly #known = new FifoMap<Successor>(REMEMBERED, LIFETIME)
  readonly #renewals: Renewals<Kept>
  readonly #shared: SharedSuccessors | null
  #turn = 0

  constructor (records: Pick<Records, 'lease' | 'release'>, shared: SharedSuccessors | null) {
    this.#renewals = new Renewals(records)
    this.#shared = shared
  }

  /** Counts renewals; whoever notes it can ask later which were there by then. */
  get turn (): number {
    return this.#turn
  }

  /** The login with what it became, as far as this process knows. */
  newest (login: Login): Login {
    return newer(login, this.#known.get(login.id)?.renewed)
  }

  /**
   * Whether a request that comes with what a login was has to keep what it became: that was known before the request asked, or whoever should keep it does not. Not what this
   * process has forgotten: by then there may be a newer one elsewhere.
   *
   * @param turn when the request began to ask
   */
  areForKeeping (turn: number, { id }: Login): boolean {
    const known = this.#known.get(id)
    return known !== undefined && (known.turn <= turn || known.carrier.isLost())
  }

  /**
   * Renews a login that is kept where it cannot be read again: by the browser, or by a session that the request has read. Gives what changed, and
   * whether this request has to keep it.
   *
   * @param isOver whether the session has ended meanwhile
   * @param end ends the session, be the request answered or not
   * @param carrier of the request
   */
  async renew (
    login: Login, work: Renewal, { isOver, end, carrier }: { isOver: () => Promise<boolean>, end: () => Promise<unknown>, carrier: Carrier }
  ): Promise<{ renewed: RenewedLogin, isOwn: boolean }> {
    const load = async () => await isOver() ? null : { login: await this.load(login) }
    const { kept, isOwn } = await this.#renewals.run({
      name: login.id,
      load,
      replace: async (_before, renewed) => {
        const now = await load()
        if (now === null || !isNewer(renewed, now.login)) return now && { kept: now, isOwn: false }
        await this.#add(login, renewed, carrier)
        return { kept: { login: { ...login, ...renewed } }, isOwn: true }
      },
      end
    }, work)
    return { renewed: changeOf(kept.login), isOwn }
  }

  /** As `newest`, as far as any process knows: what others know this one knows from now on. */
  async load (login: Login): Promise<Login> {
    const newest = this.newest(login)
    if (this.#shared === null) return newest
    const { records, seal, realm } = this.#shared
    const kept = seal.open(await records.recall(nameOf(realm, login)) ?? '') as SealedSuccessor | null
    if (kept?.id !== login.id || !isNewer(kept.renewed, newest)) return newest
    this.#remember(login, kept.renewed, ELSEWHERE)
    return newer(newest, kept.renewed)
  }

  async #add (login: Login, renewed: RenewedLogin, carrier: Carrier): Promise<void> {
    if (this.#shared !== null) {
      const { records, seal, realm } = this.#shared
      await records.keep(nameOf(realm, login), seal.seal({ id: login.id, renewed } satisfies SealedSuccessor), LIFETIME)
    }
    this.#remember(login, renewed, carrier) // not before: what others cannot know counts as not kept
  }

  #remember ({ id }: Login, renewed: RenewedLogin, carrier: Carrier): void {
    this.#known.set(id, { renewed, turn: ++this.#turn, carrier })
  }
}

function newer (login: Login, renewed: RenewedLogin | undefined): Login {
  return renewed !== undefined && isNewer(renewed, login) ? Object.freeze({ ...login, ...renewed }) : login
}

/** Of two copies of one login. */
export function isNewer (one: Pick<Login, 'tokens'>, other: Pick<Login, 'tokens'>): boolean {
  return one.tokens.refreshes > other.tokens.refreshes
}

function changeOf ({ user, idToken, tokens, issuedAt }: Login): RenewedLogin {
  return { user, idToken, tokens, issuedAt }
}

function nameOf (realm: readonly string[], { id }: Login): string {
  return hashedName('successor', realm, id)
}
