import { RedisLink, type RedisClient } from './redis-link.ts'
import { RedisRecords } from './redis-records.ts'
import { SessionStore, type SessionStoreOptions } from './session-store.ts'
import { verifyOption } from './verify-option.ts'

/** Of a store in Redis. */
export interface RedisStoreOptions extends SessionStoreOptions {
  /** A client of ioredis, to one server, to Sentinels or to a Cluster. It stays yours to close. */
  client: RedisClient
  /** Before all keys, without braces. Default: `auth0:`. */
  prefix?: string
}

/**
 * Sessions in Redis, 6.2 or later. Emits `unavailable` when Redis gives no answer, with the error; `available` when it is back; and `corrupt` when
 * it removed a record that could not be read.
 */
export class RedisStore extends SessionStore {
  readonly #link: RedisLink

  /** @throws {FST_AUTH0_OPTIONS_INVALID} 500 that names the option */
  constructor (given: RedisStoreOptions) {
    const { client, prefix = 'auth0:', ...options } = given ?? {}
    // A client given in place of options has a member `client`, too: the command.
    verifyOption(typeof client === 'object' && typeof client?.call === 'function', 'client', 'must be a client of ioredis, such as new Redis("redis://localhost:6379") after import { Redis } from "ioredis"')
    // An index and what stands beside it are in one hash slot because of their own braces, unless others come first.
    verifyOption(typeof prefix === 'string' && !prefix.includes('{'), 'prefix', 'must be a text without "{"')
    const link = new RedisLink(client)
    super(new RedisRecords(link, prefix, () => this.emit('corrupt')), options)
    this.#link = link
    link.on('unavailable', error => this.emit('unavailable', error))
    link.on('available', () => {
      this.emit('available')
      this.endTheRest()
    })
  }

  /** Stops asking whether Redis is back. The client stays open. */
  close (): void {
    this.#link.close()
  }
}
