import { createHash } from 'node:crypto'
import type { RawServerBase } from 'fastify'
import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'

/** Who has which cookie, by server: contexts that do not see each other share its hosts. Nothing outlives its server. */
const owners = new WeakMap<RawServerBase, Map<string, string>>()

/**
 * Reserves a cookie for those who open it. Two instances that do not open each other's would clear them, and log people out.
 *
 * @param key whatever the keys of the cookie are made of
 * @throws {FST_AUTH0_OPTIONS_INVALID} when it is taken, on one of the hosts
 */
export function claimCookie (server: RawServerBase, cookieName: string, urls: readonly string[], key: readonly unknown[]): void {
  const claimed = owners.get(server) ?? new Map<string, string>()
  owners.set(server, claimed)
  const owner = createHash('sha256').update(JSON.stringify(key)).digest('base64url')
  for (const { hostname } of urls.map(url => new URL(url))) {
    const cookie = `${cookieName} at ${hostname}` // cookies know no ports
    if ((claimed.get(cookie) ?? owner) !== owner) {
      throw new FST_AUTH0_OPTIONS_INVALID(`- Option "session.cookie.name": another instance on this server has the cookie "${cookieName}" with other keys, and each would log people out of the other. Give one another "name"`)
    }
    claimed.set(cookie, owner)
  }
}
