import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import getPort from 'get-port'
import type { Test } from 'tap'
import type { Auth0Options } from '../../lib/index.ts'
import { secret } from './app.ts'
import type { HostMessage, HostOptions } from './host-process.ts'
import { Provider } from './provider.ts'
import { until } from './redis.ts'

/** A process of the application. */
export interface Host {
  readonly url: string
  /** Waits for its next message, which must be this one. */
  says: (expected: HostMessage) => Promise<void>
  /** Lets the request go on that waits in its handler. */
  goOn: () => void
  /** Lets so many seconds go by for it. */
  advance: (seconds: number) => Promise<void>
  /** SIGKILL. */
  kill: () => Promise<void>
}

export interface StartOptions {
  /** Whether coverage is counted there, too: by the compiler of this process, which takes seconds to start. Default: `true`. */
  isMeasured?: boolean
}

/** Starts a process of the application; it ends with the test. */
export async function startHost (t: Test, provider: Provider, auth0: Auth0Options, { isMeasured = true }: StartOptions = {}): Promise<Host> {
  const port = await getPort({ host: 'localhost' })
  const url = `http://localhost:${port}`
  const options: HostOptions = {
    port,
    auth0: { issuer: provider.issuer, clientId: provider.clientId, clientSecret: provider.clientSecret, secret, appBaseUrl: url, ...auth0 }
  }
  const how = isMeasured ? {} : { execArgv: ['--import', 'tsx'] }
  const host = fork(fileURLToPath(new URL('host-process.ts', import.meta.url)), [JSON.stringify(options)], how)
  // At a SIGTERM it would write its coverage all the same, in the text of another compiler.
  t.teardown(() => endOf(host, isMeasured ? 'SIGTERM' : 'SIGKILL'))
  const says = async (expected: HostMessage) => {
    const [message] = await once(host, 'message')
    if (message !== expected) throw new Error(`the process says ${message}`)
  }
  await says('listening')
  await until('it reaches Redis', async () => (await fetch(`${url}/login`, { redirect: 'manual' })).status !== 503)
  return {
    url,
    says,
    goOn: () => { host.send('go on') },
    advance: async seconds => { await fetch(`${url}/later?seconds=${seconds}`, { method: 'POST' }) },
    kill: () => endOf(host, 'SIGKILL')
  }
}

async function endOf (host: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (host.exitCode !== null || host.signalCode !== null) return
  host.kill(signal)
  await once(host, 'exit')
}

/** Starts the provider in memory behind a socket. What it has not answered when the caller hangs up, it drops. */
export async function startProvider (t: Test): Promise<Provider & { sids: unknown[] }> {
  const port = await getPort({ host: '127.0.0.1' })
  const provider = Object.assign(new Provider({ issuer: `http://127.0.0.1:${port}/` }), { sids: [] as unknown[] })
  const server = createServer(async (request, response) => {
    const caller = new AbortController()
    response.once('close', () => caller.abort())
    try {
      const chunks = await request.toArray()
      const body = chunks.length === 0 ? null : Buffer.concat(chunks)
      const headers = request.headers as Record<string, string>
      const answer = await provider.fetch(new URL(request.url!, provider.issuer), { method: request.method!, headers, body, signal: caller.signal })
      const text = await answer.text()
      const sid = sidIn(text)
      if (sid !== undefined) provider.sids.push(sid)
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(text)
    } catch (error) {
      if (!caller.signal.aborted) throw error
    }
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return provider
}

/** The provider's session, where an answer has an ID token. */
function sidIn (text: string): unknown {
  const { id_token: idToken } = (text === '' ? {} : JSON.parse(text)) as { id_token?: string }
  return idToken === undefined ? undefined : JSON.parse(Buffer.from(idToken.split('.')[1]!, 'base64url').toString()).sid
}
