import { LruMap } from 'toad-cache'
import { deepFreeze } from './frozen-json.ts'
import type { Seal } from './seal.ts'

const TAG_LENGTH = 22 // characters of a seal's tag, its end
const REMEMBERED_BYTES = 24 * 1024 * 1024 // of seals; with what was in them some three times as much
const ADMISSION = 30 // milliseconds between two seals that are remembered, once the memory is full

/** Opens what was sealed, frozen, and remembers what it opened lately: bounded. */
export class OpenedSeals<T extends object> {
  readonly #seal: Seal
  readonly #maxSize: number
  readonly #opened: LruMap<{ sealed: string, value: T }>
  #admittedAt = 0

  /** @param maxSize bytes of the longest seal that is remembered */
  constructor (seal: Seal, maxSize: number) {
    this.#seal = seal
    this.#maxSize = maxSize
    this.#opened = new LruMap(Math.ceil(REMEMBERED_BYTES / maxSize))
  }

  /** `null` for what this seal did not make. */
  open (sealed: string): T | null {
    const known = this.#opened.get(sealed.slice(-TAG_LENGTH))
    if (known?.sealed === sealed) return known.value
    const opened = this.#seal.open(sealed)
    if (opened === null) return null
    const value = deepFreeze(opened as T)
    if (sealed.length <= this.#maxSize && this.#hasRoom()) this.#remember(sealed, value)
    return value
  }

  /**
   * A crowd larger than the memory would push each other out of it, and keeping a login that is not met again costs more than
   * opening it: most of that is collecting the garbage.
   */
  #hasRoom (): boolean {
    if (this.#opened.size < this.#opened.max) return true
    if (Date.now() - this.#admittedAt < ADMISSION) return false
    this.#admittedAt = Date.now()
    return true
  }

  #remember (sealed: string, value: T): void {
    // A copy: what was cut from a header, a key too, would keep the whole header in memory.
    const copy = Buffer.from(sealed, 'latin1').toString('latin1')
    this.#opened.set(copy.slice(-TAG_LENGTH), { sealed: copy, value })
  }
}
