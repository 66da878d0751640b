import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { BuildOptions } from './helpers/app.ts'
import { Gate } from './helpers/gates.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildKept, storeKinds, type StoreKind } from './helpers/stores.ts'

declare module 'fastify' {
  interface Session {
    cart?: string[] | undefined
    theme?: string
  }
}

const IDLE = 1000
const ABSOLUTE = 5000
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }

t.test('sessions in a store of ours', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const kind of storeKinds(redis)) {
    t.test(kind.name, async t => {
      t.test('the story: a visitor fills a cart, logs in, comes back, logs out', async t => {
        const { browser, cookie, send, cookieName } = await build(t, kind)
        await browser.get('/cart/apple')
        const asVisitor = cookie()
        t.same((await browser.get('/me')).json(), { user: null, isAuthenticated: false, via: null, session: null, roles: [], permissions: [] })

        await browser.login('/login?returnTo=/me')
        const { user, isAuthenticated, via, session } = (await browser.get('/me')).json()
        t.match(user, { sub: 'auth0|ada', email: 'ada@example.com' })
        t.same([isAuthenticated, via, session.data], [true, 'session', {}])
        t.same([session.idleExpiresAt - session.usedAt, session.absoluteExpiresAt - session.createdAt], [IDLE, ABSOLUTE])
        t.same((await browser.get('/cart')).json(), ['apple'], 'the cart is still theirs')
        t.not(cookie(), asVisitor, 'promise 5: under a new id')
        t.same((await send('/cart', { cookie: asVisitor })).json(), [], 'and not under the old one')

        await browser.get('/note/1')
        await browser.get('/cart/pear')
        t.same((await browser.get('/me')).json().session.data, { note: '1' })
        t.same((await browser.get('/cart')).json(), ['apple', 'pear'])
        t.equal((await browser.get('/profile')).statusCode, 200)

        const loggedIn = cookie()
        t.equal((await browser.submit('/logout')).body, 'Hello stranger')
        t.same(browser.cookieNames().filter(name => name !== cookieName), [])
        t.equal((await browser.fetch('/profile')).statusCode, 401)
        for (const copy of [loggedIn, asVisitor]) {
          t.equal((await send('/profile', { cookie: copy })).statusCode, 401, 'promise 1: a copy of the cookie is of no use')
          t.same((await send('/cart', { cookie: copy })).json(), [])
        }
      })

      if (kind.isVariant) return

      t.test('I1 a logout destroys the session and clears its cookie', async t => {
        const { browser, cookie, send, cookieName } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        const copy = cookie()
        const { statusCode, setCookies } = await browser.post('/logout')
        t.equal(statusCode, 303)
        t.match(setCookies.filter(header => header.startsWith(`${cookieName}=`)), [/=; Max-Age=0; Path=\/;.* HttpOnly; Secure/])
        t.equal(browser.cookie(cookieName), null)
        t.notOk((await send('/me', { cookie: copy })).json().isAuthenticated)
        t.equal((await browser.post('/logout')).statusCode, 303, 'I7 once more does no harm')
      })

      t.test('promise 5: another person who logs in finds nothing of the one before; the same one does', async t => {
        const { browser, cookie, send } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        await browser.get('/cart/apple')
        await browser.get('/note/1')
        const first = cookie()
        await browser.login('/login?returnTo=/me')
        t.same((await browser.get('/cart')).json(), ['apple'])
        t.same((await browser.get('/me')).json().session.data, {}, 'updateSession is of one login')
        const second = cookie()
        await browser.login('/login?returnTo=/me', { authorize: { user: grace } })
        t.same((await browser.get('/cart')).json(), [])
        t.equal((await browser.get('/me')).json().user.name, 'Grace Hopper')
        for (const old of [first, second]) t.notOk((await send('/me', { cookie: old })).json().isAuthenticated)
        t.equal(new Set([first, second, cookie()]).size, 3)
      })

      t.test('G7 ends a session that was not used for the idle time-out, by the store\'s clock', async t => {
        const { browser, pass, cookie, send } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        const copy = cookie()
        await pass(IDLE - 30)
        t.ok((await send('/me', { cookie: copy })).json().isAuthenticated)
        await pass(IDLE - 30)
        t.ok((await send('/me', { cookie: copy })).json().isAuthenticated, 'it was used meanwhile')
        await pass(IDLE)
        t.notOk((await send('/me', { cookie: copy })).json().isAuthenticated)
        t.equal((await send('/profile', { cookie: copy, 'sec-fetch-mode': 'navigate' })).statusCode, 302)
      })

      t.test('G7 ends a session at its absolute time-out, however much it is used, by the store\'s clock', async t => {
        const { pass, cookie, send, browser } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        const copy = cookie()
        for (let passed = 500; passed < ABSOLUTE; passed += 500) {
          await pass(500)
          t.ok((await send('/note/1', { cookie: copy })).statusCode, '204')
          t.ok((await send('/me', { cookie: copy })).json().isAuthenticated, `after ${passed} s`)
        }
        await pass(500)
        t.notOk((await send('/me', { cookie: copy })).json().isAuthenticated)
      })

      t.test('extends a session that is used, once in a tenth of the idle time-out', async t => {
        const { pass, send, browser, cookie } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        await browser.get('/note/1')
        await browser.get('/cart/apple')
        const usedAt = async () => (await send('/me', { cookie: cookie() })).json().session.usedAt as number
        const start = await usedAt()
        await pass(IDLE / 10 - 10)
        const before = await usedAt()
        t.ok(Math.abs(start - before) <= IDLE / 10, 'not yet')
        await pass(20)
        await usedAt()
        t.ok(Math.abs(await usedAt() - Math.floor(Date.now() / 1000)) <= 2, 'now')
        t.same((await send('/me', { cookie: cookie() })).json().session.data, { note: '1' }, 'nothing else has changed')
        t.same((await send('/cart', { cookie: cookie() })).json(), ['apple'])
      })

      t.test('request.session is the application\'s own, and shows nothing of the login', async t => {
        const { browser } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        await browser.get('/cart/apple')
        const { body } = await browser.get('/raw')
        t.same(Object.keys(JSON.parse(body)).sort(), ['cart', 'cookie'])
        t.notMatch(body, /ada|auth0|eyJ/)
      })

      t.test('request.session.regenerate() and .destroy() of the application end the login', async t => {
        for (const how of ['/regenerate', '/destroy'] as const) {
          const { browser, cookie, send } = await build(t, kind)
          await browser.login('/login?returnTo=/me')
          await browser.get('/cart/apple')
          const copy = cookie()
          t.same((await browser.get(how)).json(), { before: 'auth0|ada', after: null }, how)
          t.notOk((await browser.get('/me')).json().isAuthenticated)
          t.same((await browser.get('/cart')).json(), [])
          t.notOk((await send('/me', { cookie: copy })).json().isAuthenticated)
          await browser.login('/login?returnTo=/me')
          t.ok((await browser.get('/me')).json().isAuthenticated)
        }
      })

      t.test('a login in the same request after a logout', async t => {
        const { browser, cookie, send } = await build(t, kind, {
          auth0: { routes: { callback: false }, redirectUri: 'https://app.example.com/back' },
          routes: app => app.get('/back', async (request, reply) => {
            if ('out' in (request.query as object) || request.auth0.isAuthenticated) await app.auth0.logout(request, reply)
            const { returnTo } = await app.auth0.completeInteractiveLogin(request, reply)
            return reply.redirect(returnTo)
          })
        })
        for (const user of [{ sub: 'auth0|ada' }, grace, grace]) {
          const before = cookie()
          await browser.login('/login?returnTo=/me', { authorize: { user } })
          t.equal((await browser.get('/me')).json().user.sub, user.sub)
          t.notOk((await send('/me', { cookie: before })).json().isAuthenticated)
          t.same((await browser.get('/cart')).json(), [])
          await browser.get('/cart/apple')
        }
      })

      t.test('H4 what goes idle during a request is not revived by it (ASVS 5.0 7.3.1)', async t => {
        for (const url of ['/slow', '/slow-update', '/slow-cart']) {
          const { cookie, send, pass, browser, gate } = await build(t, kind)
          await browser.login('/login?returnTo=/me')
          const slow = await gate.hold(headers => send(url, { ...headers, cookie: cookie() }))
          await pass(IDLE)
          t.equal((await slow.release()).statusCode, url === '/slow-update' ? 401 : 200)
          t.notOk((await send('/me', { cookie: cookie() })).json().isAuthenticated, url)
          t.same((await send('/cart', { cookie: cookie() })).json(), [])
        }
      })

      t.test('promise 1, H1: a slow request does not bring back what was ended meanwhile: by a logout, a newer login, or the application', async t => {
        for (const end of ['/logout', '/login?returnTo=/me', '/regenerate', '/destroy']) {
          const { cookie, send, browser, gate } = await build(t, kind)
          for (const url of ['/slow', '/slow-update', '/slow-cart']) {
            await browser.navigate('/login?returnTo=/me')
            const copy = cookie()
            const slow = await gate.hold(headers => send(url, { ...headers, cookie: copy }))
            await (end === '/logout' ? browser.submit(end) : browser.navigate(end))
            t.equal((await slow.release()).statusCode, url === '/slow-update' ? 401 : 200)
            t.notOk((await send('/me', { cookie: copy })).json().isAuthenticated, `${url} ${end}`)
            t.same((await send('/cart', { cookie: copy })).json(), [])
          }
        }
      })

      t.test('H3 two requests change different things, and both stay', async t => {
        const { cookie, send, browser, gate } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        await browser.get('/theme/dark')
        const slow = [
          await gate.hold(headers => send('/slow-cart', { ...headers, cookie: cookie() })),
          await gate.hold(headers => send('/slow-both', { ...headers, cookie: cookie() }))
        ]
        await browser.get('/note/1')
        await browser.get('/theme/light')
        for (const held of slow) t.equal((await held.release()).statusCode, 200)
        t.same((await browser.get('/me')).json().session.data, { note: '1', slow: true })
        const { cart, theme } = (await browser.get('/raw')).json()
        t.same([cart, theme], [['both'], 'light'])
      })

      t.test('refuses to write for nobody, across sites, and once the answer is written', async t => {
        const { app, browser, send, cookie, last } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        t.equal((await send('/note/1')).json().code, 'FST_AUTH0_LOGIN_REQUIRED')
        const headers = { 'sec-fetch-site': 'cross-site', 'x-forwarded-proto': 'https', cookie: cookie() }
        t.equal((await app.inject({ method: 'POST', url: '/note', headers })).json().code, 'FST_AUTH0_CROSS_SITE_REQUEST')
        await browser.get('/profile')
        await t.rejects(last().auth0.updateSession({ n: 1 }), { code: 'FST_AUTH0_SESSION_WRITTEN' })
        await t.rejects(app.auth0.logout(last(), undefined as never), { code: 'FST_AUTH0_SESSION_WRITTEN' })
        await browser.get('/public')
        await t.rejects(last().auth0.updateSession({ n: 1 }), { code: 'FST_AUTH0_SESSION_WRITTEN' }, 'nor when nobody had asked')
        t.ok((await browser.get('/me')).json().isAuthenticated)
      })

      t.test('an answer that fails on its way is one answer all the same', async t => {
        const { browser, cookie, send } = await build(t, kind)
        await browser.login('/login?returnTo=/me')
        const copy = cookie()
        const { statusCode, headers } = await browser.fetch('/failing-logout')
        t.same([statusCode, headers['cache-control']], [500, 'private, no-store'])
        t.notOk((await browser.get('/me')).json().isAuthenticated)
        t.notOk((await send('/me', { cookie: copy })).json().isAuthenticated)
      })
    })
  }
})

