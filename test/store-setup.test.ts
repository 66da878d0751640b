import cookie from '@fastify/cookie'
import session from '@fastify/session'
import Fastify, { type FastifyInstance } from 'fastify'
import getPort from 'get-port'
import t, { type Test } from 'tap'
import auth0, { MemoryStore, RedisStore, type Auth0, type Auth0Options, type RequestAuth0, type SessionOptions } from '../lib/index.ts'
import { appBaseUrl, buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { Browser } from './helpers/browser.ts'
import { overHttp2 } from './helpers/http2.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { selfSigned } from './helpers/self-signed.ts'
import { connected } from './helpers/stores.ts'

declare module 'fastify' {
  interface FastifyInstance { staff: Auth0 }
  interface FastifyRequest { staff: RequestAuth0 }
}

const ownSession = { secret, saveUninitialized: false, rolling: false }

t.test('one application, without a line changed, on encrypted cookies, in memory, and on Redis', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const stories = await Promise.all([{}, { store: new MemoryStore() }, { redis: redis.url }].map(session => tell(t, session)))
  const [cookies, ...stores] = stories
  t.equal(cookies!.length, 12)
  for (const story of stores) t.same(story, cookies)
})

/** What an application answers while somebody comes, logs in, works and leaves; without what is different at every login. */
async function tell (t: Test, session: SessionOptions): Promise<unknown[]> {
  const { browser, app } = await buildApp(t, {
    auth0: { session, onLogin: ({ user }) => ({ ...user, sid: 'one', iat: 0, exp: 0, nonce: '', at_hash: '' }) },
    routes: app => {
      app.get('/theme', async request => request.auth0.session?.data.theme ?? 'light')
      app.post<{ Body: { theme: string } }>('/theme', async request => request.auth0.updateSession({ theme: request.body.theme }))
    }
  })
  await connected(app)
  const story: unknown[] = []
  const note = async (answer: ReturnType<typeof browser.get>) => {
    const { statusCode, body, location, headers } = await answer
    story.push([statusCode, location?.pathname, headers['cache-control'], body.replaceAll(/\d{10}/g, 'then').replace(/request [\w-]+/, '')])
  }
  await note(browser.get('/'))
  await note(browser.get('/profile'))
  await note(browser.fetch('/profile'))
  await note(browser.fetch('/theme', { method: 'POST', json: { theme: 'dark' } }))
  await note(browser.login('/profile'))
  await note(browser.fetch('/theme', { method: 'POST', json: { theme: 'dark' } }))
  await note(browser.get('/theme'))
  await note(browser.get('/me'))
  await note(browser.fetch('/theme', { method: 'POST', json: { theme: 'x' }, site: 'cross-site' }))
  await note(browser.post('/logout'))
  await note(browser.get('/theme'))
  await note(browser.fetch('/profile'))
  return story
}

for (const [name, scheme, make, isHttp2] of [
  ['http on this machine', 'http', () => Fastify(), false],
  ['https', 'https', () => Fastify({ https: selfSigned() }), false],
  ['HTTP/2', 'https', () => Fastify({ http2: true, https: selfSigned() }), true]
] as const) {
  t.test(`somebody logs in, acts and logs out over ${name}, below a prefix`, async t => {
    const app = make() as unknown as FastifyInstance
    const provider = new Provider()
    const port = await getPort()
    const baseUrl = `${scheme}://localhost:${port}`
    t.teardown(() => app.close())
    await app.register(auth0, { ...of(provider), appBaseUrl: baseUrl, prefix: '/app', session: { store: new MemoryStore() } })
    app.get('/', async () => 'home')
    app.get('/profile', { preHandler: app.requireAuth }, async request => request.auth0.user?.name)
    app.post('/notes', { onRequest: app.requireAuth() }, async request => {
      await request.auth0.updateSession({ note: 1 })
      return request.auth0.session
    })
    await app.listen({ port, host: 'localhost' })
    const reach = isHttp2 ? overHttp2(baseUrl) : null
    if (reach !== null) t.teardown(reach.close)
    const browser = new Browser({ baseUrl, provider, ...reach && { app: reach } })
    t.equal((await browser.login('/profile')).body, 'Ada Lovelace')
    t.same(browser.cookieNames(), [scheme === 'https' ? '__Host-auth0' : 'auth0'])
    t.same((await browser.fetch('/notes', { json: {}, method: 'POST' })).json().data, { note: 1 })
    t.equal((await browser.submit('/app/logout')).url.href, `${baseUrl}/`)
    t.same(browser.cookieNames(), [])
    t.equal((await browser.fetch('/profile')).statusCode, 401)
  })
}

