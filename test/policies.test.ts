import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { FST_AUTH0_POLICY_MISSING, type Auth0, type Auth0Options, type GuardPolicy, type ListedRoute, type RequestAuth0 } from '../lib/index.ts'
import { guardsOf } from '../lib/policy/guards-of.ts'
import { secret } from './helpers/app.ts'

declare module 'fastify' {
  interface FastifyInstance { staff: Auth0 }
  interface FastifyRequest { staff: RequestAuth0 }
}

const handler = async () => ''
const plain: GuardPolicy = { name: 'auth0', via: ['session', 'bearer'] }

const guarded: Array<[name: string, define: (app: FastifyInstance) => unknown, policy: ListedRoute['policy']]> = [
  ['a guard that was not called', app => app.get('/x', { preHandler: app.requireAuth }, handler), plain],
  ['a guard', app => app.get('/x', { preHandler: app.requireAuth() }, handler), plain],
  ['a guard of the instance', app => app.get('/x', { preHandler: app.auth0.requireAuth }, handler), plain],
  ['a guard before the body is read', app => app.get('/x', { onRequest: app.requireAuth() }, handler), plain],
  ['a guard before parsing', app => app.get('/x', { preParsing: app.requireAuth() }, handler), plain],
  ['a guard before validation', app => app.get('/x', { preValidation: app.requireAuth }, handler), plain],
  ['a guard with conditions', app => app.get('/x', { preHandler: app.requireAuth({ via: 'bearer', scopes: 'read', roles: ['a'], optional: true }) }, handler),
    { name: 'auth0', via: ['bearer'], scopes: 'read', roles: ['a'], optional: true }],
  ['a guard among other hooks', app => app.get('/x', { preHandler: [async () => {}, app.requireAuth({ roles: 'a' })] }, handler), { ...plain, roles: 'a' }],
  ['two guards', app => app.get('/x', { onRequest: app.requireAuth({ roles: 'a' }), preHandler: [app.requireAuth({ roles: 'b' })] }, handler), [{ ...plain, roles: 'a' }, { ...plain, roles: 'b' }]],
  ['one guard twice', app => app.get('/x', { onRequest: app.requireAuth, preHandler: app.requireAuth }, handler), plain],
  ['a guard of another instance', app => app.get('/x', { preHandler: app.staff.requireAuth({ organization: 'org_1' }) }, handler), { name: 'staff', via: ['session'], organization: 'org_1' }],
  ['guards of two instances', app => app.get('/x', { onRequest: [app.requireAuth, app.staff.requireAuth] }, handler), [plain, { name: 'staff', via: ['session'] }]],
  ['a guard of the context', app => app.register(async app => { app.addHook('preHandler', app.requireAuth()).get('/x', handler) }), plain],
  ['a guard of the context that comes after the route', app => app.register(async app => { app.get('/x', handler).addHook('onRequest', app.requireAuth) }), plain],
  ['a guard of a context further out', app => app.register(async app => {
    app.addHook('onRequest', app.requireAuth({ roles: 'a' }))
    await app.register(async app => { app.get('/x', { preHandler: app.requireAuth({ roles: 'b' }) }, handler) })
  }), [{ ...plain, roles: 'a' }, { ...plain, roles: 'b' }]],
  ['a guard that another plugin puts before the route', app => {
    app.addHook('onRoute', route => { if (route.url === '/x') route.preHandler = app.requireAuth() })
    app.get('/x', handler)
  }, plain],
  ['a guard where somebody says "public"', app => app.get('/x', { config: { auth0: 'public' }, preHandler: app.requireAuth() }, handler), plain],
  ['a route that is public', app => app.get('/x', { config: { auth0: 'public' } }, handler), 'public'],
  ['a route that is guarded by other means', app => app.get('/x', { config: { auth0: 'custom' } }, handler), 'custom'],
  ['nothing', app => app.get('/x', handler), null],
  ['a guard of the context beside', app => app.register(async app => { app.addHook('onRequest', app.requireAuth) }).get('/x', handler), null],
  ['a guard that comes after the answer', app => app.get('/x', { onResponse: app.requireAuth() as never }, handler), null],
  ['a misspelt word', app => app.get('/x', { config: { auth0: 'Public' as 'public' } }, handler), null]
]

for (const [name, define, policy] of guarded) {
  t.test(`routes() tells of ${name}`, async t => {
    const app = await build(t, define)
    await app.ready()
    const listed = app.auth0.routes().filter(({ url }) => url === '/x')
    t.same(listed, [{ method: 'GET', url: '/x', policy }])
    t.same(app.staff.routes(), app.auth0.routes(), 'and the other instance the same')
    t.ok([listed[0]?.policy].flat().every(Object.isFrozen))
    // What is said is what happens.
    const { statusCode } = await app.inject('/x')
    t.equal(statusCode, typeof policy === 'object' && policy !== null && !('optional' in policy) ? 401 : 200)
  })
}

t.test('routes() tells of our own routes', async t => {
  const app = await build(t, () => {})
  await app.ready()
  const listed = app.auth0.routes()
  t.ok(listed.every(({ policy }) => policy === 'plugin'))
  t.same(listed.filter(({ url }) => url === '/login'), [{ method: 'HEAD', url: '/login', policy: 'plugin' }, { method: 'GET', url: '/login', policy: 'plugin' }])
  t.ok(listed.some(({ url }) => url === '/staff/logout'))
  t.ok(listed.some(({ url }) => url === '/.well-known/oauth-protected-resource'))
})

