/** The application's own fields of a session: each as JSON. */
export type Fields = Readonly<Record<string, string>>

/** What a store keeps of one session. Times are milliseconds since the epoch, by the store's clock. */
export interface StoredRecord {
  readonly fields: Fields
  /** Opaque to the store; `null` when nobody is logged in. */
  readonly login: string | null
  /** Counts the changes of `login`. */
  readonly version: number
  readonly usedAt: number
  /** Without a use; milliseconds. */
  readonly idleTimeout: number
}

/** A session that begins. */
export interface NewRecord {
  readonly fields: Fields
  readonly login: string | null
  /** Where it stands in indexes. */
  readonly places: readonly Place[]
  /** Milliseconds. */
  readonly idleTimeout: number
  /** Milliseconds. */
  readonly absoluteTimeout: number
  /** Not created after this time, which `enter` gave. */
  readonly notAfter: number | null
}

/** Where a session stands in an index. An entry is `<when it was made>.<session>`, so that the oldest sort first. */
export interface Place {
  readonly index: string
  readonly entry: string
}

/** A session that goes into an index. */
export interface NewEntry {
  readonly session: string
  /** When the provider issued what it begins with, in seconds since the epoch by the provider's clock. */
  readonly issuedAt: number
  /** Milliseconds. */
  readonly idleTimeout: number
  /** Milliseconds. */
  readonly absoluteTimeout: number
  /** How many the index may have; `null`: as many as come. */
  readonly limit: number | null
  readonly refusesBeyond: boolean
}

/** What became of an entry. */
export type Entered =
  /** With the entries that are too many now, and those whose sessions may be over by now. */
  | { readonly outcome: 'entered', readonly entry: string, readonly notAfter: number, readonly surplus: readonly string[], readonly suspects: readonly string[] }
  /** The provider ended it before it began. */
  | { readonly outcome: 'ended' }
  | { readonly outcome: 'full' }

/**
 * Where sessions are kept. Each verb is atomic. Sessions and indexes have names that tell nothing; each is in a hash slot of its own, so
 * that Redis Cluster can part them.
 *
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503, every verb
 */
export interface Records {
  /** What is there and whole; `null` when there is none, or none that can be read. */
  read (session: string): Promise<StoredRecord | null>
  /**
   * Begins a session, or lets somebody log in to one that nobody is logged in to; only a login gives that one new times. Never one that ended,
   * or that has a login.
   */
  create (session: string, record: NewRecord): Promise<boolean>
  /** Changes fields of a session that is there, and counts as its use; `null` removes a field. Gives whether it was there. */
  commit (session: string, changes: Readonly<Record<string, string | null>>): Promise<boolean>
  /** Replaces the login of this version; counts as a use. */
  replaceLogin (session: string, version: number, login: string): Promise<'replaced' | 'changed' | 'absent'>
  /** Counts as a use. Gives whether it was there. */
  touch (session: string): Promise<boolean>
  /** Ends a session, be it there or about to be created. Gives whether it was there, after having removed it from its indexes. */
  end (session: string): Promise<boolean>

  /** Puts a session into an index, before it is created. */
  enter (index: string, entry: NewEntry): Promise<Entered>
  /** The entries of an index; the sessions of some may be over. */
  list (index: string): Promise<readonly string[]>
  /** As `list`, and for so many milliseconds at least nothing enters that was issued before this second of the provider's clock. */
  close (index: string, issuedAt: number, lifetime: number): Promise<readonly string[]>
  /** Drops those entries whose sessions are over. */
  prune (index: string, entries: readonly string[]): Promise<void>

  /** Remembers a name, for so many milliseconds at least, with a value or with the store's time. Gives the store's time. */
  mark (name: string, value: number | null, lifetime: number): Promise<number>
  /** The highest value that these names were marked with, in their order. */
  marks (names: readonly string[]): Promise<ReadonlyArray<number | null>>

  /** Takes what only one owner may have at a time, or keeps it for longer: for so many milliseconds. Gives whether it is the owner's. */
  lease (name: string, owner: string, lifetime: number): Promise<boolean>
  /** Gives a lease back, if it is still the owner's. */
  release (name: string, owner: string): Promise<void>
  /** Remembers a text for so many milliseconds; opaque to the store. */
  keep (name: string, text: string, lifetime: number): Promise<void>
  /** `null` when nothing is remembered, or not any more. */
  recall (name: string): Promise<string | null>
}

/** The session that an entry of an index names. */
export function sessionOf (entry: string): string {
  return entry.slice(entry.indexOf('.') + 1)
}

/** A session that is in an index but not yet there is given so much time to be created, in milliseconds. */
export const BIRTH = 30_000
/** An ended session, and one that never was, cannot be created for so long, in milliseconds: longer than `BIRTH`. */
export const TOMBSTONE = 60_000
/** Entries that `enter` gives to be looked at: more than one, so that an index shrinks faster than it grows. */
export const SUSPECTS = 20