t.test('G1 the cookie has an id of 128 random bits or more, and the attributes that sessions in cookies have', async t => {
  const { browser, app } = await buildApp(t, { auth0: { session: { store: new MemoryStore(), absoluteTimeout: 5000, idleTimeout: 100 } } })
  const callback = await browser.leave()
  const { setCookies } = await browser.comeBack(callback)
  const [header = ''] = setCookies.filter(header => header.startsWith('__Host-auth0='))
  const [, expires = ''] = /^__Host-auth0=[\w-]{32}\.[^;]{43,}; Path=\/; Expires=([^;]+); HttpOnly; Secure; SameSite=Lax$/.exec(header) ?? []
  t.ok(Math.abs(Date.parse(expires) / 1000 - Date.now() / 1000 - 5000) < 60, 'it lasts as long as the session may')
  const ids = await Promise.all(Array.from({ length: 100 }, async () => (await app.inject({ url: '/me', headers: {} })).headers['set-cookie']))
  t.same(new Set(ids), new Set([undefined]), 'G10 a visitor gets none')
})

t.test('H12 a MemoryStore in production is warned of', async t => {
  const before = process.env.NODE_ENV
  t.teardown(() => { process.env.NODE_ENV = before })
  const warnings = async (options: BuildOptions) => (await buildApp(t, options)).logs.lines.filter(({ level }) => level >= 40).map(({ msg }) => msg)
  const inMemory = { auth0: { session: { store: new MemoryStore() } } }
  t.same(await warnings(inMemory), [])
  process.env.NODE_ENV = 'production'
  t.match(await warnings(inMemory), [/in the memory of this process.*Use session\.redis/])
  t.same(await warnings({}), [])
})

t.test('the application\'s @fastify/cookie, before us', async t => {
  const { browser } = await buildApp(t, {
    before: app => app.register(cookie),
    auth0: { session: { store: new MemoryStore() } },
    routes: app => app.get('/theme', async (request, reply) => reply.setCookie('theme', 'dark', { path: '/', secure: true }).send(request.cookies.theme ?? 'light'))
  })
  await browser.login()
  t.equal((await browser.get('/theme')).body, 'light')
  t.equal((await browser.get('/theme')).body, 'dark')
  t.same(browser.cookieNames(), ['__Host-auth0', 'theme'])
})

t.test('a hook of the application that answers before there is a session', async t => {
  const { browser } = await buildApp(t, {
    before: app => app.addHook('onRequest', async (request, reply) => request.url === '/closed' ? reply.code(503).send(`closed for ${request.auth0.user?.sub ?? 'all'}`) : undefined),
    auth0: { session: { store: new MemoryStore() } }
  })
  await browser.login()
  t.match(await browser.get('/closed'), { statusCode: 503, body: 'closed for all', setCookies: [] })
  t.equal((await browser.get('/profile')).statusCode, 200)
})

