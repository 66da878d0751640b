import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2SecureServer, Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import Fastify, {
  type FastifyBaseLogger, type FastifyError, type FastifyInstance, type FastifyPluginAsync, type FastifyReply, type FastifyRequest, type FastifyTypeProvider, type RawServerBase
} from 'fastify'
import t from 'tap'
import auth0, { FST_AUTH0_LOGIN_REFUSED, type Auth0, type Auth0Options, type Guard, type RequestAuth0, type RequireAuthOptions, type SessionInfo, type User } from '../lib/index.ts'
import { appBaseUrl, secret } from './helpers/app.ts'
import { Provider } from './helpers/provider.ts'
import { selfSigned } from './helpers/self-signed.ts'

// What people write in TypeScript, without a cast. `npm run types` is the test; that it runs, too, is another.

declare module 'fastify' {
  interface FastifyInstance { typed: Auth0 }
  interface FastifyRequest { typed: RequestAuth0 }
}

interface Loose extends FastifyTypeProvider { validator: unknown, serializer: unknown }
interface Shouting extends FastifyBaseLogger { shout: (text: string) => void }

const provider = new Provider()
const options: Auth0Options = {
  domain: 'tenant.example.com',
  clientId: provider.clientId,
  clientSecret: provider.clientSecret,
  secret: [secret] as const,
  appBaseUrl,
  fetch: provider.fetch,
  authorizationParams: { audience: process.env.NOT_SET, acr_values: 'a b', max_age: 60 },
  async onLogin ({ user, tokens, appState }, request) {
    const scope: string | null = tokens.scope
    if (user.email_verified === false) throw new FST_AUTH0_LOGIN_REFUSED('Verify your address first')
    user.plan = { scope, appState, host: request.host }
  },
  onLogout ({ user: { sub } }, { log }) { log.info(sub) },
  onError (error, _request, reply) { return reply.code(500).send(error.message) }
}

t.test('http', async t => {
  const app = Fastify({ logger: false })
  t.teardown(() => app.close())
  await app.register(auth0, options)
  await app.register(auth0, { ...options, name: 'typed', prefix: '/typed' })

  const conditions: RequireAuthOptions = { roles: ['admin'], permissions: { anyOf: ['a', 'b'] }, claims: { plan: plan => plan === 'pro', org_id: ['a', null], n: 5 }, organization: 'org_1', maxAge: 60, acr: 'a' }
  const guard: Guard = app.requireAuth(conditions)
  app.get('/uncalled', { preHandler: app.requireAuth }, async () => '')
  app.get('/called', { preHandler: app.requireAuth() }, async () => '')
  app.get('/list', { preHandler: [app.requireAuth, guard, async () => {}] }, async () => '')
  app.get('/early', { onRequest: app.requireAuth }, async () => '')
  app.get('/early-list', { onRequest: [app.requireAuth()] }, async () => '')
  app.get('/other', { preHandler: app.typed.requireAuth({ claims: (user, request) => user.sub === request.id }) }, async request => request.typed.user)
  app.get<{ Params: { id: string }, Querystring: { page?: number }, Reply: { id: string } }>('/generic/:id', { preHandler: app.requireAuth }, async ({ params }) => ({ id: params.id }))
  app.route({ method: 'POST', url: '/route', preHandler: app.auth0.requireAuth, handler: async (request, reply) => reply.send(request.auth0.user) })
  app.addHook('preHandler', async (request, reply) => request.routeOptions.url === '/hooked' ? app.requireAuth(request, reply) : undefined)
  app.withTypeProvider<Loose>().get('/provided', { preHandler: app.requireAuth(), schema: { querystring: {} } }, async request => request.auth0.roles)
  app.withTypeProvider<Loose>().get('/provided-list', { onRequest: [app.requireAuth] }, async () => '')

  app.get('/mine', async (request, reply) => {
    const url: URL = await app.auth0.startInteractiveLogin(request, reply, { returnTo: '/', appState: { a: 1 }, authorizationParams: { prompt: 'login' } })
    return reply.redirect(url.href)
  })
  app.get('/back', async (request, reply) => {
    const { user, returnTo, appState } = await app.auth0.completeInteractiveLogin(request, reply)
    const sub: string | undefined = user?.sub
    return [sub, returnTo, appState]
  })
  app.get('/know', async request => {
    const user: Readonly<User> | null = app.auth0.getUser(request)
    const session: SessionInfo | null = app.auth0.getSession(request)
    const name: string = request.auth0.user?.name ?? 'nobody'
    const via: 'session' | 'bearer' | null = request.auth0.via
    await request.auth0.updateSession({ seen: true })
    return { user, until: session?.idleExpiresAt, seen: session?.data.seen, name, via, roles: request.auth0.roles.includes('a'), claim: user?.['https://example.com/x'] }
  })
  app.get('/out', async (request, reply) => reply.redirect((await app.auth0.logout(request, reply, { returnTo: '/', federated: true })).href, 303))
  app.setErrorHandler<FastifyError>((error, request, reply) => reply.code(error.statusCode ?? 500).send([error.code, app.auth0.getUser(request)]))
  await refusesStrangers(t, app, ['/uncalled', '/called', '/list', '/early', '/early-list', '/other', '/generic/5', '/provided', '/provided-list'])
})

