import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../errors.ts'
import { hashSlot } from './hash-slot.ts'
import { Outage } from './outage.ts'
import { describe, isAway, replyOf } from './redis-errors.ts'

/** What we need of a client of Redis: `Redis` and `Cluster` of ioredis 5 and 6 are such. */
export interface RedisClient {
  readonly status: string
  /** Of a Cluster: for each hash slot its servers, the master first. */
  readonly slots?: ReadonlyArray<readonly string[]>
  readonly options?: { readonly keyPrefix?: string | undefined }
  connect (): Promise<unknown>
  call (command: string, ...args: Array<string | number>): Promise<unknown>
  on (event: string, listener: (error: Error) => void): unknown
  off (event: string, listener: (error: Error) => void): unknown
}

/** A Lua script, and the SHA-1 that Redis knows it by. */
export interface Script {
  readonly lua: string
  readonly sha: string
}

type Request = [command: string, ...args: Array<string | number>]

interface LinkEvents {
  unavailable: [cause: Error]
  available: []
}

const BOUND = 225 // milliseconds for a whole call: of 250 for a page, the rest is for what else it does

/** This reply is for the caller; every other error says that Redis cannot do its work now. */
const MEANT_FOR_CALLER = 'WRONGTYPE'

/** In place of a server's name: the client as a whole. Without a Cluster there is nothing else. */
const ALL = ''

export function defineScript (lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Asks Redis, and waits 250 ms at most: neither a server that hangs nor the queue of a client without a connection delays a page.
 * Once Redis gave no answer, calls fail at once and do not touch it (a circuit breaker), until it answers again. In a Cluster this
 * goes by server: those that answer keep working.
 *
 * Emits `unavailable` (cause) when Redis, or a part of the Cluster, goes; and `available` when all of it is back.
 *
 * A call that was given up may still be carried out: by a server that was only slow, or by an application's own client, which may
 * send it once more when it is connected again.
 */
export class RedisLink extends EventEmitter<LinkEvents> {
  readonly #client: RedisClient
  /** Requests that the client cannot send yet. */
  readonly #waiting = new Set<() => void>()
  readonly #outages = new Map<string, Outage>()
  readonly #listeners: ReadonlyArray<[event: string, listener: (error: Error) => void]> =
    [['ready', () => this.#onReady()], ['close', () => this.#onClose()], ['error', error => this.#onError(error)]]

  #lastError: Error | null = null
  #isClosed = false

  /** Listens to the client's errors: the last one is the cause when no connection comes about. */
  constructor (client: RedisClient) {
    super()
    this.#client = client
    for (const [event, listener] of this.#listeners) client.on(event, listener)
  }

  /** @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 within 250 ms when Redis does not answer, or refuses; the reason is its cause. */
  call (...request: Request): Promise<unknown> {
    return this.#send(request, BOUND)
  }

  /**
   * Runs a script, which is sent in full only to a Redis that does not know it: at first use, and after a restart.
   *
   * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503 as `call`
   */
  async run (script: Script, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown> {
    const startedAt = performance.now()
    try {
      return await this.#send(['EVALSHA', script.sha, keys.length, ...keys, ...args], BOUND)
    } catch (error) {
      if (!isUnknownScript(error)) throw error
    }
    return this.#send(['EVAL', script.lua, keys.length, ...keys, ...args], BOUND - (performance.now() - startedAt))
  }

  /** Lets go of the client, and stops asking whether Redis is back. */
  close (): void {
    this.#isClosed = true
    for (const outage of this.#outages.values()) outage.stop()
    for (const [event, listener] of this.#listeners) this.#client.off(event, listener)
  }

  async #send (request: Request, milliseconds: number): Promise<unknown> {
    const outage = this.#outageFor(request)
    if (outage !== null) throw unavailable(outage.cause)
    try {
      return await this.#answer(request, milliseconds)
    } catch (error) {
      throw this.#explain(error as Error, request)
    }
  }

  /** The answer to a request, which is not sent before the client has a connection, and never when its time is over. */
  #answer (request: Request, milliseconds: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle = <T>(act: (result: T) => void) => (result: T) => {
        clearTimeout(timer)
        act(result)
      }
      const send = () => { this.#client.call(...request).then(settle(resolve), settle(reject)) }
      const giveUp = () => {
        const reason = this.#waiting.delete(send) ? this.#lastError : null
        reject(reason ?? new Error(`Redis gave no answer within ${BOUND} ms`))
      }
      // After what has arrived meanwhile is read: that this process was busy for so long is no fault of Redis.
      const timer = setTimeout(() => setImmediate(giveUp), milliseconds)
      if (this.#client.status === 'ready') return send()
      this.#waiting.add(send)
      this.#connectIfLazy()
    })
  }

  #explain (error: Error, request: Request): Error {
    const word = replyOf(error)
    if (word === MEANT_FOR_CALLER) return error
    const cause = describe(error)
    if (isAway(word)) this.#beginOutage(cause, request)
    return unavailable(cause)
  }

  #outageFor (request: Request): Outage | null {
    if (this.#outages.size === 0) return null
    return this.#outages.get(ALL) ?? this.#outages.get(this.#serverOf(request)) ?? null
  }

  #beginOutage (cause: Error, request: Request): void {
    const server = this.#serverOf(request)
    if (this.#isClosed || this.#outages.has(server)) return
    const key = keyOf(request)
    const question: Request = server === ALL || key === null ? ['PING'] : ['EXISTS', key]
    this.#outages.set(server, new Outage(cause, () => this.#isAnswered(question), () => this.#endOutage(server)))
    if (this.#outages.size === 1) this.emit('unavailable', cause)
  }

  #endOutage (server: string): void {
    this.#outages.delete(server)
    if (this.#outages.size === 0) this.emit('available')
  }

  /** Who answers a request: in a Cluster, the master that has its key. */
  #serverOf (request: Request): string {
    const key = keyOf(request)
    if (key === null || this.#client.status !== 'ready') return ALL
    const { slots, options } = this.#client
    return slots?.[hashSlot((options?.keyPrefix ?? '') + key)]?.[0] ?? ALL
  }

  /** Whether a question is answered in time. Waits for the answer however long: further questions would stand in the same line. */
  async #isAnswered (question: Request): Promise<boolean> {
    this.#connectIfLazy()
    if (this.#client.status !== 'ready') return false
    const startedAt = performance.now()
    const word = await this.#client.call(...question).then(() => 'OK', replyOf)
    return !isAway(word) && performance.now() - startedAt < BOUND
  }

  #connectIfLazy (): void {
    if (this.#client.status === 'wait') this.#client.connect().catch(error => this.#onError(error))
  }

  #onReady (): void {
    this.#lastError = null
    for (const send of this.#waiting) send()
    this.#waiting.clear()
    for (const outage of this.#outages.values()) outage.ask()
  }

  /** Without a word when the connection is back in time: one that was idle may be closed any time. */
  #onClose (): void {
    this.call('PING').catch(() => {})
  }

  #onError (error: Error): void {
    this.#lastError = error
  }
}

function unavailable (cause: Error): Error {
  return new FST_AUTH0_SESSION_UNAVAILABLE({ cause })
}

function isUnknownScript (error: unknown): boolean {
  return error instanceof FST_AUTH0_SESSION_UNAVAILABLE && (error.cause as Error).message.startsWith('NOSCRIPT')
}

function keyOf ([command, ...args]: Request): string | null {
  const key = command === 'EVALSHA' || command === 'EVAL' ? args[2] : args[0]
  return key === undefined ? null : String(key)
}
