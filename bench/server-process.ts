import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A candidate that runs in a process of its own. */
export interface ServerProcess {
  port: number
  /** CPU time spent so far, in microseconds. */
  cpuTime (): Promise<number>
  stop (): Promise<void>
}

/** Starts a candidate, by the name of its file. With `profileTo`, it writes a CPU profile into that folder when it stops. */
export async function startServer (candidate: string, profileTo?: string): Promise<ServerProcess> {
  const profiling = profileTo === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileTo}/${candidate}`]
  const child = fork(fileURLToPath(new URL('server.ts', import.meta.url)), [candidate], { execArgv: [...process.execArgv, ...profiling] })

  const isGone = new AbortController()
  child.once('exit', () => isGone.abort(new Error(`The process of ${candidate} ended`)))

  async function answer (): Promise<number> {
    const [message] = await once(child, 'message', { signal: isGone.signal })
    return message as number
  }

  return {
    port: await answer(),
    cpuTime () {
      child.send('cpuTime')
      return answer()
    },
    async stop () {
      child.disconnect()
      await once(child, 'exit')
    }
  }
}
