import { createHash } from 'node:crypto'
import { now } from './clock.ts'
import { FST_AUTH0_APP_STATE_TOO_LARGE } from './errors.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import type { StartedLogin } from './provider/provider.ts'
import { clearCookie, cookieNames, readCookie, setCookie, type CookieAttributes } from './session/cookies.ts'
import type { Seal } from './session/seal.ts'

/** Seconds; a person needs less to log in. */
export const TRANSACTION_LIFETIME = 900
const MAX_TRANSACTIONS = 5 // one per tab
const MAX_VALUE = 3800 // bytes of one; browsers keep 4,096 with the name (RFC 6265bis §5.7)
const MAX_SIZE = 4096 // bytes of all together, so that nobody's links to our login can fill the 16 KiB of headers that Node accepts

/** What {@link transactionId} makes. A cookie that only begins like ours may have a name that cannot be set. */
const ID = /^[\w-]{16}$/

/** A login under way, from leaving for the provider until the browser comes back. */
export interface LoginTransaction extends StartedLogin {
  returnTo: string
  /** The API that the access token is to be for. */
  audience?: string | undefined
  appState?: unknown
  acrValues?: string[] | undefined
  /** `prompt=none`: not being logged in is an answer, not an error. */
  isSilent?: boolean | undefined
  /** The session that was there before. The callback may come without its cookie, from another site. */
  replaces?: string | undefined
}

/** Keeps logins under way, each in a sealed cookie of its own, so that tabs do not disturb each other. */
export interface LoginTransactions {
  /** @param home what a `returnTo` that is too long gives way to */
  save (request: AnyRequest, reply: AnyReply, transaction: LoginTransaction, home: string): void
  /** The transaction of a `state`; `null` when this browser did not begin it, or too long ago. */
  find (request: AnyRequest, state: string): LoginTransaction | null
  /** Forgets it: it is over. */
  end (reply: AnyReply, transaction: LoginTransaction): void
}

/** Names a transaction by its state, without telling anything of it. */
export function transactionId (state: string): string {
  return createHash('sha256').update(state).digest('base64url').slice(0, 16)
}

export function createLoginTransactions (cookieName: string, seal: Seal, attributes: CookieAttributes): LoginTransactions {
  const prefix = `${cookieName}.login.`

  const nameOf = (state: string) => prefix + transactionId(state)

  function open (request: AnyRequest, name: string): LoginTransaction | null {
    const transaction = seal.open(readCookie(request, name) ?? '') as LoginTransaction | null
    return transaction !== null && now() < transaction.startedAt + TRANSACTION_LIFETIME ? transaction : null
  }

  /** The logins under way in this browser, newest first. What does not open is of no use, and last. */
  function listSent (request: AnyRequest) {
    return cookieNames(request, prefix)
      .filter(name => ID.test(name.slice(prefix.length)))
      .map(name => ({ name, size: readCookie(request, name)?.length ?? 0, startedAt: open(request, name)?.startedAt ?? 0 }))
      .reverse() // browsers send the oldest first, which counts among those of one second (RFC 6265bis §5.8.3)
      .sort((a, b) => b.startedAt - a.startedAt)
  }

  /** Oldest go first. */
  function makeRoom (request: AnyRequest, reply: AnyReply, size: number): void {
    let room = MAX_SIZE - size
    listSent(request).forEach((sent, index) => {
      room -= sent.size
      if (sent.startedAt === 0 || index >= MAX_TRANSACTIONS - 1 || room < 0) clearCookie(reply, sent.name, attributes)
    })
  }

  /** A long `returnTo` gives way: it is the visitor's, and must not fail their login. */
  function sealShort (transaction: LoginTransaction, home: string): string {
    const sealed = seal.seal(transaction)
    if (sealed.length <= MAX_VALUE) return sealed
    const shorter = seal.seal({ ...transaction, returnTo: home })
    if (shorter.length > MAX_VALUE) throw new FST_AUTH0_APP_STATE_TOO_LARGE(shorter.length, MAX_VALUE)
    return shorter
  }

  return {
    save (request, reply, transaction, home) {
      const sealed = sealShort(transaction, home)
      makeRoom(request, reply, sealed.length)
      setCookie(reply, nameOf(transaction.state), sealed, TRANSACTION_LIFETIME, attributes)
    },

    find (request, state) {
      const transaction = open(request, nameOf(state))
      return transaction?.state === state ? transaction : null
    },

    end (reply, { state }) {
      clearCookie(reply, nameOf(state), attributes)
    }
  }
}