t.test('routes() tells of each method, and of a HEAD that differs from its GET', async t => {
  const app = await build(t, app => {
    app.route({ method: ['GET', 'POST'], url: '/several', handler })
    app.get('/own-head', { exposeHeadRoute: false, preHandler: app.requireAuth }, handler)
    app.head('/own-head', async () => '')
    app.addHook('onRoute', route => { if (route.url === '/get-only' && route.method === 'GET') route.preHandler = app.requireAuth() })
    app.get('/get-only', handler)
    app.get('/two-handlers', { exposeHeadRoute: false }, handler)
    app.head('/two-handlers', async () => '')
  })
  await app.ready()
  const listed = app.auth0.routes().filter(({ policy }) => policy !== 'plugin').map(({ method, url, policy }) => `${method} ${url} ${policy === null ? 'open' : 'guarded'}`)
  t.same(listed, [
    'GET /several open', 'POST /several open', 'GET /own-head guarded', 'HEAD /own-head open', 'GET /get-only guarded', 'HEAD /get-only open', 'GET /two-handlers open', 'HEAD /two-handlers open'
  ])
})

t.test('guards that cannot be found are overlooked, none is made up', async t => {
  const options = { method: 'GET', url: '/', handler } as const
  for (const context of [{}, { [Symbol('fastify.hooks')]: {} }, { [Symbol('fastify.hooks')]: { onRequest: null } }]) t.same(guardsOf({ context: context as unknown as FastifyInstance, options }), [])
})

t.test('requirePolicy', async t => {
  const ready = async (t: Test, define: (app: FastifyInstance) => unknown, options: BuildOptions = {}) => (await build(t, define, { requirePolicy: true, ...options })).ready()

  t.test('starts a server where somebody said of each route who may use it', async t => {
    await t.resolves(ready(t, app => {
      app.get('/guarded', { preHandler: app.requireAuth }, handler)
      app.get('/public', { config: { auth0: 'public' } }, handler)
      app.post('/hook', { config: { auth0: 'custom' } }, handler)
    }))
  })

  t.test('starts none with others, and names all of them', async t => {
    const starting = ready(t, app => {
      app.get('/guarded', { preHandler: app.requireAuth }, handler)
      app.route({ method: ['GET', 'PUT'], url: '/forgotten', handler })
      app.register(async app => { app.post('/too/:id', handler) })
    })
    await t.rejects(starting, new FST_AUTH0_POLICY_MISSING('- GET /forgotten\n- PUT /forgotten\n- POST /too/:id'))
  })

  t.test('nor with routes that were there before', async t => {
    const starting = ready(t, () => {}, { before: app => app.get('/earlier', handler) })
    await t.rejects(starting, { code: 'FST_AUTH0_POLICY_MISSING', message: /and routes that were there before this plugin.*\n└── \/earlier \(GET, HEAD\)/ })
  })

  t.test('of one instance counts the guards of all', async t => {
    await t.resolves(ready(t, app => app.get('/x', { preHandler: app.staff.requireAuth }, handler)))
  })

  t.test('is off where nobody asks for it', async t => {
    await t.resolves(ready(t, app => app.get('/x', handler), { requirePolicy: false, before: app => app.get('/earlier', handler) }))
  })

  t.test('counts what a context says of the routes of other plugins', async t => {
    await t.resolves(ready(t, async app => {
      await app.register(swagger, { openapi: {} })
      await app.register(async app => {
        app.addHook('onRoute', route => { route.config = { ...route.config, auth0: 'public' } })
        await app.register(swaggerUi)
      })
    }))
  })

  t.test('counts the guards that other plugins are given', async t => {
    await t.resolves(ready(t, async app => {
      await app.register(swagger, { openapi: {} })
      await app.register(async app => {
        app.addHook('onRequest', app.requireAuth)
        await app.register(swaggerUi)
      })
    }))
  })
})

interface BuildOptions {
  requirePolicy?: boolean
  before?: (app: FastifyInstance) => unknown
}

t.test('a route of the application cannot say that it is one of the plugin', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(auth0, { domain: 'tenant.example.com', api: { audience: 'https://api.example.com' }, requirePolicy: true })
  app.get('/mine', { config: { auth0: 'plugin' as 'public' } }, async () => 'in')
  app.get('/guarded', { config: { auth0: 'plugin' as 'public' }, preHandler: app.requireAuth() }, async () => 'in')
  t.same(app.auth0.routes().map(({ url, policy }) => [url, policy === null]), [['/mine', true], ['/guarded', false]])
  await t.rejects(async () => app.ready(), { code: 'FST_AUTH0_POLICY_MISSING' })
})

/** An application with two instances of the plugin. */
async function build (t: Test, define: (app: FastifyInstance) => unknown, { requirePolicy = false, before }: BuildOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  const options: Auth0Options = { domain: 'tenant.example.com', clientId: 'client-id', clientSecret: 'client-secret-of-the-tests', secret, appBaseUrl: 'https://app.example.com', fetch: async () => new Response('', { status: 503 }) }
  before?.(app)
  await app.register(auth0, { ...options, requirePolicy, api: { audience: 'https://api.example.com', resource: 'https://app.example.com' } })
  await app.register(auth0, { ...options, name: 'staff', prefix: '/staff' })
  await define(app)
  return app
}