t.test('two instances on one server', async t => {
  const inStore = { session: { store: new MemoryStore() } }
  t.test('one keeps its sessions in a store, the other in cookies', async t => {
    for (const [first, second] of [[inStore, {}], [{}, inStore]] as const) {
      const app = await fastify(t)
      const [provider, others] = [new Provider(), new Provider({ clientId: 'staff-client', user: { sub: 'grace', name: 'Grace Hopper' } })]
      await app.register(auth0, { ...of(provider), ...first })
      await app.register(auth0, { ...of(others), ...second, name: 'staff', prefix: '/staff' })
      app.get('/both', async request => [request.auth0.user?.name ?? null, request.staff.user?.name ?? null])
      const browser = new Browser({ baseUrl: appBaseUrl, app, provider })
      const employee = new Browser({ baseUrl: appBaseUrl, app, provider: others })
      await browser.login('/login?returnTo=/both')
      await employee.login('/staff/login?returnTo=/both')
      t.same((await browser.get('/both')).json(), ['Ada Lovelace', null])
      t.same((await employee.get('/both')).json(), [null, 'Grace Hopper'])
      await employee.login('/staff/login?returnTo=/both')
      await employee.post('/staff/logout')
      await browser.post('/logout')
      t.same((await browser.get('/both')).json(), [null, null])
      t.same([browser.cookieNames(), employee.cookieNames()], [[], []])
    }
  })

  t.test('both in a store, in one context: refused at boot, for one session has room for one login', async t => {
    const store = new MemoryStore()
    const foreign = new session.MemoryStore()
    const pairs: Array<[Auth0Options, Auth0Options]> = [
      [inStore, inStore], [inStore, { session: { store: new MemoryStore() } }], [{ session: { redis: 'redis://127.0.0.1:1' } }, { session: { redis: 'redis://127.0.0.1:1' } }],
      [{ session: { store: foreign } }, { session: { store: foreign } }]
    ]
    for (const [first, second] of pairs) {
      const app = await fastify(t)
      await app.register(auth0, { ...of(new Provider()), ...first })
      await t.rejects(async () => app.register(auth0, { ...of(new Provider()), ...second, name: 'staff', prefix: '/staff' }),
        { code: 'FST_AUTH0_OPTIONS_INVALID', message: /"session": another instance keeps its logins in request\.session here\. Keep those of one in cookies, or register the two in contexts beside each other/ })
    }
    const app = await fastify(t)
    await app.register(cookie)
    await app.register(session, { store, ...ownSession })
    await app.register(auth0, { ...of(new Provider()), session: { store } })
    const inside = async () => app.register(async context => { await context.register(auth0, { ...of(new Provider()), session: { store }, name: 'staff', prefix: '/staff' }) })
    await t.rejects(inside, { code: 'FST_AUTH0_OPTIONS_INVALID' }, 'nor in a context within')
  })

  t.test('each in a context of its own', async t => {
    const app = await fastify(t)
    const store = new MemoryStore()
    const providers = [new Provider(), new Provider({ clientId: 'staff-client', user: { sub: 'grace', name: 'Grace Hopper' } })] as const
    for (const [name, provider] of [['auth0', providers[0]], ['staff', providers[1]]] as const) {
      await app.register(async context => {
        await context.register(auth0, { ...of(provider), name, session: { store } })
        context.get('/me', async request => request[name].user?.name ?? null)
      }, { prefix: `/${name}` })
    }
    for (const [name, provider] of [['auth0', providers[0]], ['staff', providers[1]]] as const) {
      const browser = new Browser({ baseUrl: appBaseUrl, app, provider })
      t.equal((await browser.login(`/${name}/login?returnTo=/${name}/me`)).body, provider.user.name)
      t.equal((await browser.get(name === 'auth0' ? '/staff/me' : '/auth0/me')).body, 'null')
      await browser.post(`/${name}/logout`)
      t.equal((await browser.get(`/${name}/me`)).body, 'null')
    }
  })
})

