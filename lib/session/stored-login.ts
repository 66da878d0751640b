import { FST_AUTH0_SESSION_UNAVAILABLE } from '../errors.ts'
import type { Records, StoredRecord } from '../store/records.ts'
import { frozenCopy } from './frozen-json.ts'
import type { OpenedSeals } from './opened-seals.ts'
import type { Seal } from './seal.ts'
import type { Login } from './sessions.ts'

const MAX_ATTEMPTS = 10 // to change a login that others change, too

/** What a store keeps sealed: a login, and the session that it is of, so that it opens in no other. */
export interface SealedLogin {
  session: string
  userAgent: string | null
  login: Omit<Login, 'usedAt'>
}

/** A login as it is in a store. */
export interface StoredLogin {
  readonly login: Login
  readonly record: StoredRecord
  readonly sealed: SealedLogin
}

/** Where logins are stored. */
export interface LoginStore {
  records: Records
  seal: Seal
  opened: OpenedSeals<SealedLogin>
}

/**
 * Changes the login of a session that was read before, and gives it as it is then; `null` when the session has ended.
 *
 * @param change is asked again when somebody else changed it meanwhile; the same login for no change
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 when others are always faster
 */
export async function changeLogin (store: LoginStore, session: string, known: StoredLogin, change: (login: Login) => Login): Promise<StoredLogin | null> {
  let stored: StoredLogin | null = known
  for (let attempt = 0; attempt < MAX_ATTEMPTS && stored !== null; attempt++) {
    const { record, sealed, login } = stored
    const changed = change(login)
    if (changed === login) return stored
    const { usedAt: _kept, ...kept } = changed
    const next = store.seal.seal({ ...sealed, login: frozenCopy(kept) } satisfies SealedLogin)
    const outcome = await store.records.replaceLogin(session, record.version, next)
    if (outcome === 'absent') return null
    if (outcome === 'replaced') return storedLogin(store, session, { ...record, login: next, version: record.version + 1, usedAt: Date.now() })
    stored = await readLogin(store, session)
  }
  if (stored === null) return null
  throw new FST_AUTH0_SESSION_UNAVAILABLE()
}

/** The login of a session, as it is stored; `null` when the session has ended, or nobody is logged in. */
export async function readLogin (store: LoginStore, session: string): Promise<StoredLogin | null> {
  const record = await store.records.read(session)
  return record === null ? null : storedLogin(store, session, record)
}

/** The login of a record; `null` when nobody is logged in. */
export function storedLogin ({ opened }: LoginStore, session: string, record: StoredRecord): StoredLogin | null {
  const sealed = openLogin(opened, session, record)
  return sealed === null ? null : { login: Object.freeze({ ...sealed.login, usedAt: secondsOf(record.usedAt) }), record, sealed }
}

/** `null` when nobody is logged in, or the seal was made with another secret, or for another session. */
export function openLogin (opened: OpenedSeals<SealedLogin>, session: string, { login }: StoredRecord): SealedLogin | null {
  const kept = login === null ? null : opened.open(login)
  return kept?.session === session ? kept : null
}

export function isSamePerson ({ user: one }: Pick<Login, 'user'>, { user: other }: Pick<Login, 'user'>): boolean {
  return one.sub === other.sub && one.iss === other.iss
}

/** Of a store's time, seconds. */
export function secondsOf (milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
