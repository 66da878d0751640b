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
export async function changeLogin (
  { records, seal, opened }: LoginStore, session: string, known: StoredRecord, change: (login: Login) => Login
): Promise<StoredLogin | null> {
  let record: StoredRecord | null = known
  for (let attempt = 0; attempt < MAX_ATTEMPTS && record !== null; attempt++) {
    const kept = openLogin(opened, session, record)
    if (kept === null) return null
    const login = loginOf(kept, record)
    const { usedAt: _kept, ...changed } = change(login)
    if (changed.tokens === login.tokens && changed.data === login.data) return { login, record }
    const sealed = seal.seal({ ...kept, login: frozenCopy(changed) } satisfies SealedLogin)
    const outcome = await records.replaceLogin(session, record.version, sealed)
    if (outcome === 'absent') return null
    if (outcome === 'replaced') return readBack({ ...record, login: sealed, version: record.version + 1, usedAt: Date.now() })
    record = await records.read(session)
  }
  if (record === null) return null
  throw new FST_AUTH0_SESSION_UNAVAILABLE()

  function readBack (record: StoredRecord): StoredLogin {
    return { login: loginOf(openLogin(opened, session, record) as SealedLogin, record), record }
  }
}

/** The login of a session, as it is stored; `null` when the session has ended, or nobody is logged in. */
export async function readLogin ({ records, opened }: LoginStore, session: string): Promise<StoredLogin | null> {
  const record = await records.read(session)
  const kept = record === null ? null : openLogin(opened, session, record)
  return record === null || kept === null ? null : { login: loginOf(kept, record), record }
}

/** `null` when nobody is logged in, or the seal was made with another secret, or for another session. */
export function openLogin (opened: OpenedSeals<SealedLogin>, session: string, { login }: StoredRecord): SealedLogin | null {
  const kept = login === null ? null : opened.open(login)
  return kept?.session === session ? kept : null
}

/** A login as sessions have it. */
export function loginOf ({ login }: SealedLogin, { usedAt }: StoredRecord): Login {
  return Object.freeze({ ...login, usedAt: secondsOf(usedAt) })
}

export function isSamePerson ({ user: one }: Pick<Login, 'user'>, { user: other }: Pick<Login, 'user'>): boolean {
  return one.sub === other.sub && one.iss === other.iss
}

/** Of a store's time, seconds. */
export function secondsOf (milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}
