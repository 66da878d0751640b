import t from 'tap'
import { FST_AUTH0_SESSION_UNAVAILABLE, MemoryStore } from '../lib/index.ts'
import { OpenedSeals } from '../lib/session/opened-seals.ts'
import { createSeal } from '../lib/session/seal.ts'
import { storedLogin, type SealedLogin } from '../lib/session/stored-login.ts'
import { buildApp } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { connected } from './helpers/stores.ts'

t.test('H3 of updates at once on two hosts none is lost', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const memory = { store: new MemoryStore() }
  for (const session of [memory, { redis: redis.url }]) {
    const [one, two] = [await buildWith(session), await buildWith(session)]
    await one.browser.login('/login?returnTo=/me')
    const headers = { cookie: `__Host-auth0=${one.browser.cookie('__Host-auth0')}`, 'x-forwarded-proto': 'https' }
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const answers = await Promise.all(names.map((name, at) => (at % 2 === 0 ? one : two).app.inject({ url: `/set/${name}`, headers })))
    t.same(answers.map(({ statusCode }) => statusCode), names.map(() => 200))
    t.same((await one.browser.get('/me')).json().session.data, Object.fromEntries(names.map(name => [name, 1])))
  }

  async function buildWith (session: object) {
    const built = await buildApp(t, {
      auth0: { session },
      routes: app => app.get<{ Params: { name: string } }>('/set/:name', async (request, reply) => {
        await request.auth0.updateSession({ [request.params.name]: 1 })
        return reply.code(200).send(request.auth0.session?.data)
      })
    })
    await connected(built.app)
    return built
  }
})

t.test('an update that others are always faster with gives up', async t => {
  const store = new MemoryStore()
  let attempts = 0
  const { browser } = await buildApp(t, { auth0: { session: { store } }, routes: app => app.get('/set', async request => request.auth0.updateSession({ n: 1 })) })
  await browser.login('/login?returnTo=/me')
  store.records.replaceLogin = async () => { attempts++; return 'changed' }
  t.match((await browser.fetch('/set')).json(), { statusCode: 503, code: 'FST_AUTH0_SESSION_UNAVAILABLE' })
  t.equal(attempts, 10)
  t.same((await browser.get('/me')).json().session.data, {})
})

