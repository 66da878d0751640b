import { isDeepStrictEqual } from 'node:util'
import { FifoMap } from 'toad-cache'
import type { LoginKeeper, Renewed } from './renewals.ts'
import type { RenewedLogin } from './sessions.ts'
import { changeLogin, readLogin, type LoginStore, type StoredLogin } from './stored-login.ts'

const MAX_UNKEPT = 1000
const UNKEPT_FOR = 3_600_000 // milliseconds

/**
 * Keeps renewed logins in a store. What a store that is away did not take stays here until it is back: a refresh token that is lost is a login that is
 * lost, where it is good only once.
 *
 * @param end ends a session by its name
 */
export function createKeepers (store: LoginStore, end: (session: string) => Promise<unknown>): (session: string) => LoginKeeper<StoredLogin> {
  const unkept = new FifoMap<RenewedLogin>(MAX_UNKEPT, UNKEPT_FOR)

  async function keep (session: string, stored: StoredLogin, renewed: RenewedLogin): Promise<Renewed<StoredLogin> | null> {
    const kept = await changeLogin(store, session, stored, login => login.tokens.refreshes + 1 === renewed.tokens.refreshes ? { ...login, ...renewed } : login)
    return kept && { kept, isOwn: isDeepStrictEqual(kept.login.tokens, renewed.tokens) }
  }

  return session => ({
    name: session,

    async load () {
      const stored = await readLogin(store, session)
      const late = unkept.get(session)
      if (stored === null || late === undefined) return stored
      const result = await keep(session, stored, late)
      unkept.delete(session)
      return result && result.kept
    },

    async replace (before, renewed) {
      unkept.set(session, renewed)
      const result = await keep(session, before, renewed)
      unkept.delete(session)
      return result
    },

    end: () => end(session)
  })
}
