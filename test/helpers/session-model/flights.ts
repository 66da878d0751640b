import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate } from 'node:timers/promises'

/** Asks something of an application, and judges the answer. */
export type Errand = () => Promise<void>

const current = new AsyncLocalStorage<Flight | null>()

/** A place where a slow request waits until it is told to go on. Others pass. */
export async function halt (): Promise<void> {
  await current.getStore()?.halt()
}

/** A step that nothing comes between; slow requests halt before it. */
export async function atomically<T> (step: () => Promise<T>): Promise<T> {
  const flight = current.getStore() ?? null
  if (flight === null) return step()
  await flight.halt()
  return flight.during(() => current.run(null, step))
}

/** A slow request: it goes from halt to halt, when it is told to. */
export class Flight {
  readonly #errand: Errand
  readonly #halts: Array<() => void> = []
  #isSlow = true
  /** Steps under way. */
  #steps = 0
  #isAnswered = false
  #failure: unknown = null
  #wake = () => {}

  constructor (errand: Errand) {
    this.#errand = errand
  }

  /** Whether nothing is left of it: a request may do more than its answer waits for. */
  get isOver (): boolean {
    return this.#isAnswered && this.#halts.length === 0 && this.#steps === 0
  }

  /** Sends it, and waits until it halts. */
  async begin (): Promise<void> {
    current.run(this, async () => {
      try {
        await this.#errand()
      } catch (error) {
        this.#failure = error
      }
      this.#isAnswered = true
      this.#wake()
    })
    await this.#rest()
  }

  /** Lets it go on to its next halt. */
  async step (): Promise<void> {
    this.#halts.shift()?.()
    await this.#rest()
  }

  /** Lets it go on to its end. */
  async finish (): Promise<void> {
    this.#isSlow = false
    while (!this.isOver) await this.step()
  }

  async halt (): Promise<void> {
    if (!this.#isSlow) return
    await new Promise<void>(resolve => {
      this.#halts.push(resolve)
      this.#wake()
    })
  }

  async during<T> (step: () => Promise<T>): Promise<T> {
    this.#steps++
    try {
      return await step()
    } finally {
      this.#steps--
      this.#wake()
    }
  }

  async #rest (): Promise<void> {
    await setImmediate()
    while (this.#steps > 0 || !(this.#isAnswered || this.#halts.length > 0)) {
      await new Promise<void>(resolve => { this.#wake = resolve })
      await setImmediate() // whatever follows the step at once
    }
    if (this.#failure !== null) throw this.#failure
  }
}
