import { Registers, type Write } from './registers.ts'

/** What the model holds an application to: ids of docs/requirements.md, and in words what has none. */
export type Claim = 'promise 1' | 'promise 2' | 'promise 5' | 'H3' | 'stays logged in' | 'list' | 'answers'

/** What an application did that the model does not allow. */
export class Violation extends Error {
  constructor (readonly claim: Claim, text: string) {
    super(`${claim}: ${text}`)
  }
}

/** A session, as one who only sees answers knows it. */
export interface KnownSession {
  /** Value of its cookie. */
  readonly cookie: string
  /** As lists name it. */
  readonly name: string
  /** `null`: nobody is logged in. */
  readonly login: { readonly sub: string, readonly sid: string, readonly issuedAt: number } | null
  readonly bornAt: number
  /** `unknown`: it was being ended while it began. */
  fate: 'alive' | 'unknown' | 'dead'
  /** Members of `request.session`. */
  readonly fields: Registers
  /** Members of `request.auth0.session.data`. */
  readonly data: Registers
}

/** What an application tells whoever sends a cookie. */
export interface Seen {
  sub: string | null
  sid: string | null
  fields?: Record<string, string>
  data?: Record<string, string>
}

/** Ends sessions, from when it was asked for until it is answered. */
export interface Ending {
  readonly covers: (session: KnownSession) => boolean
  /** Of those that were there when it was asked for. */
  readonly targets: readonly KnownSession[]
  /** Those that cannot begin any more once it is answered. */
  readonly refuses: (session: KnownSession) => boolean
  outcome: 'under way' | 'done' | 'perhaps' | 'nothing'
}

/** Something asked of an application, from then until it is answered. */
export interface Work {
  readonly begunAt: number
  /** What others ended meanwhile. */
  readonly overlaps: Ending[]
  readonly ending: Ending
}

const nothing = () => false

/** Knows what sessions there must be, there may be and there must not be. */
export class Model {
  readonly sessions: KnownSession[] = []
  /** Logouts by the provider. */
  readonly logouts: Ending[] = []
  /** Those of them that may be forgotten: the store lost everything since. */
  readonly #forgotten = new Set<Ending>()
  /** Logins that may have left something in an index, by person. */
  readonly stillborn = new Map<string, number>()
  refusedLogins = 0
  readonly #underWay = new Set<Work>()
  readonly #judged: ReadonlySet<Claim> | null
  #events = 0

  /** @param judged claims that the application is held to; `null`: all */
  constructor (judged: ReadonlySet<Claim> | null = null) {
    this.#judged = judged
  }

  /** Whether nothing is under way. */
  get isQuiet (): boolean {
    return this.#underWay.size === 0
  }

  /** One more event. */
  tick (): number {
    return ++this.#events
  }

