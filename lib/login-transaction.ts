import { createHash } from 'node:crypto'
import type { AnyReply, AnyRequest } from './fastify.ts'
import type { StartedLogin } from './provider/provider.ts'
import { clearCookie, cookieNames, readCookie, setCookie, type CookieAttributes } from './session/cookies.ts'
import type { Seal } from './session/seal.ts'

/** Seconds; a person needs less to log in. */
export const TRANSACTION_LIFETIME = 900
const MAX_TRANSACTIONS = 5 // one per tab
const MAX_SIZE = 4096 // bytes of all together, so that nobody's link to our login can fill the header that Node accepts

/** A login under way, from leaving for the provider until the browser comes back. */
export interface LoginTransaction extends StartedLogin {
  returnTo: string
  appState?: unknown
  acrValues?: string[] | undefined
  /** `prompt=none`: not being logged in is an answer, not an error. */
  isSilent?: boolean | undefined
}

/** What is left of a login that was finished: where it went, for a callback that is repeated by a reload or the back button. */
interface FinishedLogin {
  returnTo: string
  startedAt: number
}

/** Keeps logins under way, each in a sealed cookie of its own, so that tabs do not disturb each other. */
export interface LoginTransactions {
  save (request: AnyRequest, reply: AnyReply, transaction: LoginTransaction): void
  /** The transaction of a `state`; `null` when this browser did not begin it, or too long ago. */
  find (request: AnyRequest, state: string): LoginTransaction | FinishedLogin | null
  /** Keeps of it only where it went. */
  finish (reply: AnyReply, transaction: LoginTransaction): void
  /** Forgets it. */
  drop (reply: AnyReply, transaction: LoginTransaction): void
}

/** Whether a transaction can still be finished. */
export function isUnderWay (transaction: LoginTransaction | FinishedLogin): transaction is LoginTransaction {
  return 'codeVerifier' in transaction
}

export function createLoginTransactions (cookieName: string, seal: Seal, attributes: CookieAttributes): LoginTransactions {
  const prefix = `${cookieName}.login.`

  /** Tells nothing of the state, and is found by it. */
  function nameOf (state: string): string {
    return prefix + createHash('sha256').update(state).digest('base64url').slice(0, 16)
  }

  function open (request: AnyRequest, name: string): LoginTransaction | FinishedLogin | null {
    const transaction = seal.open(readCookie(request, name) ?? '') as LoginTransaction | FinishedLogin | null
    return transaction !== null && now() < transaction.startedAt + TRANSACTION_LIFETIME ? transaction : null
  }

  function write (reply: AnyReply, state: string, value: LoginTransaction | FinishedLogin): number {
    const sealed = seal.seal(value)
    setCookie(reply, nameOf(state), sealed, value.startedAt + TRANSACTION_LIFETIME - now(), attributes)
    return sealed.length
  }

  /** Oldest go first; what does not open is of no use and goes, too. */
  function makeRoom (request: AnyRequest, reply: AnyReply, size: number): void {
    const kept = cookieNames(request, prefix)
      .map(name => ({ name, size: readCookie(request, name)?.length ?? 0, startedAt: open(request, name)?.startedAt ?? 0 }))
      .sort((a, b) => b.startedAt - a.startedAt)
    kept.forEach(({ name, startedAt }, index) => {
      const sizeUpToHere = kept.slice(0, index + 1).reduce((sum, transaction) => sum + transaction.size, size)
      if (startedAt === 0 || index >= MAX_TRANSACTIONS - 1 || sizeUpToHere > MAX_SIZE) clearCookie(reply, name, attributes)
    })
  }

  return {
    save (request, reply, transaction) {
      makeRoom(request, reply, write(reply, transaction.state, transaction))
    },

    find (request, state) {
      const transaction = open(request, nameOf(state))
      if (transaction !== null && isUnderWay(transaction) && transaction.state !== state) return null
      return transaction
    },

    finish (reply, { state, returnTo, startedAt }) {
      write(reply, state, { returnTo, startedAt })
    },

    drop (reply, { state }) {
      clearCookie(reply, nameOf(state), attributes)
    }
  }
}

function now (): number {
  return Math.floor(Date.now() / 1000)
}
