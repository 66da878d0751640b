import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options, type SessionOptions } from '../lib/index.ts'
import { buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildKept, connected, storeKinds, type StoreKind } from './helpers/stores.ts'

const NAME = '__Host-auth0'
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }
/** Where the callback comes from another site, and without the session's cookie. */
const fromElsewhere = {
  form_post: { authorizationParams: { response_mode: 'form_post' } },
  'strict cookies': { session: { cookie: { sameSite: 'strict' } } }
} satisfies Record<string, Auth0Options>

t.test('logins with sessions in a store of ours', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const kind of storeKinds(redis).filter(({ isVariant }) => !isVariant)) {
    t.test(kind.name, async t => {
      t.test('B5 twins of one callback begin one session, which one logout ends', async t => {
        const { browser, app, send, cookieName } = await build(t, kind, { auth0: { session: { maxSessions: { limit: 1, onExceed: 'refuse-login' } } } })
        await browser.get('/cart/apple')
        const callback = await browser.leave('/login?returnTo=/me')
        const twins = await Promise.all([1, 2, 3].map(() => browser.comeBack(callback)))
        t.same(twins.map(({ statusCode }) => statusCode), [303, 303, 303])
        const cookies = twins.map(({ setCookies }) => setCookies.find(header => header.startsWith(`${cookieName}=`))!.split(';', 1)[0]!)
        t.equal(new Set(cookies).size, 1)
        t.equal((await app.auth0.sessions.list('auth0|ada')).length, 1)
        t.same((await browser.get('/cart')).json(), ['apple'])
        await browser.submit('/logout')
        t.notOk((await send('/me', { cookie: cookies[0]! })).json().isAuthenticated)
      })

      t.test('B5 twins fail together', async t => {
        const { browser } = await build(t, kind, { auth0: { onLogin: ({ user }) => ({ ...user, id: 1n }) } })
        const callback = await browser.leave()
        const twins = await Promise.all([1, 2].map(() => browser.comeBack(callback, { headers: { accept: 'application/json', 'sec-fetch-mode': 'cors' } })))
        t.same(twins.map(twin => twin.json().code), ['FST_AUTH0_SESSION_DATA_INVALID', 'FST_AUTH0_SESSION_DATA_INVALID'])
        t.notOk((await browser.get('/me')).json().isAuthenticated)
      })

      t.test('a login with a claim of the application\'s that is no JSON is refused, and the session there was goes on', async t => {
        let extra: unknown = 'fine'
        const { browser } = await build(t, kind, { auth0: { onLogin: ({ user }) => ({ ...user, extra }) } })
        await browser.login('/login?returnTo=/me')
        await browser.get('/cart/apple')
        extra = 1n
        t.equal((await browser.navigate('/login?returnTo=/me')).statusCode, 500)
        t.equal((await browser.get('/me')).json().user.extra, 'fine')
        t.same((await browser.get('/cart')).json(), ['apple'])
      })

      for (const [name, options] of Object.entries(fromElsewhere)) {
        t.test(`promise 5, B12: a login ends the session that it began with, and keeps the visitor's cart, though the callback comes without its cookie: ${name}`, async t => {
          const { browser, send, cookie } = await build(t, kind, { auth0: options, provider: { issuer: 'https://tenant.eu.auth0.com/' } })
          await browser.get('/cart/apple')
          const seen: string[] = []
          for (const [user, cart] of [[{ sub: 'auth0|ada' }, ['apple']], [{ sub: 'auth0|ada' }, ['apple']], [grace, []]] as const) {
            seen.push(cookie())
            await browser.login('/login?returnTo=/me', { authorize: { user } })
            t.equal((await browser.get('/me')).json().user.sub, user.sub)
            t.same((await browser.get('/cart')).json(), cart)
          }
          for (const old of seen) {
            t.notOk((await send('/me', { cookie: old })).json().isAuthenticated)
            t.same((await send('/cart', { cookie: old })).json(), [])
          }
        })
      }

      t.test('promise 11: answers with somebody\'s data are not cached, those for nobody may be', async t => {
        const { browser, cookieName } = await build(t, kind)
        const caching = async (url: string) => (await browser.get(url)).headers['cache-control']
        t.equal(await caching('/me'), undefined)
        t.equal(await caching('/cart'), undefined)
        if (cookieName === NAME) t.equal(await caching('/cart/apple'), 'private, no-store', 'it sets the cookie of the session')
        await browser.login('/login?returnTo=/me')
        for (const url of ['/me', '/profile', '/note/1', '/extend', '/ask-and-destroy']) {
          t.equal(await caching(url), 'private, no-store', url)
          if (url === '/ask-and-destroy') await browser.login('/login?returnTo=/me')
        }
        t.equal(await caching('/public'), undefined, 'a page that does not ask')
        t.equal(await caching('/said'), 'private, max-age=60', 'what the application says stays')
        t.match((await browser.post('/logout')).headers['cache-control'], 'no-store')
        t.match((await browser.get('/own-logout')).headers['cache-control'], undefined, 'nobody was there')
        await browser.login('/login?returnTo=/me')
        t.equal(await caching('/own-logout'), 'private, no-store')
      })
    })
  }

  t.test('G11 secrets rotate without a logout: what an older one signed and sealed works, and a logout clears it', async t => {
    const next = secret.toUpperCase()
    const places: Array<() => SessionOptions> = [() => ({ redis: redis.url })]
    const store = new MemoryStore()
    places.push(() => ({ store }))
    for (const place of places) {
      const provider = new Provider()
      const [before, during, after] = await Promise.all([[secret], [next, secret], [next]].map(secrets =>
        buildApp(t, { provider, auth0: { secret: secrets, session: place() }, routes: addRoutes })))
      for (const host of [before, during, after]) await connected(host!.app)
      await before!.browser.login('/login?returnTo=/me')
      await before!.browser.get('/cart/apple')
      const header = `${NAME}=${before!.browser.cookie(NAME)}`
      t.notOk((await after!.app.inject({ url: '/me', headers: { cookie: header } })).json().isAuthenticated)

      const browser = before!.newBrowser({ app: during!.app })
      browser.setCookie(`${header}; Path=/; Secure; HttpOnly`)
      const { setCookies, ...answer } = await browser.get('/me')
      t.ok(answer.json().isAuthenticated)
      t.same(setCookies, [], 'the cookie is left alone')
      await browser.get('/note/1')
      t.same((await browser.get('/me')).json().session.data, { note: '1' })
      await browser.post('/logout')
      t.equal(browser.cookie(NAME), null)
      t.notOk((await before!.browser.get('/me')).json().isAuthenticated)

      browser.setCookie(`${header}; Path=/; Secure; HttpOnly`)
      await browser.login('/login?returnTo=/me')
      const newer = `${NAME}=${browser.cookie(NAME)}`
      t.ok((await after!.app.inject({ url: '/me', headers: { cookie: newer } })).json().isAuthenticated, 'a new login is by the new one')
      t.notOk((await before!.app.inject({ url: '/me', headers: { cookie: newer } })).json().isAuthenticated)
    }
  })
})

const build = (t: Test, kind: StoreKind, options: BuildOptions = {}) => buildKept(t, kind, { ...options, routes: addRoutes })

function addRoutes (app: FastifyInstance): void {
  app.get('/cart', async ({ session }) => session.cart ?? [])
  app.get<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => { session.cart = [...session.cart ?? [], params.item] })
  app.get<{ Params: { note: string } }>('/note/:note', async ({ auth0, params }) => auth0.updateSession(params))
  app.get('/extend', async ({ auth0 }) => auth0.user)
  app.get('/said', async ({ auth0 }, reply) => reply.header('cache-control', 'private, max-age=60').send(auth0.user))
  app.get('/ask-and-destroy', async request => {
    const { user } = request.auth0
    await request.session.destroy()
    return user
  })
  app.get('/own-logout', async (request, reply) => String(await app.auth0.logout(request, reply)))
}