  judge (claim: Claim, holds: boolean, text: string): void {
    if (!holds && (this.#judged?.has(claim) ?? true)) throw new Violation(claim, text)
  }

  find (cookie: string | null): KnownSession | null {
    return this.sessions.find(session => session.cookie === cookie) ?? null
  }

  /** Something is asked for, which ends what it covers. */
  begin (covers: (session: KnownSession) => boolean = nothing, refuses: (session: KnownSession) => boolean = nothing): Work {
    const targets = this.sessions.filter(session => session.fate !== 'dead' && covers(session))
    const ending: Ending = { covers, targets, refuses, outcome: 'under way' }
    const work = { begunAt: this.tick(), overlaps: [...this.#underWay].map(other => other.ending), ending }
    for (const other of this.#underWay) other.overlaps.push(ending)
    this.#underWay.add(work)
    return work
  }

  /** It is answered. */
  end (work: Work, outcome: 'done' | 'perhaps' | 'nothing' = 'done'): void {
    const { ending } = work
    this.tick()
    this.#underWay.delete(work)
    ending.outcome = outcome
    if (outcome === 'nothing') return
    const isDone = outcome === 'done'
    for (const session of this.sessions.filter(ending.covers)) {
      if (isDone && (ending.refuses(session) || ending.targets.includes(session))) session.fate = 'dead'
      else if (session.fate === 'alive') session.fate = 'unknown'
    }
  }

  /** The store is empty. */
  forget (): void {
    this.lose(() => true)
    for (const logout of this.logouts) this.#forgotten.add(logout)
  }

  /** What happens at once, and to sessions that are just beginning perhaps. */
  lose (isLost: (session: KnownSession) => boolean): void {
    const at = this.tick()
    this.end(this.begin(session => isLost(session) || session.bornAt > at))
  }

  /** A session that begins with the answer to this work. */
  bear (cookie: string, name: string, login: KnownSession['login'], work: Work): KnownSession {
    this.judge('promise 5', this.find(cookie) === null, 'a session began under an id that was there before')
    const session: KnownSession = { cookie, name, login, bornAt: this.tick(), fate: 'alive', fields: new Registers(), data: new Registers() }
    const overlapping = work.overlaps.filter(({ outcome, covers }) => outcome !== 'nothing' && outcome !== 'under way' && covers(session))
    if (overlapping.length > 0) session.fate = 'unknown'
    if (this.logouts.some(logout => logout.outcome === 'done' && !this.#forgotten.has(logout) && logout.refuses(session))) session.fate = 'dead'
    this.sessions.push(session)
    return session
  }

  /** Whether it was there from when this work began until now. */
  isSurelyAlive (session: KnownSession, { overlaps }: Work): boolean {
    return session.fate === 'alive' && !overlaps.some(({ outcome, covers }) => outcome !== 'nothing' && covers(session))
  }

  /** The application lets somebody know, by an answer or a list, that a session is there, or that it is not. */
  learn (session: KnownSession, isAlive: boolean, work: Work): void {
    if (!isAlive) {
      this.judge('stays logged in', !this.isSurelyAlive(session, work), `nobody ended it, and it is gone: ${describe(session)}`)
      session.fate = 'dead'
    } else if (session.fate === 'unknown' && !work.overlaps.some(({ covers }) => covers(session))) {
      session.fate = 'alive'
    }
  }

  /** Compares what an application tells with what there may be. `wasDead`: when it was asked. */
  judgeSeen (session: KnownSession | null, wasDead: boolean, seen: Seen, work: Work): void {
    const { fields = {}, data = {} } = seen
    if (session === null || wasDead || session.login === null) {
      this.judge('promise 1', seen.sub === null, `${seen.sub} is logged in by ${session === null ? 'no login' : describe(session)}`)
    }
    if (session === null || wasDead || (session.login !== null && seen.sub === null)) {
      this.judge('promise 1', Object.keys(fields).length === 0, `fields are there without their session: ${JSON.stringify(fields)}`)
      if (session !== null) this.learn(session, false, work)
      return
    }
    if (session.login !== null) {
      const { sub, sid } = session.login
      this.judge('promise 5', seen.sub === sub && seen.sid === sid, `${seen.sub} is seen by the cookie of ${describe(session)}`)
      this.learn(session, true, work)
    }
    const { begunAt } = work
    if (session.login === null && seen.fields !== undefined && !this.isSurelyAlive(session, work) && isEmptied(session.fields, fields, begunAt)) {
      session.fate = 'dead'
      return
    }
    if (seen.fields !== undefined) this.#compare('H3', session, session.fields, fields, begunAt)
    if (seen.data !== undefined) this.#compare('promise 2', session, session.data, data, begunAt)
  }

  #compare (claim: Claim, session: KnownSession, registers: Registers, seen: Record<string, string>, since: number): void {
    for (const name of new Set([...registers.names, ...Object.keys(seen)])) {
      const possible = registers.possible(name, since)
      this.judge(claim, possible.has(seen[name]),
        `"${name}" is ${seen[name] ?? 'absent'}, not ${[...possible].map(value => value ?? 'absent').join(' or ')}, in ${describe(session)}`)
    }
  }

  /** Somebody begins to write members of a session. */
  write (session: KnownSession, kind: 'fields' | 'data', values: Record<string, string | undefined>, { begunAt }: Work): Write[] {
    return Object.entries(values).map(([name, value]) => session[kind].begin(name, value, begunAt))
  }
}

/** Whether all is gone of a visitor's session, that had something. */
function isEmptied (registers: Registers, seen: Record<string, string>, since: number): boolean {
  return Object.keys(seen).length === 0 && registers.names.some(name => !registers.possible(name, since).has(undefined))
}

export function describe ({ login, fate, bornAt }: KnownSession): string {
  return `${fate} session #${bornAt} of ${login === null ? 'a visitor' : `${login.sub}, ${login.sid}`}`
}
