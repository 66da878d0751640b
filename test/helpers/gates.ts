import type { FastifyRequest } from 'fastify'

/** A request that waits in its handler until the test lets it go on. */
export interface Held<Response> {
  /** Lets it go on, and waits for its answer. */
  release: () => Promise<Response>
}

/**
 * Holds requests in their handlers, for tests of what happens meanwhile. A handler says `await gate.pass(request)`; it waits when
 * the request was sent by `gate.hold`, with the header that it gives.
 */
export class Gate {
  readonly #doors = new Map<string, { arrive: () => void, opened: Promise<void> }>()
  #count = 0

  async pass ({ headers }: Pick<FastifyRequest, 'headers'>): Promise<void> {
    const door = this.#doors.get(String(headers['x-gate']))
    door?.arrive()
    await door?.opened
  }

  /** Sends a request and waits until its handler waits. */
  async hold<Response> (send: (headers: Record<string, string>) => Promise<Response>): Promise<Held<Response>> {
    const name = String(++this.#count)
    const [arrived, arrive] = signal()
    const [opened, open] = signal()
    this.#doors.set(name, { arrive, opened })
    const response = send({ 'x-gate': name })
    await arrived
    return { release: () => { open(); return response } }
  }
}

function signal (): [promise: Promise<void>, fire: () => void] {
  let fire = () => {}
  const promise = new Promise<void>(resolve => { fire = resolve })
  return [promise, fire]
}
