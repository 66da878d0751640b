import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import { now } from '../clock.ts'

const COOLDOWN = 30 // seconds
const MOST = 60 // times in that time that new keys are believed to be news: a provider might make up others at every request
const REMEMBERED = 1000 // ids of keys

/**
 * Which tokens with an unknown key are worth a request for keys. Whoever makes up such tokens causes one for all of them, and then none for half a minute. A request that brings a key that
 * was never there before does not count, so a provider may change its keys as often as it likes. And a key that was withdrawn, whose tokens come for a while yet, is in nobody's way.
 */
export interface KeyRequests {
  /** Whether a request may be made for this key; it is then taken for one in vain. */
  take (kid: string | undefined): boolean
  /** Tells which keys a request brought. */
  learn (kids: readonly unknown[]): void
}

export function createKeyRequests (): KeyRequests {
  /** Keys that were published once (`true`), or asked for. */
  const met = new LruMap<boolean>(REMEMBERED)
  let unknownAt = 0 // from when on one that was never met may be asked for
  let againAt = 0 // and one that was
  let spareUntil = 0
  let news = { count: 0, until: 0 }

  function takeUnknown (): boolean {
    if (now() < unknownAt) return false
    if (now() < spareUntil) spareUntil = 0
    else unknownAt = now() + COOLDOWN
    return true
  }

  /** Keys that are new make up for a request, and for one in vain: of tokens whose key came and went before anybody asked for it. */
  function makeUp (): void {
    if (now() >= news.until) news = { count: 0, until: now() + COOLDOWN }
    if (++news.count > MOST) return
    unknownAt = 0
    spareUntil = now() + COOLDOWN
  }

  return {
    take (kid) {
      const name = nameOf(kid)
      const mayAsk = met.get(name) === undefined ? takeUnknown() : now() >= againAt
      if (!mayAsk) return false
      againAt = now() + COOLDOWN
      if (kid !== undefined) met.set(name, met.get(name) === true)
      return true
    },

    learn (kids) {
      const names = kids.map(nameOf)
      if (met.size > 0 && names.some(name => met.get(name) !== true)) makeUp()
      for (const name of names) met.set(name, true)
    }
  }
}

/** Short, however long an id a provider or a token has. */
function nameOf (kid: unknown): string {
  return hash('sha256', JSON.stringify([kid]), 'base64')
}
