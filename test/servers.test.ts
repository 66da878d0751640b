import cookie, { type FastifyCookieOptions } from '@fastify/cookie'
import Fastify, { type FastifyInstance } from 'fastify'
import getPort from 'get-port'
import t, { type Test } from 'tap'
import auth0, { type Auth0Options } from '../lib/index.ts'
import { appBaseUrl, buildApp, secret } from './helpers/app.ts'
import { Browser, type BrowserOptions } from './helpers/browser.ts'
import { overHttp2 } from './helpers/http2.ts'
import { Provider } from './helpers/provider.ts'
import { selfSigned } from './helpers/self-signed.ts'

/** What every kind of server has in common. */
type AnyServer = Pick<FastifyInstance, 'register' | 'get' | 'post' | 'listen' | 'close' | 'requireAuth' | 'inject'>

const servers: Array<[name: string, scheme: 'http' | 'https', make: () => unknown, way?: typeof overHttp2]> = [
  ['http', 'http', () => Fastify()],
  ['https', 'https', () => Fastify({ https: selfSigned() })],
  ['HTTP/2', 'https', () => Fastify({ http2: true, https: selfSigned() }), overHttp2],
  ['HTTP/2 without TLS', 'http', () => Fastify({ http2: true }), overHttp2],
  ['HTTP/2 for browsers that speak HTTP/1.1', 'https', () => Fastify({ http2: true, https: { ...selfSigned(), allowHTTP1: true } })]
]
for (const [name, scheme, make, way] of servers) {
  t.test(`somebody logs in, acts and logs out over ${name}`, async t => {
    const app = make() as AnyServer
    const provider = new Provider()
    const port = await getPort()
    const baseUrl = `${scheme}://localhost:${port}`
    t.teardown(() => app.close())
    await app.register(auth0, { ...of(provider), appBaseUrl: baseUrl })
    app.get('/', async () => 'home')
    app.get('/profile', { preHandler: app.requireAuth }, async request => ({ name: request.auth0.user?.name, secure: request.protocol }))
    app.post('/notes', { onRequest: app.requireAuth() }, async request => {
      await request.auth0.updateSession({ note: 1 })
      return request.auth0.session
    })
    await app.listen({ port, host: 'localhost' })
    const reach = way?.(baseUrl)
    if (reach !== undefined) t.teardown(reach.close)

    const browser = new Browser({ baseUrl, provider, ...reach && { app: reach } })
    const { body, url } = await browser.login('/profile?a=1')
    t.equal(url.href, `${baseUrl}/profile?a=1`)
    t.same(JSON.parse(body), { name: 'Ada Lovelace', secure: scheme })
    t.same(browser.cookieNames(), [scheme === 'https' ? '__Host-auth0' : 'auth0'])
    t.same((await browser.fetch('/notes', { json: {}, method: 'POST' })).json().data, { note: 1 })
    t.equal((await browser.submit('/logout')).url.href, `${baseUrl}/`)
    t.same(browser.cookieNames(), [])
    t.equal((await browser.fetch('/profile')).statusCode, 401)
  })
}

const cookiePlugins: Array<[name: string, before: boolean, after: boolean, options?: FastifyCookieOptions]> = [
  ['not at all', false, false],
  ['before us', true, false],
  ['after us', false, true],
  ['before us, later in a request', true, false, { hook: 'preHandler', secret: 'for signatures' }]
]
for (const [name, before, after, options = {}] of cookiePlugins) {
  t.test(`with @fastify/cookie registered ${name}, cookies of the application live beside ours`, async t => {
    const isThere = before || after
    const setOwn = (reply: { setCookie?: unknown, header (name: string, value: string): unknown }, name: string) => isThere
      ? (reply.setCookie as (name: string, value: string, options: object) => void).call(reply, name, 'own value', { path: '/', secure: true })
      : reply.header('set-cookie', `${name}=own%20value; Path=/; Secure`)
    const { browser } = await buildApp(t, {
      async before (app) {
        if (before) await app.register(cookie, options)
        app.addHook('onRequest', async (request, reply) => { if (request.url.startsWith('/login')) setOwn(reply, 'login') })
        app.addHook('onSend', async (request, reply) => { if (request.url.startsWith('/callback')) setOwn(reply, 'callback') })
      },
      async routes (app) {
        if (after) await app.register(cookie, options)
        app.post('/both', async (request, reply) => {
          setOwn(reply, 'before')
          await request.auth0.updateSession({ theme: 'dark' })
          return setOwn(reply, 'after') && 'done'
        })
        app.get('/cookies', async request => isThere ? Object.keys((request as unknown as { cookies: object }).cookies).sort() : [])
      }
    })
    await browser.login()
    const { setCookies } = await browser.fetch('/both', { json: {}, method: 'POST' })
    t.same(setCookies.map(header => header.split('=')[0]).sort(), ['__Host-auth0', 'after', 'before'])
    t.equal((await browser.get('/me')).json().session.data.theme, 'dark')
    t.same(browser.cookieNames(), ['__Host-auth0', 'after', 'before', 'callback', 'login'])
    if (isThere) t.same((await browser.get('/cookies')).json(), browser.cookieNames(), 'the plugin of the application reads all')
    await browser.submit('/logout')
    t.same(browser.cookieNames(), ['after', 'before', 'callback', 'login'], 'and logging out takes ours alone')
  })
}

