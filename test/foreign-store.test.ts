import cookie from '@fastify/cookie'
import session from '@fastify/session'
import type { FastifyInstance, FastifyRequest, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import type { SessionStoreLike } from '../lib/index.ts'
import { buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { Gate, type Held } from './helpers/gates.ts'
import { JsonStore, type Verb } from './helpers/json-store.ts'

const IDLE = 1000
const ABSOLUTE = 5000
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }

const stores: Record<string, () => BuildOptions & { cookieName?: string }> = {
  'the MemoryStore of @fastify/session': () => ({ auth0: { session: { store: new session.MemoryStore() } } }),
  'a store of JSON that answers at once': () => ({ auth0: { session: { store: new JsonStore(false) } } }),
  'a store of JSON that answers later': () => ({ auth0: { session: { store: new JsonStore(true) } } }),
  'a store of JSON, with @fastify/session of the application and its defaults': () => ownSession(new JsonStore(true))
}

for (const [name, options] of Object.entries(stores)) {
  t.test(name, async t => {
    t.test('the story: a visitor fills a cart, logs in, comes back, logs out', async t => {
      const { browser, cookie, send } = await build(t, options())
      await browser.get('/cart/apple')
      const asVisitor = cookie()
      await browser.login('/login?returnTo=/me')
      const { user, session: info } = (await browser.get('/me')).json()
      t.equal(user.email, 'ada@example.com')
      t.same([info.data, info.idleExpiresAt - info.usedAt, info.absoluteExpiresAt - info.createdAt], [{}, IDLE, ABSOLUTE])
      t.same((await browser.get('/cart')).json(), ['apple'])
      t.not(cookie(), asVisitor, 'promise 5: under a new id')
      await browser.get('/note/1')
      await browser.get('/cart/pear')
      t.same((await browser.get('/me')).json().session.data, { note: '1' })
      t.same((await browser.get('/cart')).json(), ['apple', 'pear'])
      const loggedIn = cookie()
      const { statusCode, headers } = await browser.post('/logout')
      t.same([statusCode, headers['cache-control']], [303, 'no-store'])
      t.equal(browser.cookieNames().length, 0)
      for (const copy of [loggedIn, asVisitor]) {
        t.equal((await send('/profile', copy)).statusCode, 401)
        t.same((await send('/cart', copy)).json(), [])
      }
      t.equal((await browser.post('/logout')).statusCode, 303, 'I7 once more does no harm')
    })

    t.test('promise 5: another person who logs in finds nothing of the one before', async t => {
      const { browser, cookie, send } = await build(t, options())
      await browser.login('/login?returnTo=/me')
      await browser.get('/cart/apple')
      const first = cookie()
      await browser.login('/login?returnTo=/me')
      t.same((await browser.get('/cart')).json(), ['apple'])
      const second = cookie()
      await browser.login('/login?returnTo=/me', { authorize: { user: grace } })
      t.same((await browser.get('/cart')).json(), [])
      for (const old of [first, second]) t.notOk((await send('/me', old)).json().isAuthenticated)
    })

    t.test('G7 idle and absolute time-outs', async t => {
      const { browser, cookie, send, clock } = await build(t, options())
      await browser.login('/login?returnTo=/me')
      const copy = cookie()
      const isIn = async () => (await send('/me', copy)).json().isAuthenticated
      clock.advance(IDLE - 30)
      t.ok(await isIn())
      clock.advance(IDLE - 30)
      t.ok(await isIn(), 'it was used meanwhile')
      clock.advance(IDLE)
      t.notOk(await isIn())
      await browser.login('/login?returnTo=/me')
      const next = cookie()
      for (let passed = 500; passed < ABSOLUTE; passed += 500) {
        clock.advance(500)
        t.ok((await send('/me', next)).json().isAuthenticated, String(passed))
      }
      clock.advance(500)
      t.notOk((await send('/me', next)).json().isAuthenticated)
    })

    t.test('request.session shows of the login what is sealed, and that opens in no other session (H8)', async t => {
      const { browser, newBrowser } = await build(t, options())
      await browser.login('/login?returnTo=/me')
      const { body } = await browser.get('/raw')
      t.notMatch(body, /"ada|Ada L|auth0\||"sid-/)
      const { 'fastify-auth0': sealed } = JSON.parse(body)
      t.match(sealed, /^eyJ/)
      const thief = newBrowser()
      await thief.get(`/plant?sealed=${encodeURIComponent(sealed)}`)
      t.notOk((await thief.get('/me')).json().isAuthenticated)
      t.equal((await thief.get('/raw')).json()['fastify-auth0'], sealed, 'though it is there')
    })

    t.test('a logout and a login in one request', async t => {
      const given = options()
      const { browser, cookie, send } = await build(t, {
        ...given,
        auth0: { ...given.auth0, routes: { callback: false }, redirectUri: 'https://app.example.com/back' },
        routes: app => app.get('/back', async (request, reply) => {
          await app.auth0.logout(request, reply)
          return reply.redirect((await app.auth0.completeInteractiveLogin(request, reply)).returnTo)
        })
      })
      await browser.login('/login?returnTo=/me')
      const before = cookie()
      await browser.login('/login?returnTo=/me', { authorize: { user: grace } })
      t.equal((await browser.get('/me')).json().user.name, 'Grace Hopper')
      t.notOk((await send('/me', before)).json().isAuthenticated)
    })

    t.test('request.session.regenerate() and .destroy() of the application end the login', async t => {
      for (const how of ['/regenerate', '/destroy']) {
        const { browser, cookie, send } = await build(t, options())
        await browser.login('/login?returnTo=/me')
        const copy = cookie()
        t.same((await browser.get(how)).json(), { before: 'auth0|ada', after: null })
        t.notOk((await browser.get('/me')).json().isAuthenticated)
        t.notOk((await send('/me', copy)).json().isAuthenticated)
        t.same((await send('/logout', copy, 'POST')).statusCode, 303)
      }
      const { browser } = await build(t, options())
      await browser.login('/login?returnTo=/me')
      t.match((await browser.fetch('/destroy-and-logout')).body, /oidc.logout/)
      t.notOk((await browser.get('/me')).json().isAuthenticated)
    })

    t.test('an answer that fails on its way is one answer all the same', async t => {
      const { browser, cookie, send } = await build(t, options())
      await browser.login('/login?returnTo=/me')
      const copy = cookie()
      const { statusCode, headers } = await browser.fetch('/failing-logout')
      t.same([statusCode, headers['cache-control']], [500, 'private, no-store'])
      t.notOk((await browser.get('/me')).json().isAuthenticated)
      t.notOk((await send('/me', copy)).json().isAuthenticated)
    })

    t.test('a login that JSON cannot keep is refused, and the session there was goes on', async t => {
      let extra: unknown = 1
      const given = options()
      const { browser } = await build(t, { ...given, auth0: { ...given.auth0, onLogin: ({ user }) => ({ ...user, extra }) } })
      await browser.login('/login?returnTo=/me')
      extra = 1n
      t.equal((await browser.navigate('/login?returnTo=/me')).statusCode, 500)
      t.equal((await browser.get('/me')).json().user.extra, 1)
    })

    t.test('refuses to write for nobody, what is no JSON, and once the answer is written', async t => {
      const { app, browser, last } = await build(t, options())
      t.equal((await browser.fetch('/note/1')).json().code, 'FST_AUTH0_LOGIN_REQUIRED')
      await browser.login('/login?returnTo=/me')
      t.equal((await browser.fetch('/no-json')).json().code, 'FST_AUTH0_SESSION_DATA_INVALID')
      for (const url of ['/profile', '/public']) {
        await browser.get(url)
        await t.rejects(last().auth0.updateSession({ n: 1 }), { code: 'FST_AUTH0_SESSION_WRITTEN' })
        await t.rejects(app.auth0.logout(last(), undefined as never), { code: 'FST_AUTH0_SESSION_WRITTEN' })
      }
      t.ok((await browser.get('/me')).json().isAuthenticated)
    })

    t.test('promise 11: answers with somebody\'s data are not cached', async t => {
      const { browser } = await build(t, options())
      const caching = async (url: string) => (await browser.get(url)).headers['cache-control']
      t.equal(await caching('/me'), undefined)
      await browser.login('/login?returnTo=/me')
      for (const url of ['/me', '/note/1', '/destroy']) t.equal(await caching(url), 'private, no-store', url)
      t.equal(await caching('/public'), undefined)
    })

    t.test('promise 1: with revocations, a request in flight does not bring back a login that was ended', async t => {
      const given = options()
      const { app, browser, cookie, send, gate, provider, clock } = await build(t, { ...given, auth0: { ...given.auth0, revocations: {} } })
      for (const end of ['logout', 'login', 'sid', 'sub'] as const) {
        await browser.login('/login?returnTo=/me')
        const { sid } = (await browser.get('/me')).json().user
        const copy = cookie()
        const slow: Array<Held<LightMyRequestResponse>> = []
        for (const url of ['/slow', '/slow-update', '/slow-cart']) slow.push(await gate.hold(headers => send(url, copy, 'GET', headers)))
        clock.advance(2)
        if (end === 'logout') await browser.submit('/logout')
        else if (end === 'login') await browser.login('/login?returnTo=/me')
        else t.equal(await app.auth0.handleBackchannelLogout(provider.logoutToken({ claims: end === 'sid' ? { sid, sub: undefined } : {} })), 1)
        for (const held of slow) {
          t.ok((await held.release()).statusCode < 400)
          t.notOk((await send('/me', copy)).json().isAuthenticated, end)
          t.equal((await send('/profile', copy)).statusCode, 401)
        }
        clock.advance(2)
        await browser.login('/login?returnTo=/me')
        t.ok((await browser.get('/me')).json().isAuthenticated, 'a later login is not touched')
      }
    })

    t.test('I9 back-channel logout has its route with revocations, and none without', async t => {
      const given = options()
      const { browser, app, provider } = await build(t, { ...given, auth0: { ...given.auth0, revocations: {} } })
      await browser.login('/login?returnTo=/me')
      const post = (on: FastifyInstance) => on.inject({
        method: 'POST', url: '/backchannel-logout', headers: { 'content-type': 'application/x-www-form-urlencoded' }, payload: `logout_token=${provider.logoutToken()}`
      })
      t.equal((await post(app)).statusCode, 200)
      t.notOk((await browser.get('/me')).json().isAuthenticated)
      const without = await build(t, options())
      t.equal((await post(without.app)).statusCode, 404)
      await t.rejects(without.app.auth0.handleBackchannelLogout(provider.logoutToken()), { code: 'FST_AUTH0_STORE_REQUIRED', message: /"session\.redis" or "revocations"/ })
    })

    t.test('cannot list or end the sessions of a person, and says what to configure', async t => {
      const { app, last, browser } = await build(t, options())
      await browser.login('/login?returnTo=/me')
      const { sessions } = app.auth0
      for (const call of [sessions.list('auth0|ada'), sessions.list('auth0|ada', last()), sessions.end('id'), sessions.endAll({ sub: 'auth0|ada' }), sessions.endOthers(last())]) {
        await t.rejects(call as Promise<unknown>, { code: 'FST_AUTH0_STORE_REQUIRED', statusCode: 500, message: /"session\.redis"/ })
      }
    })
  })
}

t.test('what a store that writes sessions as a whole cannot promise: without revocations, a request in flight brings a session back', async t => {
  const { browser, cookie, send, gate } = await build(t, { auth0: { session: { store: new JsonStore(true) } } })
  await browser.login('/login?returnTo=/me')
  const copy = cookie()
  const held = await gate.hold(headers => send('/slow-cart', copy, 'GET', headers))
  await browser.submit('/logout')
  await held.release()
  t.ok((await send('/me', copy)).json().isAuthenticated)
})

t.test('extends a session once in a tenth of the idle time-out, and writes it when it changed, and not else', async t => {
  const store = new JsonStore(false)
  const { browser, clock } = await build(t, { auth0: { session: { store } } })
  await browser.login('/login?returnTo=/me')
  const writes = async (url: string) => {
    store.calls.length = 0
    await browser.get(url)
    return store.calls.filter(verb => verb === 'set').length
  }
  t.equal(await writes('/me'), 0)
  clock.advance(IDLE / 10 - 20)
  t.equal(await writes('/me'), 0, 'not yet')
  clock.advance(21)
  t.equal(await writes('/public'), 0, 'not by a page that does not ask')
  t.equal(await writes('/me'), 1)
  t.equal(await writes('/me'), 0)
  t.equal(await writes('/note/1'), 1)
})

t.test('O5 garbage cookies cost no access to the store', async t => {
  const store = new JsonStore(false)
  const { send, browser, cookie } = await build(t, { auth0: { session: { store } } })
  await browser.login('/login?returnTo=/me')
  const good = cookie()
  store.calls.length = 0
  for (const bad of ['', '__Host-auth0=', '__Host-auth0=x', `${good}x`, good.split('.')[0]!, `${good.split('.')[0]}.AAAA`]) await send('/me', bad)
  t.same(store.calls, [])
})

t.test('promise 1: a session that its own request ends beside a refresh stays ended', async t => {
  for (const moment of ['while the provider is asked', 'when its answer is there']) {
    const store = new JsonStore(false)
    let request: FastifyRequest
    const { browser, provider } = await build(t, {
      auth0: { session: { store }, authorizationParams: { scope: 'openid offline_access' } },
      routes: app => app.get('/token', async given => {
        request = given
        return given.auth0.getAccessToken({ forceRefresh: true }).catch(error => error.code)
      })
    })
    await browser.login('/login?returnTo=/me')
    if (moment === 'while the provider is asked') {
      provider.failNext('token', async ({ honest }) => {
        await request.session.destroy()
        return honest()
      })
    } else {
      const { get } = store
      let reads = 0
      store.get = (id, callback) => {
        get.call(store, id, callback)
        if (++reads === 3) request.session.destroy() // by the request itself, before the refresh, and after it
      }
    }
    t.equal((await browser.fetch('/token')).body, 'FST_AUTH0_LOGIN_REQUIRED', moment)
    t.equal(provider.refreshes.length, 1)
    t.notOk((await browser.get('/me')).json().isAuthenticated)
  }
})

t.test('D13 a store that fails beside a refresh costs nobody what the provider gave', async t => {
  const store = new JsonStore(true)
  const { browser, provider } = await build(t, {
    auth0: { session: { store }, authorizationParams: { scope: 'openid offline_access' } },
    routes: app => app.get('/token', async ({ auth0 }) => auth0.getAccessToken({ forceRefresh: true }))
  })
  await browser.login('/login?returnTo=/me')
  provider.failNext('token', async ({ honest }) => {
    store.failing = 'get'
    return honest()
  })
  t.match((await browser.fetch('/token')).json(), { statusCode: 503, code: 'FST_AUTH0_SESSION_UNAVAILABLE' })
  store.failing = null
  t.equal((await browser.fetch('/token')).statusCode, 200)
  t.equal(provider.reuses, 0)
})

t.test('a store that fails is a 503, and what it says is for the log', async t => {
  /** What fails, what is asked for, and what comes. */
  const failures: Array<[verb: Verb, method: 'GET' | 'POST', url: string, code: string]> = [
    ['get', 'GET', '/me', 'FST_AUTH0_SESSION_UNAVAILABLE'],
    ['get', 'GET', '/public', 'FST_AUTH0_SESSION_UNAVAILABLE'],
    ['get', 'POST', '/logout', 'FST_AUTH0_SESSION_UNAVAILABLE'],
    ['set', 'GET', '/note/1', 'FST_AUTH0_SESSION_UNAVAILABLE'],
    ['set', 'GET', '/cart/apple', 'FST_AUTH0_SESSION_UNAVAILABLE'],
    ['destroy', 'POST', '/logout', 'FST_AUTH0_LOGOUT_INCOMPLETE']
  ]
  for (const isAsync of [true, false]) {
    for (const [verb, method, url, code] of failures) {
      const store = new JsonStore(isAsync)
      const { browser, send, cookie, logs } = await build(t, { auth0: { session: { store } } })
      await browser.login('/login?returnTo=/me')
      store.failing = verb
      const response = await send(url, cookie(), method)
      t.match(response.json(), { statusCode: 503, code }, `${verb} ${url}`)
      t.notMatch(response.body, '10.1.2.3')
      t.match(logs.text, 'ECONNREFUSED 10.1.2.3')
      t.equal((await send('/me', '')).statusCode, 200, 'who has no session is served')
      store.failing = null
      if (verb !== 'destroy') t.ok((await browser.get('/me')).json().isAuthenticated, 'and nobody is logged out by it')
    }
  }

  for (const verb of ['set', 'destroy'] as const) {
    for (const make of [(store: JsonStore) => ({ auth0: { session: { store } } }), ownSession]) {
      const store = new JsonStore(true)
      const { browser } = await build(t, make(store))
      await browser.get('/cart/apple')
      const callback = await browser.leave()
      store.failing = verb
      t.match(await browser.comeBack(callback), { statusCode: 503, headers: { 'retry-after': '1' } })
      store.failing = null
      t.notOk((await browser.get('/me')).json().isAuthenticated)
      await browser.login('/login?returnTo=/me')
    }
  }

  t.test('a logout whose session could not be ended clears the cookie', async t => {
    const store = new JsonStore(true)
    const { browser } = await build(t, { auth0: { session: { store } } })
    await browser.login('/login?returnTo=/me')
    store.failing = 'destroy'
    t.match(await browser.post('/logout'), { statusCode: 503, body: 'FST_AUTH0_LOGOUT_INCOMPLETE' })
    t.same(browser.cookieNames(), [])
  })

  t.test('a session that is not there may be ENOENT', async t => {
    const store = new JsonStore(true)
    store.get = (_id, callback) => callback(Object.assign(new Error('no such file'), { code: 'ENOENT' }))
    const { browser } = await build(t, { auth0: { session: { store } } })
    await browser.navigate('/login?returnTo=/me')
    t.same((await browser.get('/me')).statusCode, 200)
  })
})

function ownSession (store: SessionStoreLike): BuildOptions & { cookieName: string } {
  return {
    before: async app => {
      await app.register(cookie)
      await app.register(session, { store: store as never, secret })
    },
    auth0: { session: { store } },
    cookieName: 'sessionId'
  }
}

async function build (t: Test, { cookieName = '__Host-auth0', ...options }: BuildOptions & { cookieName?: string }) {
  const clock = travelInTime(t)
  const gate = new Gate()
  let last: FastifyRequest
  const built = await buildApp(t, {
    ...options,
    auth0: { ...options.auth0, session: { ...options.auth0?.session, idleTimeout: IDLE, absoluteTimeout: ABSOLUTE } },
    routes: async app => {
      app.addHook('onResponse', async request => { last = request })
      addRoutes(app, gate)
      if (options.routes !== false) await options.routes?.(app)
    }
  })
  return {
    ...built,
    clock,
    gate,
    last: () => last,
    cookie: () => `${cookieName}=${built.browser.cookie(cookieName)}`,
    send: (url: string, cookie: string, method: 'GET' | 'POST' = 'GET', headers: Record<string, string> = {}) =>
      built.app.inject({ method, url, headers: { 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin', cookie, ...headers } })
  }
}

function addRoutes (app: FastifyInstance, gate: Gate): void {
  app.get('/cart', async ({ session }) => session.cart ?? [])
  app.get<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => { session.cart = [...session.cart ?? [], params.item] })
  app.get<{ Params: { note: string } }>('/note/:note', async ({ auth0, params }) => auth0.updateSession(params))
  app.get('/no-json', async ({ auth0 }) => auth0.updateSession({ n: 1n }))
  app.get('/raw', async ({ session }) => JSON.parse(JSON.stringify(session)))
  app.get<{ Querystring: { sealed: string } }>('/plant', async ({ session, query }) => { Object.assign(session, { 'fastify-auth0': query.sealed }) })
  for (const act of ['regenerate', 'destroy'] as const) {
    app.get(`/${act}`, async request => {
      const before = request.auth0.user?.sub
      await request.session[act]()
      return { before, after: request.auth0.user }
    })
  }
  app.get('/destroy-and-logout', async (request, reply) => {
    await request.session.destroy()
    return String(await app.auth0.logout(request, reply))
  })
  const fail = async ({ raw }: FastifyRequest) => { if (!failed.has(raw)) throw failed.add(raw) && new Error('no answer') }
  const failed = new WeakSet<object>()
  app.get('/failing-logout', { onSend: fail }, async (request, reply) => String(await app.auth0.logout(request, reply)))
  const slow = (url: string, finish: (request: FastifyRequest) => unknown) => app.get(url, async request => {
    const { user } = request.auth0
    await gate.pass(request)
    await finish(request)
    return user
  })
  slow('/slow', () => {})
  slow('/slow-update', ({ auth0 }) => auth0.updateSession({ slow: true }))
  slow('/slow-cart', ({ session }) => { session.cart = ['slow'] })
}
