import type { Test } from 'tap'
import { AUDIENCE } from './access-tokens.ts'
import { publicJwk, rsaKey, type SigningKey } from './id-tokens.ts'
import { startHost, startProvider } from './processes.ts'

export interface KeyRotationOptions {
  /** How many ask in a loop, each time with a token that was signed for it. */
  clients: number
  /** How often the provider changes the key that it signs with. */
  rotations: number
  /** Whether a key is published one rotation before it signs; else it is when it does. It is gone when the next one signs. */
  isAnnounced: boolean
  /** Lets the time between two rotations pass. */
  pace: (everybodyIsAnswered: () => Promise<void>) => Promise<void>
}

/** What came of tokens while the keys changed. */
export interface KeyRotation {
  clients: number
  rotations: number
  isAnnounced: boolean
  requests: number
  /** Tokens that did not pass though their key was published from before they were signed until after they were answered. */
  wronglyRefused: number
  /** Of tokens whose key was withdrawn before they were answered; one request in ten brings one that was when it was sent. */
  withdrawnPassed: number
  withdrawnRefused: number
  /** Milliseconds after the end of its key at which the last of those that passed was sent. */
  latestPassed: number
  /** Requests for the keys. */
  fetches: number
  /** Milliseconds. */
  slowest: number
}

/** A provider in this process, an API in another, and clients over sockets while the provider changes its keys. */
export async function rotateUnderLoad (t: Test, { clients, rotations, isAnnounced, pace }: KeyRotationOptions): Promise<KeyRotation> {
  const keys = Array.from({ length: rotations + 2 }, (_, index) => rsaKey(`rotated-${index}`))
  const withdrawnAt = new Map<SigningKey, number>()
  const provider = await startProvider(t)
  const { url } = await startHost(t, provider, { api: { audience: AUDIENCE } }, { isMeasured: false })
  const found = { requests: 0, wronglyRefused: 0, withdrawnPassed: 0, withdrawnRefused: 0, latestPassed: 0, slowest: 0 }
  let current = 0
  const end = new AbortController()
  let waiting: { left: Set<number>, done: () => void } | null = null

  function use (index: number): void {
    const [before, key, next] = [keys[index - 1], keys[index]!, keys[index + 1]!]
    current = index
    provider.key = key
    provider.jwks = (isAnnounced ? [key, next] : [key]).map(key => publicJwk(key))
    if (before !== undefined) withdrawnAt.set(before, performance.now())
  }

  async function send (key: SigningKey): Promise<void> {
    const token = provider.accessToken({ key, header: { kid: key.kid } })
    const sentAt = performance.now()
    const { status } = await fetch(`${url}/api`, { headers: { authorization: `Bearer ${token}` } })
    const endedAt = withdrawnAt.get(key)
    found.requests++
    found.slowest = Math.max(found.slowest, performance.now() - sentAt)
    if (status !== 200 && status !== 401) throw new Error(`an answer of status ${status}`)
    if (endedAt === undefined) found.wronglyRefused += Number(status !== 200)
    else found[status === 200 ? 'withdrawnPassed' : 'withdrawnRefused']++
    if (endedAt !== undefined && status === 200) found.latestPassed = Math.max(found.latestPassed, sentAt - endedAt)
  }

  async function client (id: number): Promise<void> {
    for (let count = id; !end.signal.aborted; count++) {
      const index = current
      await send(keys[count % 10 === 0 && index > 0 ? index - 1 : index]!)
      if (index === current) waiting?.left.delete(id)
      if (waiting?.left.size === 0) waiting.done()
    }
  }

  function everybodyIsAnswered (): Promise<void> {
    return new Promise(resolve => { waiting = { left: new Set(Array.from({ length: clients }, (_, id) => id)), done: resolve } })
  }

  use(0)
  const all = Promise.all(Array.from({ length: clients }, (_, id) => client(id)))
  for (let index = 1; index <= rotations; index++) {
    await Promise.race([pace(everybodyIsAnswered), all])
    use(index)
  }
  await Promise.race([pace(everybodyIsAnswered), all])
  end.abort()
  await all
  return { clients, rotations, isAnnounced, ...found, fetches: provider.callsTo('jwks').length }
}
