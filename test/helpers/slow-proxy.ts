import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'

/** A TCP proxy on loopback, in front of a server that is to seem ill. */
export interface SlowProxy {
  readonly port: number
  /** Connections that were made up to now. */
  readonly accepted: number
  /** Milliseconds that each piece of data waits, each way. */
  delay: number
  /** Half-open TCP: connections stand, and nothing comes through. One in which something was lost stays so for good. */
  isBlackHole: boolean
  /** Cuts all connections. */
  cut: () => void
}

/** Starts a proxy to a port on loopback; it ends with the test. */
export async function slowProxy (t: Test, port: number): Promise<SlowProxy> {
  const sockets = new Set<Socket>()
  let accepted = 0
  const server = createServer(near => {
    accepted++
    const far = connect(port, '127.0.0.1')
    const line = { isDead: false }
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from)
      from.on('error', () => {}).on('close', () => sockets.delete(from))
      forward(from, to, line)
    }
  })
  /** In order, also when the delay changes. */
  function forward (from: Socket, to: Socket, line: { isDead: boolean }) {
    let last = Promise.resolve()
    const next = (act: () => void) => {
      last = last.then(() => delay(proxy.delay)).then(act)
    }
    from.on('data', data => next(() => {
      line.isDead ||= proxy.isBlackHole
      if (!line.isDead) to.write(data)
    }))
    from.on('close', () => next(() => { if (!line.isDead && !proxy.isBlackHole) to.destroy() }))
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => { for (const socket of sockets) socket.destroy() }
  const proxy: SlowProxy = { port: (server.address() as AddressInfo).port, get accepted () { return accepted }, delay: 0, isBlackHole: false, cut }
  t.teardown(() => {
    server.close()
    cut()
  })
  return proxy
}
