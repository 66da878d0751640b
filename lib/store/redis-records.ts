import { sessionOf, type Entered, type NewEntry, type NewRecord, type Place, type Records, type StoredRecord } from './records.ts'
import type { RedisLink } from './redis-link.ts'
import { CLOSE, COMMIT, CREATE, END, ENTER, LEASE, MARK, REFILE, RELEASE, REPLACE_LOGIN } from './scripts.ts'

const FIELD = 'd:'

/** Sessions in Redis, version 6.2 or later: a hash each, scripts for whatever changes one. */
export class RedisRecords implements Records {
  readonly #link: RedisLink
  readonly #prefix: string
  readonly #onCorrupt: () => void

  /** @param onCorrupt is told of a record that could not be read, and was removed */
  constructor (link: RedisLink, prefix: string, onCorrupt: () => void) {
    this.#link = link
    this.#prefix = prefix
    this.#onCorrupt = onCorrupt
  }

  async read (session: string): Promise<StoredRecord | null> {
    const key = this.#session(session)
    const list = asList(await this.#link.call('HGETALL', key).catch(ifWrongType(['?', ''])) as string[])
    if (list.length === 0 || list[0] === 't') return null
    const record = parseRecord(list)
    if (record === null) {
      await this.end(session)
      this.#onCorrupt()
    }
    return record
  }

  async create (session: string, { fields, login, places, idleTimeout, absoluteTimeout, notAfter }: NewRecord): Promise<boolean> {
    const own = Object.entries(fields).flatMap(([name, json]) => [FIELD + name, json])
    return isOne(await this.#link.run(CREATE, [this.#session(session)],
      [idleTimeout, absoluteTimeout, notAfter ?? '', login ?? '', formatPlaces(places), ...own]))
  }

