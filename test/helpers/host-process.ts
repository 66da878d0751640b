import { once } from 'node:events'
import Fastify from 'fastify'
import type { Test } from 'tap'
import auth0, { type Auth0Options } from '../../lib/index.ts'
import { travelInTime } from './clock.ts'

/** What a process of the application is told to be. */
export interface HostOptions {
  port: number
  auth0: Auth0Options
}

/** What it says: that it listens, or that a request waits in its handler until the process is told to go on. */
export type HostMessage = 'listening' | 'waiting'

const { port, auth0: options } = JSON.parse(process.argv[2]!) as HostOptions
const clock = travelInTime({ teardown: () => {} } as unknown as Test) // to the end of the process
const app = Fastify({ forceCloseConnections: true })
await app.register(auth0, options)

app.get('/me', async request => request.auth0.user?.sub ?? null)
app.get('/cart', async request => request.session?.cart ?? null)
app.get('/token', async request => request.auth0.getTokenSet())
if (options.api !== undefined) app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, async request => request.auth0.user?.sub ?? null)
app.post<{ Querystring: { seconds: number } }>('/later', async ({ query }) => clock.advance(Number(query.seconds)))
app.post('/end-all', async request => app.auth0.sessions.endAll({ sub: request.auth0.user!.sub }))

app.get('/slow', async request => {
  const { user } = request.auth0
  tell('waiting')
  await once(process, 'message')
  if (request.session) request.session.cart = ['late']
  const updated = await request.auth0.updateSession({ late: true }).then(() => true, error => error.code)
  return { user: user?.sub, updated }
})

await app.listen({ port, host: 'localhost' })
tell('listening')
process.once('disconnect', () => process.exit())

function tell (message: HostMessage): void {
  process.send!(message)
}
