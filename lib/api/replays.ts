import { randomBytes } from 'node:crypto'
import { MemoryRecords } from '../store/memory-records.ts'
import type { Records } from '../store/records.ts'
import { hashedName } from '../session/revocations.ts'

const REMEMBERED = 100_000

/** Which proofs were there before. */
export interface Replays {
  /** Whether it is here for the first time; from now on, for so many milliseconds, it is not. */
  isFirst (name: string, lifetime: number): Promise<boolean>
}

/**
 * Remembers in this process, and in shared records where there are some. While those are away this process is all that knows.
 *
 * @param shared records of all processes
 * @param realm whatever else has the same records
 */
export function createReplays (shared: Pick<Records, 'lease'> | null, realm: readonly string[]): Replays {
  const own = new MemoryRecords(REMEMBERED)
  return {
    async isFirst (name, lifetime) {
      const key = hashedName('proof', realm, name)
      const owner = randomBytes(16).toString('base64url')
      if (!await own.lease(key, owner, lifetime)) return false
      return shared === null || shared.lease(key, owner, lifetime).catch(() => true)
    }
  }
}
