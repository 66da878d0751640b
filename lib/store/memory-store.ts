import { MemoryRecords } from './memory-records.ts'
import { SessionStore, type SessionStoreOptions } from './session-store.ts'
import { verifyOption } from './verify-option.ts'

/** Of a store in memory. */
export interface MemoryStoreOptions extends SessionStoreOptions {
  /** Sessions at most; the one used longest ago makes room. Default: 100 000. */
  maxEntries?: number
}

/** Sessions in the memory of one process, for development and tests: they end with it, and no other process knows them. */
export class MemoryStore extends SessionStore {
  /** @throws {FST_AUTH0_OPTIONS_INVALID} 500 that names the option */
  constructor ({ maxEntries = 100_000, ...options }: MemoryStoreOptions = {}) {
    verifyOption(Number.isInteger(maxEntries) && maxEntries > 0, 'maxEntries', 'must be a whole number of sessions')
    super(new MemoryRecords(maxEntries), options)
  }
}
