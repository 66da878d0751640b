import type { SessionStore } from '../store/session-store.ts'
import type { LoginIndexes } from './login-indexes.ts'
import type { OpenedSeals } from './opened-seals.ts'
import type { KnownSession, SessionDirectory } from './sessions.ts'
import { openLogin, secondsOf, type SealedLogin } from './stored-login.ts'

/** What a directory needs. */
export interface DirectoryServices {
  store: SessionStore
  indexes: LoginIndexes
  opened: OpenedSeals<SealedLogin>
}

/** Looks only at the sessions of the person that is asked for. */
export function createDirectory ({ store, indexes, opened }: DirectoryServices): SessionDirectory {
  async function look (session: string): Promise<KnownSession | null> {
    const record = await store.records.read(session)
    const kept = record === null ? null : openLogin(opened, session, record)
    if (record === null || kept === null) return null
    return { id: session, createdAt: kept.login.createdAt, usedAt: secondsOf(record.usedAt), userAgent: kept.userAgent }
  }

  return {
    async list (sub) {
      const looked = await Promise.all((await indexes.sessionsOf(sub)).map(look))
      const known = looked.filter(session => session !== null)
      if (known.length < looked.length) await indexes.prune(sub)
      return known
    },
    end: id => store.end(id),
    endAll: async (sub, except) => endEach(store, (await indexes.sessionsOf(sub)).filter(session => session !== except))
  }
}

/** Gives how many there were. */
export async function endEach (store: SessionStore, sessions: readonly string[]): Promise<number> {
  const ended = await Promise.all(sessions.map(session => store.end(session)))
  return ended.filter(wasThere => wasThere).length
}