t.test('https', async t => {
  const app = Fastify({ https: selfSigned() })
  t.teardown(() => app.close())
  await app.register(auth0, options)
  app.get('/guarded', { preHandler: [app.requireAuth, app.requireAuth()], onRequest: app.requireAuth }, async (request, reply) => app.auth0.startInteractiveLogin(request, reply))
  await refusesStrangers(t, app, ['/guarded'])
})

t.test('HTTP/2', async t => {
  const app = Fastify({ http2: true, https: selfSigned() })
  t.teardown(() => app.close())
  await app.register(auth0, options)
  app.get('/guarded', { preHandler: [app.requireAuth, app.requireAuth()], onRequest: app.requireAuth }, async (request, reply) => {
    await request.auth0.updateSession({})
    return [await app.auth0.completeInteractiveLogin(request, reply), app.auth0.getUser(request), app.auth0.getSession(request), await app.auth0.logout(request, reply)]
  })
  await refusesStrangers(t, app, ['/guarded'])
})

t.test('HTTP/2 without TLS', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(auth0, options)
  app.get('/guarded', { preHandler: app.requireAuth, onRequest: [app.requireAuth()] }, async (request, reply) => app.auth0.startInteractiveLogin(request, reply))
  await refusesStrangers(t, app, ['/guarded'])
})

t.test('a logger of one\'s own, and a type provider for everything', async t => {
  const log = Fastify().log
  const loggerInstance: Shouting = Object.assign(log, { shout: (text: string) => log.info(text.toUpperCase()) })
  const app = Fastify({ loggerInstance }).withTypeProvider<Loose>()
  t.teardown(() => app.close())
  await app.register(auth0, options)
  app.get('/guarded', { preHandler: [app.requireAuth], onRequest: app.requireAuth() }, async (request, reply) => {
    request.log.shout('who?')
    return app.auth0.startInteractiveLogin(request, reply)
  })
  await refusesStrangers(t, app, ['/guarded'])
})

t.test('plugins and functions of the application', async t => {
  const pages: FastifyPluginAsync = async app => {
    app.addHook('onRequest', app.requireAuth)
    app.get('/guarded', async request => greet(request))
  }
  const greet = (request: FastifyRequest) => `Hello ${request.auth0.user?.name}`
  const guardAll = (app: FastifyInstance) => app.addHook('preHandler', app.requireAuth({ roles: 'admin' }))
  const logOut = (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => app.auth0.logout(request, reply)
  const anyServer = (request: FastifyRequest<{ Body: string }, RawServerBase>) => request.auth0.isAuthenticated
  const overHttp2 = (request: FastifyRequest<object, Http2SecureServer, Http2ServerRequest>, reply: FastifyReply<object, Http2SecureServer, Http2ServerRequest, Http2ServerResponse>, app: Auth0) => app.logout(request, reply)
  const raw = ({ raw }: FastifyRequest, reply: FastifyReply): [IncomingMessage, ServerResponse] => [raw, reply.raw]
  t.ok([logOut, anyServer, overHttp2, raw])

  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(auth0, options)
  await app.register(pages)
  await app.register(async child => { guardAll(child).get('/admin', async () => '') })
  await refusesStrangers(t, app, ['/guarded', '/admin'])
})

/** Any server. */
interface Injectable { inject (url: string): Promise<{ statusCode: number }> }

async function refusesStrangers (t: { equal (found: unknown, wanted: unknown, message: string): unknown }, app: Injectable, paths: string[]): Promise<void> {
  for (const path of paths) t.equal((await app.inject(path)).statusCode, 401, path)
}
