import type { Configuration, ServerMetadata } from 'openid-client'
import { assertConfidential } from './bounded-fetch.ts'

const MAX_AGE = 600 // seconds
const RETRY_AFTER = 30 // seconds, while old metadata serve

/** The provider's metadata, fetched when first needed and kept fresh. */
export interface Discovery {
  /** One fetch, however many wait. A failed one is tried again by the next caller. */
  current (): Promise<Configuration>
}

/** @param onRenewalFailed the old metadata serve on; for the log */
export function createDiscovery (discover: () => Promise<Configuration>, onRenewalFailed: (error: unknown) => void): Discovery {
  let known: Configuration | null = null
  let renewAt = 0
  let underWay: Promise<Configuration> | null = null

  async function fetch (): Promise<Configuration> {
    const configuration = await discover()
    assertConfidentialEndpoints(configuration.serverMetadata())
    known = configuration
    renewAt = now() + MAX_AGE
    return configuration
  }

  function fetchOnce (): Promise<Configuration> {
    underWay ??= fetch().finally(() => { underWay = null })
    return underWay
  }

  return {
    async current () {
      if (known === null) return fetchOnce()
      if (now() >= renewAt) {
        renewAt = now() + RETRY_AFTER
        fetchOnce().catch(onRenewalFailed)
      }
      return known
    }
  }
}

/** Also of those that only the browser visits: what is sent there is secret, too. */
function assertConfidentialEndpoints (metadata: ServerMetadata): void {
  for (const [name, value] of Object.entries(metadata)) {
    if (typeof value === 'string' && (name === 'jwks_uri' || name.endsWith('_endpoint'))) assertConfidential(new URL(value))
  }
}

function now (): number {
  return Math.floor(Date.now() / 1000)
}
