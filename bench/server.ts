// The process of one candidate: `server.ts <candidate>`. Tells its port, then its CPU time whenever it is asked.
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

const { build } = await import(`./candidates/${process.argv[2]}.ts`) as { build: () => FastifyInstance }
const app = build()
await app.listen({ port: 0, host: '127.0.0.1' })

process.on('message', () => process.send?.(cpuTime()))
process.on('disconnect', () => process.exit()) // by exit and not by a signal, so that --cpu-prof writes its file
process.send?.((app.server.address() as AddressInfo).port)

/** Of all threads of this process, in user and system, in microseconds. */
function cpuTime (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