t.test('refuses a request.session that is not what it needs', async t => {
  t.test('at boot: another plugin\'s', async t => {
    for (const options of [{ store: new MemoryStore() }, { redis: 'redis://127.0.0.1:1' }, { store: new session.MemoryStore() }]) {
      const app = await fastify(t)
      app.decorateRequest('session', null as never)
      await t.rejects(async () => app.register(auth0, { ...of(new Provider()), session: options }), { code: 'FST_AUTH0_OPTIONS_INVALID', message: /request\.session is taken by another plugin than @fastify\/session/ })
    }
  })

  t.test('at boot: "session.redis" beside @fastify/session of the application', async t => {
    const app = await fastify(t)
    await app.register(cookie)
    await app.register(session, ownSession)
    await t.rejects(async () => app.register(auth0, { ...of(new Provider()), session: { redis: 'redis://127.0.0.1:1' } }), { message: /"session\.redis": @fastify\/session is registered already, with a store of its own\. Give that store as "session\.store", best a RedisStore/ })
  })

  t.test('at the first request: @fastify/session with another store', async t => {
    for (const store of [new MemoryStore(), new session.MemoryStore()]) {
      const { browser } = await buildApp(t, {
        before: async app => {
          await app.register(cookie)
          await app.register(session, { ...ownSession, store: new MemoryStore() })
        },
        auth0: { session: { store } }
      })
      t.match((await browser.get('/me')).json(), { code: 'FST_AUTH0_OPTIONS_INVALID', message: /"session\.store": @fastify\/session is registered with another store\. Give both the same one/ })
    }
  })

  t.test('but whatever cookie @fastify/session of the application has: a logout clears it as it was set', async t => {
    const store = new MemoryStore()
    const { browser } = await buildApp(t, {
      before: async app => {
        await app.register(cookie)
        await app.register(session, { ...ownSession, store, cookiePrefix: 's:', cookie: { domain: 'example.com', path: '/', maxAge: 60_000 } })
      },
      auth0: { session: { store } }
    })
    const callback = await browser.leave()
    const set = (await browser.comeBack(callback)).setCookies.find(header => header.startsWith('sessionId='))
    t.match(set, /^sessionId=s:.*; Domain=example\.com; Path=\//)
    t.equal((await browser.get('/profile')).statusCode, 200)
    t.match((await browser.post('/logout')).setCookies, [/^sessionId=; Max-Age=0; Domain=example\.com; Path=\/;.*Secure/])
    t.same(browser.cookieNames(), [])
  })

  t.test('at a login: a Secure cookie of the application\'s @fastify/session over http, which would never be set', async t => {
    for (const [cookies, statusCode] of [[undefined, 500], [{ secure: true }, 500], [{ secure: false }, 302], [{ secure: 'auto' }, 302]] as const) {
      for (const store of [new MemoryStore(), new session.MemoryStore()]) {
        const { browser, logs } = await buildApp(t, {
          before: async app => {
            await app.register(cookie)
            await app.register(session, { ...ownSession, store, ...cookies && { cookie: cookies } })
          },
          auth0: { appBaseUrl: 'http://localhost:3000', session: { store } }
        })
        t.equal((await browser.get('/login')).statusCode, statusCode)
        t.equal(logs.text.includes('register it with \\"cookie: { secure: false }\\"'), statusCode === 500)
        if (statusCode === 302) t.equal((await browser.login()).statusCode, 200)
      }
    }
  })
})

t.test('a client of the application\'s stays open, one of ours is closed', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const names = async () => String(await redis.command('CLIENT', 'LIST')).split('\n').filter(line => line.includes('name=fastify-auth0')).length
  const client = redis.client()
  const { app } = await buildApp(t, { auth0: { session: { redis: client } } })
  const { app: another, browser } = await buildApp(t, { auth0: { session: { redis: redis.url } } })
  const { app: third } = await buildApp(t, { auth0: { session: { store: new RedisStore({ client }) } } })
  for (const host of [app, another, third]) await connected(host)
  await browser.login()
  t.equal(await names(), 1)
  await Promise.all([app.close(), another.close(), third.close()])
  t.equal(await client.ping(), 'PONG')
  t.equal(await names(), 0)
})

async function fastify (t: Test): Promise<FastifyInstance> {
  const app = Fastify({ trustProxy: true })
  t.teardown(() => app.close())
  return app
}

function of (provider: Provider): Auth0Options {
  return { domain: 'tenant.example.com', clientId: provider.clientId, clientSecret: provider.clientSecret, secret, appBaseUrl, fetch: provider.fetch }
}