const prefixes: Array<[name: string, outer: string, prefix: string | undefined, full: string]> = [
  ['an option', '', '/app', '/app'], ['an option without a slash in front', '', 'app', '/app'], ['an option with a slash behind', '', '/app/', '/app'],
  ['that of the surrounding context', '/outer', undefined, '/outer'], ['both', '/outer', '/inner', '/outer/inner'], ['both, with slashes too many', '/outer/', '/inner/', '/outer/inner']
]
for (const [name, outer, prefix, full] of prefixes) {
  t.test(`the prefix ${full}, as ${name}, stands before the routes and in the redirect_uri`, async t => {
    const { app, browser, provider } = await withoutPlugin(t)
    await app.register(async child => {
      await child.register(auth0, { ...of(provider), ...prefix !== undefined && { prefix } })
      child.get('/page', { preHandler: child.requireAuth }, async request => request.auth0.user?.name)
    }, { prefix: outer })

    const { location } = await browser.get(`${outer.replace(/\/$/, '')}/page`)
    t.equal(location?.pathname, `${full}/login`, 'the guard knows the way')
    t.equal((await browser.get(location!)).location?.searchParams.get('redirect_uri'), `${appBaseUrl}${full}/callback`)
    t.equal((await browser.login(location!.href)).body, 'Ada Lovelace')
    for (const path of ['/login', '/callback', '/logout']) {
      t.equal((await browser.get(path)).statusCode, 404)
      t.equal((await browser.comeBack(await browser.leave(`${full}/login?returnTo=${encodeURIComponent(full + path)}`))).headers.location, '/', 'M3 no loop')
    }
    await browser.submit(`${full}/logout`)
    t.same(browser.cookieNames().filter(name => !name.includes('.login.')), [])
  })
}

t.test('behind a proxy that takes a path away, all addresses have it', async t => {
  const { app, provider } = await withoutPlugin(t)
  await app.register(auth0, { ...of(provider), appBaseUrl: `${appBaseUrl}/shop` })
  app.get('/', async () => 'home')
  app.get('/profile', { preHandler: app.requireAuth }, async request => request.auth0.user?.name)
  const proxy = { inject: (request: { url: string }) => request.url.startsWith('/shop/') ? app.inject({ ...request, url: request.url.slice('/shop'.length) }) : app.inject('/beside') }
  const browser = new Browser({ baseUrl: appBaseUrl, provider, app: proxy as BrowserOptions['app'] & object })

  const { url, body, history } = await browser.login('/shop/profile?a=1')
  t.equal(url.href, `${appBaseUrl}/shop/profile?a=1`)
  t.equal(body, 'Ada Lovelace')
  t.same(history.map(({ origin, pathname }) => origin === appBaseUrl ? pathname : origin), ['/shop/profile', '/shop/login', 'https://tenant.example.com', '/shop/callback', '/shop/profile'])
  const page = await browser.get('/shop/callback?code=1&state=2')
  t.match(page.body, 'href="/shop/"')
  t.match(page.body, 'href="/shop/login"')
  t.match((await browser.get('/shop/logout', { site: 'cross-site' })).body, 'action="/shop/logout"')
  t.equal((await browser.submit('/shop/logout')).url.href, `${appBaseUrl}/shop`)
})

