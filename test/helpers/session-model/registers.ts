/** A value that somebody wrote, or was about to. Times count events of the model. */
export interface Write {
  readonly value: string | undefined
  readonly begunAt: number
  /** Infinity: not answered yet. */
  endedAt: number
  /** Whether it took place for sure; else it may have. */
  isSure: boolean
}

/**
 * What members of a session may hold, when several write at once: of two writes that were under way at the same time either may be the later one; one
 * that began when another was done replaces it.
 */
export class Registers {
  readonly #writes = new Map<string, Write[]>()

  get names (): string[] {
    return [...this.#writes.keys()]
  }

  begin (name: string, value: string | undefined, begunAt: number): Write {
    const write = { value, begunAt, endedAt: Infinity, isSure: false }
    this.#of(name).push(write)
    return write
  }

  /** What somebody may see who began to look then, and looks no longer. */
  possible (name: string, since: number): Set<string | undefined> {
    const writes = this.#of(name)
    const isReplaced = ({ endedAt }: Write) => writes.some(other => other.isSure && other.endedAt <= since && endedAt < other.begunAt)
    return new Set(writes.filter(write => !isReplaced(write)).map(({ value }) => value))
  }

  /** Copies what may be there into a session that begins, over what it has already. */
  copyTo (other: Registers, { begunAt, endedAt, isSure, names = this.names }: { begunAt: number, endedAt: number, isSure: boolean, names?: readonly string[] }): void {
    for (const name of names) {
      const values = this.possible(name, begunAt)
      if (!isSure || values.has(undefined)) for (const kept of other.possible(name, begunAt)) values.add(kept)
      other.#writes.set(name, [...values].map(value => ({ value, begunAt, endedAt, isSure: false })))
    }
  }

  #of (name: string): Write[] {
    let writes = this.#writes.get(name)
    if (writes === undefined) {
      writes = [{ value: undefined, begunAt: -1, endedAt: -1, isSure: true }]
      this.#writes.set(name, writes)
    }
    return writes
  }
}
