import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { MemoryStore, type ActiveSession, type Auth0Options, type SessionOptions } from '../lib/index.ts'
import { hashedName } from '../lib/session/revocations.ts'
import type { SessionStore } from '../lib/store/session-store.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { buildApp, type BuildOptions } from './helpers/app.ts'
import type { Browser } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'
import { Gate } from './helpers/gates.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis, type RedisServer } from './helpers/redis.ts'
import { age, connected } from './helpers/stores.ts'

const NAME = '__Host-auth0'
const SUB = 'auth0|ada'
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }
const IDLE = 1000
/** What is sent by `inject` stands for no name, which it cannot send. */
const NAMELESS = 'none'

t.test('who is logged in where', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  for (const [place, redis] of [['memory', null], ['Redis', server]] as const) {
    t.test(`in ${place}`, async t => {
      t.test('lists the sessions of a person, newest first, the same on every host', async t => {
        const { app, other, logIn, last } = await build(t, redis)
        const [laptop, phone, tablet] = [await logIn({ userAgent: 'Laptop' }), await logIn({ userAgent: 'Phone' }), await logIn({ userAgent: 'Tablet' })]
        await logIn({ user: grace })
        const sessions = await app.auth0.sessions.list(SUB)
        t.same(sessions.map(({ userAgent }) => userAgent), ['Tablet', 'Phone', 'Laptop'])
        t.same(Object.keys(sessions[0]!).sort(), ['createdAt', 'current', 'id', 'usedAt', 'userAgent'])
        const now = Math.floor(Date.now() / 1000)
        for (const { createdAt, usedAt, current } of sessions) t.ok(!current && Math.abs(createdAt - now) < 60 && Math.abs(usedAt - now) < 60)
        t.equal(new Set(sessions.map(({ id }) => id)).size, 3)
        t.same(await other.auth0.sessions.list(SUB), sessions)
        t.same(await app.auth0.sessions.list('auth0|nobody'), [])

        for (const [at, browser] of [[0, tablet], [1, phone], [2, laptop]] as const) {
          await browser.get('/me')
          t.same((await app.auth0.sessions.list(SUB, last())).map(({ current }) => current), [0, 1, 2].map(one => one === at))
        }
      })

      t.test('of a provider that names no sessions of its own, too', async t => {
        const { app, logIn } = await build(t, redis, { onLogin: ({ user }) => { delete user.sid } })
        await logIn()
        t.equal((await app.auth0.sessions.list(SUB)).length, 1)
        t.equal(await app.auth0.sessions.endAll({ sub: SUB }), 1)
      })

      t.test('the browser\'s name is cut, and may be missing', async t => {
        const { app, logIn } = await build(t, redis)
        await logIn({ userAgent: 'x'.repeat(256) + 'y' })
        await logIn({ userAgent: null })
        t.same((await app.auth0.sessions.list(SUB)).map(({ userAgent }) => userAgent), [null, 'x'.repeat(256)])
      })

      t.test('an id is no credential', async t => {
        const { app, logIn } = await build(t, redis)
        const browser = await logIn()
        const [session] = await app.auth0.sessions.list(SUB) as [ActiveSession]
        const cookie = browser.cookie(NAME)!
        t.notOk(cookie.includes(session.id))
        const signature = cookie.slice(cookie.indexOf('.'))
        for (const forged of [session.id, `${session.id}.`, session.id + signature, `${session.id}.${session.id}`]) {
          const response = await app.inject({ url: '/me', headers: { cookie: `${NAME}=${forged}`, 'x-forwarded-proto': 'https' } })
          t.notOk(response.json().isAuthenticated)
        }
      })

      t.test('H11 ends one, all, or all others: refused at the next request on any host, and in flight', async t => {
        const { app, other, logIn, last, isIn, hold } = await build(t, redis)
        const [one, two, three] = [await logIn(), await logIn(), await logIn()]
        const stranger = await logIn({ user: grace })
        const [, , oldest] = await app.auth0.sessions.list(SUB) as [ActiveSession, ActiveSession, ActiveSession]
        const slow = await hold(other, one)
        t.equal(await app.auth0.sessions.end(oldest.id), true)
        t.same(await isIn(one, two, three, stranger), [false, true, true, true])
        t.equal((await slow.release()).statusCode, 401, 'what it wanted to write is refused')
        t.same(await isIn(one), [false])
        t.equal(await app.auth0.sessions.end(oldest.id), false, 'once more')
        t.equal(await app.auth0.sessions.end('unknown'), false)
        t.equal((await app.auth0.sessions.list(SUB)).length, 2)

        await logInAgain(one)
        await two.get('/me')
        t.equal(await app.auth0.sessions.endOthers(last()), 2)
        t.same(await isIn(one, two, three, stranger), [false, true, false, true])
        t.equal(await app.auth0.sessions.endOthers(last()), 0)

        await logInAgain(three)
        t.equal(await other.auth0.sessions.endAll({ sub: SUB }), 2)
        t.same(await isIn(one, two, three, stranger), [false, false, false, true])
        t.equal(await other.auth0.sessions.endAll({ sub: SUB }), 0)
        await logInAgain(one)
        t.same(await isIn(one), [true], 'a later login is not touched')
      })

      t.test('ends the others of nobody who is not logged in, nor for another site', async t => {
        const { app, logIn, last, isIn } = await build(t, redis)
        const [one, two] = [await logIn(), await logIn()]
        await app.inject({ url: '/me' })
        await t.rejects(app.auth0.sessions.endOthers(last()), { code: 'FST_AUTH0_LOGIN_REQUIRED', statusCode: 401 })
        await app.inject({ method: 'POST', url: '/note', headers: { cookie: `${NAME}=${one.cookie(NAME)}`, 'x-forwarded-proto': 'https', 'sec-fetch-site': 'cross-site' } })
        await t.rejects(app.auth0.sessions.endOthers(last()), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
        t.same(await isIn(one, two), [true, true])
      })

      t.test('lists none that is over: logged out, replaced by a login, or not used for long', async t => {
        const { app, logIn, pass } = await build(t, redis)
        const [one, two] = [await logIn(), await logIn()]
        const used = async () => (await app.auth0.sessions.list(SUB)).length
        t.equal(await used(), 2)
        await one.submit('/logout')
        t.equal(await used(), 1)
        await logInAgain(two)
        t.equal(await used(), 1)
        await pass(IDLE)
        t.equal(await used(), 0)
      })

      t.test('another instance, client or provider in the same store sees nothing of it, and ends nothing', async t => {
        const { logIn, isIn, session } = await build(t, redis)
        const browser = await logIn()
        const strangers: Array<{ provider: Provider, auth0?: Auth0Options }> = [
          { provider: new Provider({ clientId: 'another' }) }, { provider: new Provider({ issuer: 'https://other.example.com/' }) }
        ]
        for (const { provider, auth0 } of strangers) {
          const { app } = await buildApp(t, { provider, auth0: { ...auth0, session } })
          await connected(app)
          t.same(await app.auth0.sessions.list(SUB), [])
          t.equal(await app.auth0.sessions.endAll({ sub: SUB }), 0)
        }
        const { app } = await buildApp(t, { auth0: { name: 'staff', domain: 'tenant.example.com', session }, routes: false })
        await connected(app)
        const { staff } = app as unknown as { staff: FastifyInstance['auth0'] }
        t.same([await staff.sessions.list(SUB), await staff.sessions.endAll({ sub: SUB })], [[], 0])
        t.same(await isIn(browser), [true])
      })

      t.test('the index of a person does not grow with sessions that are over', async t => {
        for (const maxSessions of [undefined, 5]) {
          const { logIn, pass, indexed } = await build(t, redis, { session: { maxSessions } as SessionOptions })
          const sizes: number[] = []
          for (let login = 0; login < 40; login++) {
            await logIn()
            sizes.push(await indexed())
            if (login % 2 === 1) await pass(IDLE + 61)
          }
          t.ok(Math.max(...sizes) <= 5, String(sizes))
        }
      })
    })

    t.test(`at most so many sessions of a person, in ${place}`, async t => {
      for (const maxSessions of [2, { limit: 2 }, { limit: 2, onExceed: 'end-oldest' }] as const) {
        t.test(`ends the oldest: ${JSON.stringify(maxSessions)}`, async t => {
          const { logIn, isIn, app } = await build(t, redis, { session: { maxSessions } })
          const stranger = await logIn({ user: grace })
          const [one, two] = [await logIn(), await logIn()]
          t.same(await isIn(one, two), [true, true])
          const three = await logIn()
          t.same(await isIn(one, two, three), [false, true, true])
          await logInAgain(two)
          t.same(await isIn(two, three), [true, true], 'who logs in once more in the same browser takes no other place')
          const four = await logIn()
          t.same(await isIn(two, three, four, stranger), [true, false, true, true])
          t.equal((await app.auth0.sessions.list(SUB)).length, 2)
        })
      }

      t.test('refuses the newest, with a way on; those that are there go on', async t => {
        const { logIn, isIn, newBrowser } = await build(t, redis, { session: { maxSessions: { limit: 2, onExceed: 'refuse-login' } } })
        const [one, two] = [await logIn(), await logIn()]
        const refused = newBrowser()
        await refused.get('/cart/apple')
        const page = await refused.navigate('/login?returnTo=/profile')
        t.match(page, { statusCode: 403, body: 'FST_AUTH0_TOO_MANY_SESSIONS' })
        t.match(page.body, /<a[^>]+href="\/login\?returnTo=%2Fprofile"/)
        t.match((await refused.navigate('/login', { headers: { accept: 'application/json', 'sec-fetch-mode': 'cors' } })).json(), { statusCode: 403, code: 'FST_AUTH0_TOO_MANY_SESSIONS', message: /Log out in one of them first/ })
        t.same(await isIn(one, two, refused), [true, true, false])
        t.same((await refused.get('/cart')).json(), ['apple'], 'a visitor\'s cart stays')
        await logInAgain(one)
        t.same(await isIn(one, two), [true, true], 'who logs in once more in the same browser is not one more')
        await two.submit('/logout')
        await logInAgain(refused)
        t.same(await isIn(one, two, refused), [true, false, true])
      })

      for (const [name, auth0] of Object.entries({ form_post: { authorizationParams: { response_mode: 'form_post' } }, strict: { session: { cookie: { sameSite: 'strict' } } } } satisfies Record<string, Auth0Options>)) {
        t.test(`who logs in once more in the same browser is not one more, though the callback comes without the cookie: ${name}`, async t => {
          const { logIn, isIn } = await build(t, redis, { ...auth0, session: { ...(auth0 as Auth0Options).session, maxSessions: { limit: 1, onExceed: 'refuse-login' } } }, { issuer: 'https://tenant.eu.auth0.com/' })
          const browser = await logIn()
          await logInAgain(browser)
          t.same(await isIn(browser), [true])
        })
      }

      t.test('those that are over do not count', async t => {
        const { logIn, isIn, pass, app } = await build(t, redis, { session: { maxSessions: { limit: 2, onExceed: 'refuse-login' } } })
        for (let round = 0; round < 3; round++) {
          await logIn()
          await logIn()
          await pass(IDLE)
        }
        const [one, two] = [await logIn(), await logIn()]
        t.same(await isIn(one, two), [true, true])
        await app.auth0.sessions.endAll({ sub: SUB })
        t.same(await isIn(await logIn(), await logIn()), [true, true])
      })

      for (const onExceed of ['end-oldest', 'refuse-login'] as const) {
        t.test(`20 logins at once on two hosts leave at most 3: ${onExceed}`, async t => {
          const { app, other, newBrowser, isIn } = await build(t, redis, { session: { maxSessions: { limit: 3, onExceed } } })
          const browsers = Array.from({ length: 20 }, (_, at) => newBrowser({ app: at % 2 === 0 ? app : other }))
          const callbacks = await Promise.all(browsers.map(browser => browser.leave()))
          const answers = await Promise.all(browsers.map((browser, at) => browser.comeBack(callbacks[at]!)))
          const living = (await isIn(...browsers)).filter(lives => lives).length
          const listed = await app.auth0.sessions.list(SUB)
          t.comment(`${living} live; ${answers.filter(({ statusCode }) => statusCode === 303).length} were let in`)
          t.ok(living > 0 && living <= 3)
          t.equal(listed.length, living)
          if (onExceed === 'refuse-login') {
            t.equal(living, 3)
            t.equal(answers.filter(({ statusCode }) => statusCode === 303).length, 3, 'and whoever was let in is still there')
            t.equal(answers.filter(({ body }) => body.includes('FST_AUTH0_TOO_MANY_SESSIONS')).length, 17)
          }
          await app.auth0.sessions.endAll({ sub: SUB })
          const next = newBrowser()
          await next.login('/login?returnTo=/me')
          t.same(await isIn(next), [true])
        })
      }
    })
  }
})

