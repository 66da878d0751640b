import { LruMap } from 'toad-cache'
import {
  BIRTH, sessionOf, SUSPECTS, TOMBSTONE, type Entered, type Fields, type NewEntry, type NewRecord, type Place, type Records, type StoredRecord
} from './records.ts'

/** What is kept until a time, in milliseconds since the epoch. */
interface Expiring {
  expiresAt: number
}

interface Session extends Expiring {
  fields: Fields
  login: string | null
  version: number
  usedAt: number
  idleTimeout: number
  endsAt: number
  places: readonly Place[]
  hasEnded: boolean
}

interface Index extends Expiring {
  /** By entry, when its session may be over. */
  entries: Map<string, number>
}

interface Mark extends Expiring {
  value: number
}

interface Text extends Expiring {
  text: string
}

/**
 * Sessions in the memory of this process: as many as it is told at most, the one used longest ago makes room. A session stands in two indexes at
 * most, and its use is one of them, too: so none of a session that is there makes room.
 */
export class MemoryRecords implements Records {
  readonly #sessions: LruMap<Session>
  readonly #indexes: LruMap<Index>
  readonly #marks: LruMap<Mark>
  /** By name, the owner. */
  readonly #leases: LruMap<Text>
  readonly #texts: LruMap<Text>

  constructor (maxSessions: number) {
    this.#sessions = new LruMap(maxSessions)
    this.#indexes = new LruMap(2 * maxSessions)
    this.#marks = new LruMap(2 * maxSessions)
    this.#leases = new LruMap(maxSessions)
    this.#texts = new LruMap(maxSessions)
  }

  async read (session: string): Promise<StoredRecord | null> {
    return this.#living(session)
  }

