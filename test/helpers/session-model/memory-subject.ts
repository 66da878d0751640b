import type { Test } from 'tap'
import { MemoryStore } from '../../../lib/index.ts'
import { travelInTime } from '../clock.ts'
import { pluginSubject, type Subject } from './subjects.ts'

const IDLE = 60 // seconds
const ABSOLUTE = 1_000_000 // seconds
const WITHIN = IDLE * 0.6 // seconds: twice that is too long

/** Both hosts have the same `MemoryStore`. Time passes by the clock of this process. */
export async function memorySubject (t: Test): Promise<Subject> {
  const clock = travelInTime(t)
  const times = { idleTimeout: IDLE, absoluteTimeout: ABSOLUTE }
  const store = new MemoryStore(times)

  function pass (seconds: number): number {
    clock.advance(seconds)
    return seconds
  }

  return pluginSubject(t, {
    name: 'MemoryStore',
    sessions: [{ ...times, store }, { ...times, store }],
    expire: async (_session, _login, others) => {
      for (const seconds of [WITHIN, WITHIN]) {
        pass(seconds)
        await Promise.all(others.map(other => store.records.touch(other)))
      }
      return 2 * WITHIN
    },
    loseEverything: async () => pass(IDLE + 1)
  })
}