t.test('what is registered in a context stays in it', async t => {
  const { app, browser, provider } = await withoutPlugin(t)
  await app.register(async child => {
    await child.register(auth0, of(provider))
    child.get('/inside', { preHandler: child.requireAuth }, async request => request.auth0.user?.name)
    await child.register(async grandchild => { grandchild.get('/deep', { preHandler: grandchild.requireAuth }, async request => request.auth0.user?.name) })
  })
  app.get('/outside', async request => ['auth0' in app, 'requireAuth' in app, 'auth0' in request])
  app.post('/form', async request => request.body)

  t.equal((await browser.login('/inside')).body, 'Ada Lovelace')
  t.equal((await browser.get('/deep')).body, 'Ada Lovelace')
  t.same((await browser.get('/outside')).json(), [false, false, false])
  t.equal((await browser.post('/form', { a: '1' })).statusCode, 415, 'nor does our parser for forms reach beyond our routes')
})

t.test('contexts beside each other, with the same options, share their sessions', async t => {
  const { app, browser, provider } = await withoutPlugin(t)
  for (const side of ['/left', '/right']) {
    await app.register(async child => {
      await child.register(auth0, of(provider))
      child.get('/page', { preHandler: child.requireAuth }, async request => request.auth0.user?.name)
    }, { prefix: side })
  }
  await browser.login('/left/page')
  t.equal((await browser.get('/right/page')).body, 'Ada Lovelace')
  await browser.submit('/right/logout')
  t.equal((await browser.fetch('/left/page')).statusCode, 401)
})

t.test('a server can do without login route', async t => {
  const { browser } = await buildApp(t, { auth0: { routes: { login: false } } })
  t.equal((await browser.get('/login')).statusCode, 404)
  t.equal((await browser.login('/profile')).json().name, 'Ada Lovelace', 'the guard leads to the provider itself')
})

t.test('a server can have routes of its own for everything', async t => {
  const redirectUri = `${appBaseUrl}/auth/back`
  const { browser, provider } = await buildApp(t, {
    auth0: { redirectUri, routes: { login: false, callback: false, logout: false } },
    routes (app) {
      app.get('/auth/in', async (request, reply) => reply.redirect((await app.auth0.startInteractiveLogin(request, reply, { returnTo: String(request.url.split('to=')[1] ?? '/me'), appState: { basket: 5 } })).href))
      app.get('/auth/back', async (request, reply) => {
        const { user, appState, returnTo } = await app.auth0.completeInteractiveLogin(request, reply)
        return { name: user?.name, appState, returnTo }
      })
      app.get('/auth/out', async (request, reply) => reply.redirect((await app.auth0.logout(request, reply, { returnTo: '/' })).href, 303))
    }
  })
  t.same((await browser.login('/auth/in')).json(), { name: 'Ada Lovelace', appState: { basket: 5 }, returnTo: '/me' })
  t.equal(provider.authorizations[0]?.get('redirect_uri'), redirectUri)
  t.equal((await browser.login('/auth/in?to=/auth/back')).json().returnTo, '/', 'M3 also a callback of one\'s own would loop')
  t.equal((await browser.navigate('/auth/out')).body, 'Hello stranger')
})

t.test('Fastify\'s options for the log of a plugin hold for our routes, and show no query all the same', async t => {
  const { browser, logs } = await buildApp(t, { auth0: { logLevel: 'warn' } as Auth0Options })
  await browser.get('/login?returnTo=/profile')
  await browser.get('/public')
  t.same(logs.lines.flatMap(({ req }) => (req as { url: string } | undefined)?.url ?? []), ['/public'])

  const seeing = await buildApp(t, { auth0: { logSerializers: { req: (request: { url: string }) => request.url, own: () => 'mine' } } as unknown as Auth0Options })
  await seeing.browser.get('/login?returnTo=/profile')
  t.equal((seeing.logs.lines.find(({ req }) => req !== undefined)?.req as { url: string }).url, '/login')
})

async function withoutPlugin (t: Test) {
  const app = Fastify({ trustProxy: true })
  const provider = new Provider()
  t.teardown(() => app.close())
  return { app, provider, browser: new Browser({ baseUrl: appBaseUrl, app, provider }) }
}

function of (provider: Provider): Auth0Options {
  return { domain: 'tenant.example.com', clientId: provider.clientId, clientSecret: provider.clientSecret, secret, appBaseUrl, fetch: provider.fetch }
}
