import type { RawServerBase } from 'fastify'
import { createLoginTransactions, TRANSACTION_LIFETIME, type LoginTransactions } from './login-transaction.ts'
import type { Config } from './options.ts'
import { claimCookie } from './session/cookie-owners.ts'
import { createCookieSessions } from './session/cookie-sessions.ts'
import type { CookieAttributes } from './session/cookies.ts'
import { createSeal } from './session/seal.ts'
import type { Sessions } from './session/sessions.ts'

/** What browsers keep for us, each in sealed cookies of its own. */
export interface BrowserStorage {
  sessions: Sessions
  transactions: LoginTransactions
}

/** @throws {FST_AUTH0_OPTIONS_INVALID} when another instance on this server has the same cookies with other keys */
export function createBrowserStorage (server: RawServerBase, config: Config): BrowserStorage {
  const { name, preset, clientId, secrets, session, cookie, appBaseUrls } = config
  // Whatever else has the same secret: another instance, another client or another provider does not open our cookies.
  const realm = [name, preset.issuer.href, clientId]
  const sealFor = (purpose: string, lifetime: number) => createSeal(secrets, JSON.stringify([purpose, ...realm]), lifetime)
  claimCookie(server, cookie.name, appBaseUrls, [realm, secrets])

  return {
    sessions: createCookieSessions({
      ...session, ...cookie, attributes: sessionAttributes(config), seal: sealFor('session 1', session.absoluteTimeout)
    }),
    transactions: createLoginTransactions(cookie.name, sealFor('login 1', TRANSACTION_LIFETIME), transactionAttributes(config))
  }
}

function sessionAttributes ({ isSecure, cookie }: Config): CookieAttributes {
  return { secure: isSecure, sameSite: cookie.sameSite }
}

/** The browser comes back from the provider's site: by a link, which `lax` allows, or by a form, which only `none` does. */
function transactionAttributes ({ isSecure, isFormPost }: Config): CookieAttributes {
  return isFormPost ? { secure: true, sameSite: 'none' } : { secure: isSecure, sameSite: 'lax' }
}
