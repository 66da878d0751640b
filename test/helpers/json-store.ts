import { setTimeout as delay } from 'node:timers/promises'
import type { SessionStoreLike } from '../../lib/index.ts'

export type Verb = 'get' | 'set' | 'destroy'

/** As most stores are: a session is JSON, written as a whole. Counts, and fails when told to. */
export class JsonStore implements SessionStoreLike {
  readonly kept = new Map<string, string>()
  readonly calls: Verb[] = []
  readonly #isAsync: boolean
  failing: Verb | null = null

  constructor (isAsync: boolean) { this.#isAsync = isAsync }

  get (id: string, callback: (error: unknown, session?: unknown) => void): void {
    this.#answer('get', error => error === null ? callback(null, JSON.parse(this.kept.get(id) ?? 'null')) : callback(error))
  }

  set (id: string, session: unknown, callback: (error?: unknown) => void): void {
    const json = JSON.stringify(session)
    this.#answer('set', error => {
      if (error === null) this.kept.set(id, json)
      callback(error)
    })
  }

  destroy (id: string, callback: (error?: unknown) => void): void {
    this.#answer('destroy', error => {
      if (error === null) this.kept.delete(id)
      callback(error)
    })
  }

  #answer (verb: Verb, act: (error: Error | null) => void): void {
    this.calls.push(verb)
    const error = this.failing === verb ? new Error('ECONNREFUSED 10.1.2.3') : null
    if (this.#isAsync) delay(1).then(() => act(error))
    else act(error)
  }
}
