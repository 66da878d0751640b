const PAUSE = 100 // milliseconds from one question to the next

/** The time in which a server gives no answer: asks it, one question at a time, until it does. */
export class Outage {
  /** Why calls to this server fail at once. */
  readonly cause: Error
  readonly #isBack: () => Promise<boolean>
  readonly #end: () => void
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor (cause: Error, isBack: () => Promise<boolean>, end: () => void) {
    this.cause = cause
    this.#isBack = isBack
    this.#end = end
    this.#askLater()
  }

  /** Asks now: there is reason to hope. A question that is still open may have been lost with its connection. */
  async ask (): Promise<void> {
    clearTimeout(this.#timer)
    const isBack = await this.#isBack()
    if (this.#isOver) return
    if (!isBack) return this.#askLater()
    this.stop()
    this.#end()
  }

  stop (): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }

  #askLater (): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.ask(), PAUSE).unref()
  }
}