interface Person {
  user?: { sub: string, name: string }
  /** `null`: none is sent. */
  userAgent?: string | null
}

/** Two hosts with one store. */
t.test('a caller with an access token has no session among those, whatever cookies come with it', async t => {
  const { app, browser, provider } = await buildApp(t, {
    auth0: { session: { store: new MemoryStore() }, api: { audience: AUDIENCE } },
    routes: app => app.get('/sessions', async request => app.auth0.sessions.list(SUB, request))
  })
  await browser.login()
  const current = (list: ActiveSession[]) => list.map(({ current }) => current)
  t.same(current((await browser.fetch('/sessions')).json()), [true])
  const both = await app.inject({ url: '/sessions', headers: { cookie: `${NAME}=${browser.cookie(NAME)}`, authorization: `Bearer ${provider.accessToken()}` } })
  t.same(current(both.json()), [false])
})

async function build (t: Test, redis: RedisServer | null, auth0: Auth0Options = {}, identity: { issuer?: string } = {}) {
  await redis?.command('FLUSHALL')
  const clock = redis === null ? travelInTime(t) : null
  const gate = new Gate()
  const store: SessionOptions = redis === null ? { store: new MemoryStore() } : { redis: redis.url }
  const session = { idleTimeout: IDLE, ...auth0.session, ...store }
  const provider = new Provider(identity)
  const options: BuildOptions = {
    provider,
    auth0: { ...auth0, session },
    routes: app => {
      app.addHook('onRequest', async ({ headers }) => { if (headers['user-agent'] === NAMELESS) delete headers['user-agent'] })
      app.get('/cart', async ({ session }) => session.cart ?? [])
      app.get<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => { session.cart = [...session.cart ?? [], params.item] })
      app.post('/note', async () => 'noted')
      app.get('/slow', async request => {
        const { user } = request.auth0
        await gate.pass(request)
        await request.auth0.updateSession({ slow: true })
        return user
      })
    }
  }
  let last: FastifyRequest
  const { app, newBrowser } = await buildApp(t, { ...options, before: app => app.addHook('onResponse', async request => { last = request }) })
  const { app: other } = await buildApp(t, options)
  for (const host of [app, other]) await connected(host)

  async function logIn ({ user, userAgent = 'Browser' }: Person = {}): Promise<Browser> {
    const browser = newBrowser()
    const headers = { 'user-agent': userAgent ?? NAMELESS }
    await browser.login('/login?returnTo=/me', { headers, ...user && { authorize: { user } } })
    return browser
  }

  return {
    app,
    other,
    session,
    newBrowser,
    logIn,
    /** The last request to the first host. */
    last: () => last,
    pass: async (seconds: number) => {
      clock?.advance(seconds)
      if (redis !== null) await age(redis, seconds)
    },
    /** Who is logged in, asked on the other host. */
    isIn: async (...browsers: Browser[]): Promise<boolean[]> => Promise.all(browsers.map(async browser => {
      const headers = { cookie: `${NAME}=${browser.cookie(NAME)}`, 'x-forwarded-proto': 'https' }
      return (await other.inject({ url: '/me', headers })).json().isAuthenticated
    })),
    hold: (host: FastifyInstance, browser: Browser) => {
      const cookie = `${NAME}=${browser.cookie(NAME)}`
      return gate.hold(headers => host.inject({ url: '/slow', headers: { ...headers, cookie, 'x-forwarded-proto': 'https' } }))
    },
    /** How many entries the index of the person has. */
    indexed: async () => {
      const name = hashedName('sub', ['auth0', provider.issuer, provider.clientId], SUB)
      if (redis !== null) return Number(await redis.command('ZCARD', `auth0:index:{${name}}`))
      return (await (session.store as unknown as SessionStore).records.list(name)).length
    }
  }
}

async function logInAgain (browser: Browser): Promise<void> {
  await browser.login('/login?returnTo=/me')
}
