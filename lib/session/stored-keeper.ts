import { isDeepStrictEqual } from 'node:util'
import type { SessionStore } from '../store/session-store.ts'
import type { LoginKeeper } from './renewals.ts'
import { changeLogin, readLogin, type LoginStore, type StoredLogin } from './stored-login.ts'
import { isNewer } from './successors.ts'

/** Keeps the login of a session renewed in its store. */
export function storedKeeper (services: LoginStore & { store: SessionStore }, session: string): LoginKeeper<StoredLogin> {
  return {
    name: session,
    load: () => readLogin(services, session),
    async replace (before, renewed) {
      const kept = await changeLogin(services, session, before, login => isNewer(renewed, login) ? { ...login, ...renewed } : login)
      return kept && { kept, isOwn: isDeepStrictEqual(kept.login.tokens, renewed.tokens) }
    },
    end: () => services.store.end(session)
  }
}
