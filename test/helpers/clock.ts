import type { Test } from 'tap'

export interface Clock {
  /** Goes forward (or back) by so many seconds. */
  advance: (seconds: number) => void
  /** Now, in seconds since the epoch. */
  now: () => number
}

/**
 * Lets a test travel in time: what `Date` says is shifted until the test ends. Timers are not touched. When it is frozen, time passes
 * only by `advance`: for tests to the second.
 */
export function travelInTime (t: Test, { isFrozen = false } = {}): Clock {
  const RealDate = Date
  const start = RealDate.now()
  let offset = 0
  const shifted = () => (isFrozen ? start : RealDate.now()) + offset
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args) => args.length === 0 ? new RealDate(shifted()) : Reflect.construct(target, args),
    get: (target, name) => name === 'now' ? shifted : Reflect.get(target, name)
  })
  t.teardown(() => { globalThis.Date = RealDate })
  return {
    advance: seconds => { offset += seconds * 1000 },
    now: () => Math.floor(shifted() / 1000)
  }
}
