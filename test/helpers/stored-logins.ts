import { randomBytes } from 'node:crypto'
import { now } from '../../lib/clock.ts'
import { LoginIndexes } from '../../lib/session/login-indexes.ts'
import { createSeal } from '../../lib/session/seal.ts'
import type { NewLogin, User } from '../../lib/session/sessions.ts'
import type { RedisClient } from '../../lib/store/redis-link.ts'
import { RedisStore } from '../../lib/store/redis-store.ts'
import { nameOf } from '../../lib/store/session-store.ts'

const TIMES = { idleTimeout: 86_400, absoluteTimeout: 259_200 } // seconds; the plugin's own
const AT_ONCE = 20 // logins

/** Whose logins they are to be. */
export interface StoredLoginsOptions {
  client: RedisClient
  issuer: string
  clientId: string
  secret: string
  /** Default: as long as Auth0's. */
  idToken?: string
}

/** Writes logins into Redis as the plugin does, but nobody needs to log in: thousands in a second. */
export class StoredLogins {
  readonly #store: RedisStore
  readonly #indexes: LoginIndexes
  readonly #seal: ReturnType<typeof createSeal>
  readonly #idToken: string

  constructor ({ client, issuer, clientId, secret, idToken = 'x'.repeat(1150) }: StoredLoginsOptions) {
    const realm = ['auth0', issuer, clientId]
    this.#store = new RedisStore({ client, ...TIMES })
    this.#indexes = new LoginIndexes({ store: this.#store, realm, ...TIMES, maxSessions: null })
    this.#seal = createSeal([secret], JSON.stringify(['stored session 2', ...realm]), TIMES.absoluteTimeout)
    this.#idToken = idToken
  }

  /** Logs somebody in, and gives the id of the session as `sessions.list` has it. */
  async add (user: User): Promise<string> {
    const session = nameOf(random(24))
    const tokens = { refreshToken: null, access: [], refreshes: 0 }
    const login: NewLogin = { id: random(16), user, idToken: this.#idToken, tokens, ownClaims: [], stepUp: {}, begunBy: { id: random(16), returnTo: '/profile' }, issuedAt: now() }
    const { places, notAfter } = await this.#indexes.enter(session, login)
    const sealed = this.#seal.seal({ session, userAgent: USER_AGENT, login: { ...login, data: {}, createdAt: now() } })
    const idleTimeout = TIMES.idleTimeout * 1000
    const absoluteTimeout = TIMES.absoluteTimeout * 1000
    if (!await this.#store.records.create(session, { fields: {}, login: sealed, places, notAfter, idleTimeout, absoluteTimeout })) throw new Error('Not created')
    return session
  }

  /** As `add`, for many. */
  async addAll (users: Iterable<User>): Promise<void> {
    const queue = users[Symbol.iterator]()
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let { done, value } = queue.next(); done !== true; { done, value } = queue.next()) await this.add(value as User)
    }))
  }

  close (): void {
    this.#store.close()
  }
}

const USER_AGENT = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'

function random (bytes: number): string {
  return randomBytes(bytes).toString('base64url')
}
