import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildKept, storeKinds, type StoreKind } from './helpers/stores.ts'
import type { BuildOptions } from './helpers/app.ts'

const SOON = 5 // seconds
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }
const toCart = '/login?returnTo=/cart'

t.test('logins that the provider ended on their way', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const kind of storeKinds(redis).filter(({ isVariant }) => !isVariant)) {
    t.test(kind.name, async t => {
      t.test('promise 5: leave nothing of the person to whoever is next in that browser', async t => {
        let isEnding = false
        const { app, browser, logOut } = await build(t, kind, { auth0: { onLogin: async () => { if (isEnding) await logOut({}) } } })
        await browser.login(toCart)
        await browser.get('/cart/apple')
        isEnding = true
        t.equal((await browser.navigate(toCart)).statusCode, 400)
        t.same((await browser.get('/cart')).json(), [], 'nobody is logged in')
        isEnding = false
        await browser.login(toCart, { authorize: { user: grace } })
        t.same((await browser.get('/cart')).json(), [], 'somebody else is')
        t.same(await app.auth0.sessions.list('auth0|ada'), [])
      })

      t.test('leave a visitor what is theirs', async t => {
        const { browser, logOut } = await build(t, kind, { auth0: { onLogin: async () => { await logOut({}) } } })
        await browser.get('/cart/apple')
        t.equal((await browser.navigate(toCart)).statusCode, 400)
        t.same((await browser.get('/cart')).json(), ['apple'])
      })

      t.test('end no other session, and take no room among those that a person may have', async t => {
        for (const onExceed of ['end-oldest', 'refuse-login'] as const) {
          const { app, provider, browser, newBrowser, logOut } = await build(t, kind, { auth0: { session: { maxSessions: { limit: 1, onExceed } } } })
          if (onExceed === 'end-oldest') await browser.login(toCart)
          await logOut({ sid: 'ended', sub: undefined })
          provider.forgeNext('idToken', { claims: { sid: 'ended' } })
          t.equal((await newBrowser().navigate(toCart)).statusCode, 400)
          if (onExceed === 'refuse-login') await browser.login(toCart)
          t.equal((await app.auth0.sessions.list('auth0|ada')).length, 1, onExceed)
          t.equal(await app.auth0.sessions.endAll({ sub: 'auth0|ada' }), 1, onExceed)
        }
      })
    })
  }
})

async function build (t: Test, kind: StoreKind, options: BuildOptions) {
  const kept = await buildKept(t, kind, { ...options, routes: addRoutes })
  const { app, provider } = kept
  /** The provider's clock is ahead, so that what it issues now is of an earlier second. */
  const logOut = (claims: object) => app.auth0.handleBackchannelLogout(provider.logoutToken({ claims: { iat: Math.floor(Date.now() / 1000) + SOON, ...claims } }))
  return { ...kept, logOut }
}

function addRoutes (app: FastifyInstance): void {
  app.get('/cart', async ({ session }) => session.cart ?? [])
  app.get<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => { session.cart = [...session.cart ?? [], params.item] })
}