/** An application with a page for whatever is done to a session. */
async function build (t: Test, kind: StoreKind, options: BuildOptions = {}) {
  const gate = new Gate()
  let last: FastifyRequest
  const built = await buildKept(t, kind, {
    ...options,
    routes: async app => {
      addRoutes(app, gate)
      app.addHook('onResponse', async request => { last = request })
      if (options.routes !== false) await options.routes?.(app)
    }
  })
  return { ...built, gate, last: () => last }
}

function addRoutes (app: FastifyInstance, gate: Gate): void {
  app.get('/cart', async ({ session }) => session.cart ?? [])
  app.get<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => { session.cart = [...session.cart ?? [], params.item] })
  app.get<{ Params: { theme: string } }>('/theme/:theme', async ({ session, params }) => { session.theme = params.theme })
  app.get<{ Params: { note: string } }>('/note/:note', async ({ auth0, params }) => auth0.updateSession(params))
  app.post('/note', async ({ auth0 }) => auth0.updateSession({ note: 'posted' }))
  app.get('/raw', async ({ session }) => JSON.parse(JSON.stringify(session)))

  const fail = async ({ raw }: FastifyRequest) => { if (!failed.has(raw)) throw failed.add(raw) && new Error('no answer') }
  const failed = new WeakSet<object>()
  app.get('/failing-logout', { onSend: fail }, async (request, reply) => String(await app.auth0.logout(request, reply)))

  for (const act of ['regenerate', 'destroy'] as const) {
    app.get(`/${act}`, async request => {
      const before = request.auth0.user?.sub
      await request.session[act]()
      return { before, after: request.auth0.user }
    })
  }

  const slow = (url: string, finish: (request: FastifyRequest) => unknown) => app.get(url, async request => {
    const { user } = request.auth0
    await gate.pass(request)
    await finish(request)
    return user
  })
  slow('/slow', () => {})
  slow('/slow-update', ({ auth0 }) => auth0.updateSession({ slow: true }))
  slow('/slow-cart', ({ session }) => { session.cart = ['slow'] })
  slow('/slow-both', async ({ auth0, session }) => {
    session.cart = ['both']
    await auth0.updateSession({ slow: true })
  })
}