  async create (session: string, { fields, login, places, idleTimeout, absoluteTimeout, notAfter }: NewRecord): Promise<boolean> {
    const present = alive(this.#sessions.get(session))
    if (present?.hasEnded === true || (present?.login ?? null) !== null) return false
    if (notAfter !== null && Date.now() > notAfter) return false
    const times = login === null && present !== null ? present : { idleTimeout, endsAt: Date.now() + absoluteTimeout }
    const created = { usedAt: 0, expiresAt: 0, ...times, fields: { ...present?.fields, ...fields }, login, version: 1, places, hasEnded: false }
    this.#keep(session, use(created))
    return true
  }

  async commit (session: string, changes: Readonly<Record<string, string | null>>): Promise<boolean> {
    const present = this.#living(session)
    if (present === null) return false
    const fields = Object.entries({ ...present.fields, ...changes }).filter((field): field is [string, string] => field[1] !== null)
    this.#keep(session, use({ ...present, fields: Object.fromEntries(fields) }))
    return true
  }

  async replaceLogin (session: string, version: number, login: string): Promise<'replaced' | 'changed' | 'absent'> {
    const present = this.#living(session)
    if (present === null || present.login === null) return 'absent'
    if (present.version !== version) return 'changed'
    this.#keep(session, use({ ...present, login, version: version + 1 }))
    return 'replaced'
  }

  async touch (session: string): Promise<boolean> {
    return this.commit(session, {})
  }

  async end (session: string): Promise<boolean> {
    const present = this.#living(session)
    this.#leave(this.#sessions.get(session))
    this.#keep(session, {
      fields: {}, login: null, version: 0, usedAt: 0, idleTimeout: 0, endsAt: 0, places: [], expiresAt: Date.now() + TOMBSTONE, hasEnded: true
    })
    return present !== null
  }

  async enter (name: string, { session, issuedAt, idleTimeout, absoluteTimeout, limit, refusesBeyond }: NewEntry): Promise<Entered> {
    const closed = this.#markOf(notBefore(name))
    if (closed !== null && !(issuedAt >= closed)) return { outcome: 'ended' }
    const { entries, expiresAt } = alive(this.#indexes.get(name)) ?? { entries: new Map<string, number>(), expiresAt: 0 }
    if (limit !== null && refusesBeyond && entries.size >= limit) return { outcome: 'full' }
    const now = Date.now()
    const surplus = limit === null ? [] : [...entries.keys()].sort().slice(0, Math.max(0, entries.size + 1 - limit))
    const suspects = [...entries].filter(([, mayBeOverAt]) => mayBeOverAt <= now).map(([entry]) => entry).slice(0, SUSPECTS)
    const entry = `${String(now).padStart(15, '0')}.${session}`
    entries.set(entry, now + Math.max(idleTimeout, TOMBSTONE))
    this.#indexes.set(name, { entries, expiresAt: Math.max(expiresAt, now + absoluteTimeout + TOMBSTONE) })
    return { outcome: 'entered', entry, notAfter: now + BIRTH, surplus, suspects }
  }

  async list (index: string): Promise<readonly string[]> {
    return [...alive(this.#indexes.get(index))?.entries.keys() ?? []]
  }

  async close (index: string, issuedAt: number, lifetime: number): Promise<readonly string[]> {
    await this.mark(notBefore(index), issuedAt, lifetime)
    return this.list(index)
  }

  async prune (index: string, entries: readonly string[]): Promise<void> {
    const known = this.#indexes.get(index)?.entries
    for (const entry of entries.filter(entry => known?.has(entry))) {
      const session = this.#living(sessionOf(entry))
      if (session !== null) known?.set(entry, session.expiresAt)
      else if (Date.now() - Number.parseInt(entry) > TOMBSTONE) known?.delete(entry)
    }
  }

  async mark (name: string, value: number | null, lifetime: number): Promise<number> {
    const now = Date.now()
    const known = alive(this.#marks.get(name)) ?? { value: -Infinity, expiresAt: 0 }
    this.#marks.set(name, { value: Math.max(value ?? now, known.value), expiresAt: Math.max(now + lifetime, known.expiresAt) })
    return now
  }

  async marks (names: readonly string[]): Promise<ReadonlyArray<number | null>> {
    return names.map(name => this.#markOf(name))
  }

  async lease (name: string, owner: string, lifetime: number): Promise<boolean> {
    const known = alive(this.#leases.get(name))
    if (known !== null && known.text !== owner) return false
    this.#leases.set(name, { text: owner, expiresAt: Date.now() + lifetime })
    return true
  }

  async release (name: string, owner: string): Promise<void> {
    if (this.#leases.get(name)?.text === owner) this.#leases.delete(name)
  }

  async keep (name: string, text: string, lifetime: number): Promise<void> {
    this.#texts.set(name, { text, expiresAt: Date.now() + lifetime })
  }

  async recall (name: string): Promise<string | null> {
    return alive(this.#texts.get(name))?.text ?? null
  }

  #living (name: string): Session | null {
    const session = alive(this.#sessions.get(name))
    if (session?.hasEnded !== false) return null
    for (const { index } of session.places) this.#indexes.get(index)
    return session
  }

  #keep (name: string, session: Session): void {
    const { size, max, first } = this.#sessions
    if (size === max && !this.#sessions.items.has(name)) this.#leave(first.value)
    this.#sessions.set(name, session)
  }

  #leave (session: Session | undefined): void {
    for (const { index, entry } of session?.places ?? []) this.#indexes.get(index)?.entries.delete(entry)
  }

  #markOf (name: string): number | null {
    return alive(this.#marks.get(name))?.value ?? null
  }
}

function use (session: Session): Session {
  const now = Date.now()
  return { ...session, usedAt: now, expiresAt: Math.min(now + session.idleTimeout, session.endsAt) }
}

function alive<T extends Expiring> (kept: T | undefined): T | null {
  return kept !== undefined && Date.now() < kept.expiresAt ? kept : null
}

function notBefore (index: string): string {
  return `not before ${index}`
}