  async commit (session: string, changes: Readonly<Record<string, string | null>>): Promise<boolean> {
    const changed = Object.entries(changes).filter(([, json]) => json !== null).flatMap(([name, json]) => [FIELD + name, json as string])
    const removed = Object.keys(changes).filter(name => changes[name] === null).map(name => FIELD + name)
    return isOne(await this.#link.run(COMMIT, [this.#session(session)], [changed.length / 2, ...changed, ...removed]))
  }

  async replaceLogin (session: string, version: number, login: string): Promise<'replaced' | 'changed' | 'absent'> {
    return await this.#link.run(REPLACE_LOGIN, [this.#session(session)], [version, login]) as 'replaced' | 'changed' | 'absent'
  }

  async touch (session: string): Promise<boolean> {
    return this.commit(session, {})
  }

  async end (session: string): Promise<boolean> {
    const places = await this.#link.run(END, [this.#session(session)], []) as string | null
    if (places === null) return false
    await Promise.all(parsePlaces(places).map(({ index, entry }) => this.#link.call('ZREM', this.#index(index), entry).catch(ifWrongType(0))))
    return true
  }

  async enter (index: string, { session, issuedAt, idleTimeout, absoluteTimeout, limit, refusesBeyond }: NewEntry): Promise<Entered> {
    const [outcome, entry, notAfter, surplus, suspects] = await this.#link.run(ENTER, [this.#index(index), this.#notBefore(index)],
      [session, issuedAt, idleTimeout, absoluteTimeout, limit ?? 0, refusesBeyond ? 1 : 0]) as ['entered' | 'ended' | 'full', string, number | string, string[], string[]]
    return outcome === 'entered' ? { outcome, entry, notAfter: Number(notAfter), surplus, suspects } : { outcome }
  }

  async list (index: string): Promise<readonly string[]> {
    return await this.#link.call('ZRANGE', this.#index(index), 0, -1).catch(ifWrongType([])) as string[]
  }

  async close (index: string, issuedAt: number, lifetime: number): Promise<readonly string[]> {
    return await this.#link.run(CLOSE, [this.#index(index), this.#notBefore(index)], [issuedAt, lifetime]) as string[]
  }

  async prune (index: string, entries: readonly string[]): Promise<void> {
    if (entries.length === 0) return
    const ends = await Promise.all(entries.map(entry => this.#mayBeOverAt(sessionOf(entry))))
    await this.#link.run(REFILE, [this.#index(index)], entries.flatMap((entry, at) => [entry, ends[at] as number]))
  }

  async mark (name: string, value: number | null, lifetime: number): Promise<number> {
    return Number(await this.#link.run(MARK, [this.#mark(name)], [value ?? '', lifetime]))
  }

  async marks (names: readonly string[]): Promise<ReadonlyArray<number | null>> {
    const values = await Promise.all(names.map(name => this.#link.call('GET', this.#mark(name)).catch(ifWrongType('?')))) as Array<string | null>
    return values.map(value => value === null ? null : parseMark(value))
  }

  async lease (name: string, owner: string, lifetime: number): Promise<boolean> {
    return isOne(await this.#link.run(LEASE, [this.#lease(name)], [owner, lifetime]))
  }

  async release (name: string, owner: string): Promise<void> {
    await this.#link.run(RELEASE, [this.#lease(name)], [owner])
  }

  async keep (name: string, text: string, lifetime: number): Promise<void> {
    await this.#link.call('SET', this.#text(name), text, 'PX', lifetime)
  }

  async recall (name: string): Promise<string | null> {
    return await this.#link.call('GET', this.#text(name)).catch(ifWrongType(null)) as string | null
  }

  /** 0 when it is over. */
  async #mayBeOverAt (session: string): Promise<number> {
    const times = await this.#link.call('HMGET', this.#session(session), 'u', 'i', 'a').catch(ifWrongType([])) as Array<string | null>
    const [usedAt, idleTimeout, end] = times.map(Number) as [number, number, number]
    return Math.min(usedAt + idleTimeout, end) || 0 // what cannot be read
  }

  #session (name: string): string {
    return `${this.#prefix}session:${name}`
  }

  /** One hash slot with the not-before time. */
  #index (name: string): string {
    return `${this.#prefix}index:{${name}}`
  }

  #notBefore (name: string): string {
    return `${this.#prefix}not-before:{${name}}`
  }

  #mark (name: string): string {
    return `${this.#prefix}mark:${name}`
  }

  #lease (name: string): string {
    return `${this.#prefix}lease:${name}`
  }

  #text (name: string): string {
    return `${this.#prefix}text:${name}`
  }
}

/** One pass, and no more objects than it gives: every request that has a session waits for this. */
function parseRecord (list: readonly string[]): StoredRecord | null {
  const own: Record<string, string> = {}
  const fields: Record<string, string> = Object.create(null)
  for (let at = 0; at < list.length; at += 2) {
    const name = list[at] as string
    if (name.startsWith(FIELD)) fields[name.slice(FIELD.length)] = list[at + 1] as string
    else own[name] = list[at + 1] as string
  }
  const { l: login = null, v, u, i, a } = own
  if (!isWholeNumber(v) || !isWholeNumber(u) || !isWholeNumber(i) || !isWholeNumber(a)) return null
  return { fields, login, version: Number(v), usedAt: Number(u), idleTimeout: Number(i) }
}

/** Names and values in turn, as they come; a client may make an object of them. */
function asList (hash: readonly string[] | Readonly<Record<string, string>>): readonly string[] {
  return Array.isArray(hash) ? hash : Object.entries(hash).flat()
}

function formatPlaces (places: readonly Place[]): string {
  return places.map(({ index, entry }) => `${index} ${entry}`).join('\n')
}

function parsePlaces (places: string): Place[] {
  return places.split('\n').filter(line => line !== '').map(line => {
    const [index, entry] = line.split(' ') as [string, string]
    return { index, entry }
  })
}

/** One that cannot be read is higher than any. */
function parseMark (value: string): number {
  const mark = Number.parseFloat(value)
  return Number.isNaN(mark) ? Infinity : mark
}

function isWholeNumber (text: string | undefined): boolean {
  return text !== undefined && /^\d+$/.test(text)
}

/** A client may be told to give numbers as strings. */
function isOne (reply: unknown): boolean {
  return Number(reply) === 1
}

/** What to make of a key that holds something else than ours do. */
function ifWrongType<T> (instead: T): (error: unknown) => T {
  return error => {
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return instead
    throw error
  }
}
