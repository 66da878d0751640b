import type { StoredRecord } from '../store/records.ts'
import type { OpenedSeals } from './opened-seals.ts'
import type { Login } from './sessions.ts'

/** What a store keeps sealed: a login, and the session that it is of, so that it opens in no other. */
export interface SealedLogin {
  session: string
  userAgent: string | null
  login: Omit<Login, 'usedAt'>
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
