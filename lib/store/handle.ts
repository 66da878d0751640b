import type { Fields, StoredRecord } from './records.ts'

/**
 * What a store knows of a session, on the way through @fastify/session: it travels as a member of the session object, from `get` to `set`, and serializes
 * to nothing, so that it is neither hashed nor kept.
 */
export class Handle {
  /** Hash of the session id: its name in the store, and no credential. */
  readonly session: string
  /** As it was read or written last; `null` when it could not be read. */
  record: StoredRecord | null
  /** What the session object had when it was read or written last: whoever reads the record again does not change that object. */
  fields: Fields
  /** Why it could not be read. */
  readonly failure: Error | null

  constructor (session: string, record: StoredRecord | null, failure: Error | null = null) {
    this.session = session
    this.record = record
    this.fields = record?.fields ?? {}
    this.failure = failure
  }

  toJSON (): undefined {
    return undefined
  }
}

/** Name of the member; @fastify/session copies what has a name, but no symbols. */
export const HANDLE = 'fastify-auth0'

export function handleOf (session: object | null | undefined): Handle | null {
  const handle = (session as Record<string, unknown> | null | undefined)?.[HANDLE]
  return handle instanceof Handle ? handle : null
}
