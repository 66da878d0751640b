import cookie from '@fastify/cookie'
import session from '@fastify/session'
import t from 'tap'
import { MemoryStore } from '../lib/index.ts'
import { buildApp, secret, type BuildOptions } from './helpers/app.ts'

/** Where sessions are that have a `Secure` cookie of @fastify/session. */
const stores: Record<string, () => BuildOptions> = {
  'a store of ours': () => ({ auth0: { session: { store: new MemoryStore() } } }),
  'a store of others': () => ({ auth0: { session: { store: new session.MemoryStore() } } }),
  '@fastify/session of the application': () => {
    const store = new MemoryStore()
    return {
      before: async app => {
        await app.register(cookie)
        await app.register(session, { store, secret })
      },
      auth0: { session: { store } }
    }
  }
}
const behindProxy = { fastify: { trustProxy: false } }
const problem = /trustProxy/

for (const [name, options] of Object.entries(stores)) {
  t.test(`behind a proxy that ends TLS, without trustProxy, with sessions in ${name}`, async t => {
    t.test('a login says what is missing when it begins, and nobody goes to the provider for nothing', async t => {
      const { browser, provider, logs } = await buildApp(t, { ...options(), ...behindProxy })
      const page = await browser.get('/login')
      t.match(page, { statusCode: 400, location: null, body: problem, setCookies: [] })
      t.match(page.body, 'FST_AUTH0_TRUST_PROXY_MISSING')
      t.match((await browser.fetch('/login', { headers: { 'sec-fetch-site': 'same-origin' } })).json(), { statusCode: 400, code: 'FST_AUTH0_TRUST_PROXY_MISSING', message: problem })
      t.match(logs.text, 'FST_AUTH0_TRUST_PROXY_MISSING')
      t.same(provider.authorizations, [])
    })

    t.test('a guarded page ends there, and goes in no circles', async t => {
      const { browser } = await buildApp(t, { ...options(), ...behindProxy })
      const { statusCode, history } = await browser.navigate('/profile')
      t.same([statusCode, history.map(url => url.pathname)], [400, ['/profile', '/login']])
    })

    t.test('so does one without a login route, and a login of the application\'s own', async t => {
      const { auth0, ...more } = options()
      const { browser, app } = await buildApp(t, {
        ...more,
        ...behindProxy,
        auth0: { ...auth0, routes: { login: false } },
        routes: app => app.get('/in', async (request, reply) => reply.redirect((await app.auth0.startInteractiveLogin(request, reply)).href))
      })
      t.match(await browser.get('/profile'), { statusCode: 400, body: problem })
      t.match((await app.inject({ url: '/in', headers: { 'x-forwarded-proto': 'https' } })).json(), { code: 'FST_AUTH0_TRUST_PROXY_MISSING', message: problem })
    })

    t.test('a callback of a login that began elsewhere redeems no code', async t => {
      const { browser, provider, newBrowser } = await buildApp(t, options())
      const callback = await browser.leave()
      const { app } = await buildApp(t, { ...options(), ...behindProxy, provider })
      const headers = { cookie: browser.cookies.header(callback.url) }
      t.match(await newBrowser({ app }).comeBack(callback, { headers }), { statusCode: 400, body: problem })
      t.same(provider.callsTo('token'), [])
    })

    t.test('a callback of a login that ran out says that, and not more', async t => {
      const { browser } = await buildApp(t, { ...options(), ...behindProxy })
      t.match(await browser.get('/callback?code=c&state=s'), { statusCode: 400, body: 'FST_AUTH0_LOGIN_EXPIRED' })
    })

    t.test('public pages are served', async t => {
      const { browser } = await buildApp(t, { ...options(), ...behindProxy })
      t.equal((await browser.get('/')).body, 'Hello stranger')
    })
  })

  t.test(`with trustProxy it works, with sessions in ${name}`, async t => {
    const { browser } = await buildApp(t, { ...options(), fastify: { trustProxy: true } })
    t.equal((await browser.login('/profile')).statusCode, 200)
  })

  t.test(`on http, for development, nothing is missing: ${name}`, async t => {
    const { auth0, before } = options()
    const isOwn = before !== undefined
    const { browser } = await buildApp(t, {
      ...behindProxy,
      auth0: { ...auth0, appBaseUrl: 'http://localhost:3000' },
      ...isOwn && { before: async app => { await app.register(cookie); await app.register(session, { store: auth0!.session!.store as MemoryStore, secret, cookie: { secure: false } }) } }
    })
    t.equal((await browser.login('/profile')).statusCode, 200)
  })
}

t.test('sessions in encrypted cookies do without trustProxy', async t => {
  const { browser } = await buildApp(t, behindProxy)
  t.equal((await browser.login('/profile')).statusCode, 200)
})
