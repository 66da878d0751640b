import { now } from '../clock.ts'
import { singleFlight } from './single-flight.ts'

const MAX_AGE = 600 // seconds
const RETRY_AFTER = 30 // seconds, while what is known serves on

/** What is known of the provider, fetched when first needed and kept fresh. */
export interface Discovery<Known> {
  /** One fetch, however many wait. A failed one is tried again by the next caller. */
  current (): Promise<Known>
}

/** @param onRenewalFailed what is known serves on; for the log */
export function createDiscovery<Known> (discover: () => Promise<Known>, onRenewalFailed: (error: unknown) => void): Discovery<Known> {
  let known: Known | null = null
  let renewAt = 0

  const fetch = singleFlight(async () => {
    known = await discover()
    renewAt = now() + MAX_AGE
    return known
  })

  return {
    async current () {
      if (known === null) return fetch()
      if (now() >= renewAt) {
        renewAt = now() + RETRY_AFTER
        fetch().catch(onRenewalFailed)
      }
      return known
    }
  }
}
