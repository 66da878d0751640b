import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** What one visitor sends, and what must come back. */
export interface Visit {
  request: Buffer
  /** The body of the 200 that it expects. */
  body: string
}

/**
 * A GET as Chromium sends it on a navigation.
 *
 * @param credentials the header that tells who is calling
 */
export function get (host: string, path: string, credentials: string): Buffer {
  return Buffer.from([
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: keep-alive',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
    'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
    'Sec-Fetch-Site: same-origin',
    'Sec-Fetch-Mode: navigate',
    'Sec-Fetch-User: ?1',
    'Sec-Fetch-Dest: document',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en-GB,en;q=0.9',
    credentials,
    '', ''
  ].join('\r\n'))
}

/**
 * Visitors in turn, over keep-alive connections that each wait for their answer before they ask again.
 *
 * Not autocannon: replaying thousands of ready-made requests and comparing every body needs less than its options.
 */
export class Load {
  readonly #visits: Visit[]
  readonly #sockets: Socket[]
  #next = 0

  private constructor (visits: Visit[], sockets: Socket[]) {
    this.#visits = visits
    this.#sockets = sockets
  }

  static async open (port: number, connections: number, visits: Visit[]): Promise<Load> {
    const sockets = Array.from({ length: connections }, () => connect({ port, host: '127.0.0.1', noDelay: true }))
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    return new Load(visits, sockets)
  }

  /** Makes so many visits, going on where the last call ended. Rejects at the first answer that is not the expected one. */
  async run (count: number): Promise<void> {
    let left = count
    const take = () => left-- > 0 ? this.#take() : null
    await Promise.all(this.#sockets.map(socket => visitInTurn(socket, take)))
  }

  close (): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #take (): Visit {
    const visit = this.#visits[this.#next] as Visit
    this.#next = (this.#next + 1) % this.#visits.length
    return visit
  }
}

/** Sends what `take` gives, one after the other, until it gives `null`. */
function visitInTurn (socket: Socket, take: () => Visit | null): Promise<void> {
  return new Promise((resolve, reject) => {
    let visit: Visit | null
    let received = ''

    function finish (error?: Error) {
      socket.off('data', onData).off('error', finish).off('close', onClose)
      if (error === undefined) resolve()
      else reject(error)
    }

    function sendNext () {
      received = ''
      visit = take()
      if (visit === null) finish()
      else socket.write(visit.request)
    }

    function onClose () {
      finish(new Error('The server closed the connection'))
    }

    function onData (chunk: Buffer) {
      received += chunk.toString('latin1')
      if (!isComplete(received)) return
      if (received.startsWith('HTTP/1.1 200 ') && received.endsWith(`\r\n\r\n${visit?.body}`)) sendNext()
      else finish(new Error(`Expected ${visit?.body}, got ${received}`))
    }

    socket.on('data', onData).on('error', finish).on('close', onClose)
    sendNext()
  })
}

/** Whether the head is there, and so much of the body as its Content-Length says. */
function isComplete (response: string): boolean {
  const end = response.indexOf('\r\n\r\n')
  return end !== -1 && response.length >= end + 4 + Number(/content-length: (\d+)/i.exec(response)?.[1])
}