t.test('an update of a session that ends in between says that nobody is logged in', async t => {
  const store = new MemoryStore()
  const { browser } = await buildApp(t, { auth0: { session: { store } }, routes: app => app.get('/set', async request => request.auth0.updateSession({ n: 1 })) })
  await browser.login('/login?returnTo=/me')
  const { read } = store.records
  store.records.replaceLogin = async () => {
    store.records.read = async () => null
    return 'changed'
  }
  t.match((await browser.fetch('/set')).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' })
  store.records.read = read
  const { browser: another } = await buildApp(t, {
    auth0: { session: { store } },
    routes: app => app.get('/set', async request => [await request.auth0.updateSession({ n: 1 }).catch(error => error.code), request.auth0.user])
  })
  await another.login('/login?returnTo=/me')
  store.records.replaceLogin = async () => 'absent'
  t.same((await another.fetch('/set')).json(), ['FST_AUTH0_LOGIN_REQUIRED', null], 'and the same request sees it')
})

t.test('B5 a twin whose session ends in between is not logged in', async t => {
  const store = new MemoryStore()
  const { browser } = await buildApp(t, { auth0: { session: { store } } })
  const callback = await browser.leave('/login?returnTo=/me')
  const { read } = store.records
  let reads = 0
  store.records.read = async name => {
    reads++
    await store.records.end(name)
    return read.call(store.records, name)
  }
  const twins = await Promise.all([1, 2].map(() => browser.comeBack(callback)))
  t.same(twins.map(({ statusCode }) => statusCode).sort(), [303, 400])
  t.equal(reads, 1, 'by the second twin')
})

t.test('H1 what is written to a session that was ended before it began is dropped, also once more', async t => {
  const store = new MemoryStore()
  const run = (verb: 'destroy' | 'get' | 'set', ...rest: unknown[]) => new Promise((resolve, reject) =>
    (store[verb] as (...more: unknown[]) => void)('id', ...rest, (error: unknown, found: unknown) => error ? reject(error) : resolve(found)))
  await run('destroy')
  const session = { cart: ['book'] }
  await run('set', session)
  session.cart = ['pen']
  await run('set', session)
  t.equal(await run('get'), null)
})

t.test('what is written to a session that could not be read is a 503, and not lost without a word', async t => {
  const store = new MemoryStore()
  const { browser } = await buildApp(t, {
    auth0: { session: { store } },
    routes: app => app.get('/cart', async ({ session }) => { session.cart = ['book'] })
  })
  await browser.login('/login?returnTo=/me')
  const { read } = store.records
  store.records.read = async () => { throw new FST_AUTH0_SESSION_UNAVAILABLE() }
  t.equal((await browser.fetch('/cart')).json().code, 'FST_AUTH0_SESSION_UNAVAILABLE')
  store.records.read = read
  t.equal((await browser.fetch('/cart')).statusCode, 200)
})

t.test('a session that could not be extended is served all the same', async t => {
  const clock = travelInTime(t)
  const store = new MemoryStore()
  const { browser } = await buildApp(t, { auth0: { session: { store, idleTimeout: 1000 } } })
  await browser.login('/login?returnTo=/me')
  clock.advance(200)
  let touches = 0
  store.records.touch = async () => {
    touches++
    throw new FST_AUTH0_SESSION_UNAVAILABLE()
  }
  t.ok((await browser.get('/me')).json().isAuthenticated)
  t.equal(touches, 1)
})

t.test('an answer with a cookie of the application\'s own keeps it, and does not set that of a session that is as it was', async t => {
  const { browser } = await buildApp(t, {
    auth0: { session: { store: new MemoryStore() } },
    routes: app => app.get('/theme', async ({ session }, reply) => {
      session.cart = ['pen']
      return reply.header('set-cookie', 'theme=dark').send('dark')
    })
  })
  await browser.login('/login?returnTo=/me')
  t.same((await browser.get('/theme')).setCookies, ['theme=dark'])
})

t.test('D13 what a refresh brought is not lost when the store is away at that very moment, nor is the refresh token used twice', async t => {
  for (const [name, replaces] of [['it did not take it', false], ['it took it, and could not say so', true]] as const) {
    const store = new MemoryStore()
    const { browser, provider } = await buildApp(t, {
      auth0: { session: { store }, authorizationParams: { scope: 'openid offline_access' } },
      routes: app => app.get('/token', async ({ auth0 }) => auth0.getAccessToken({ forceRefresh: true }))
    })
    await browser.login('/login?returnTo=/me')
    const { replaceLogin } = store.records
    store.records.replaceLogin = async (...args) => {
      if (replaces) await replaceLogin.apply(store.records, args)
      throw new FST_AUTH0_SESSION_UNAVAILABLE()
    }
    const failed = await browser.fetch('/token')
    t.match([failed.statusCode, failed.headers['retry-after']], [503, '5'], name)
    store.records.replaceLogin = replaceLogin
    for (let time = 0; time < 2; time++) t.equal((await browser.fetch('/token')).statusCode, 200)
    t.equal(provider.reuses, 0)
    t.ok((await browser.get('/me')).json().isAuthenticated)
  }
})

t.test('H8 what does not open is no login', async t => {
  const seal = createSeal(['another secret'], 'test', 60)
  const opened = new OpenedSeals<SealedLogin>(seal, 1000)
  const { records } = new MemoryStore()
  const record = { fields: {}, login: 'no seal', version: 1, usedAt: 0, idleTimeout: 1 }
  t.equal(storedLogin({ records, seal, opened }, 'session', record), null)
  t.equal(storedLogin({ records, seal, opened }, 'session', { ...record, login: null }), null)
})
