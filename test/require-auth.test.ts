import Fastify, { type FastifyInstance, type RouteShorthandOptions } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type Auth0, type RequestAuth0 } from '../lib/index.ts'
import { appBaseUrl, buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { Browser, type RequestOptions } from './helpers/browser.ts'
import { Provider } from './helpers/provider.ts'

type Write = (app: FastifyInstance) => RouteShorthandOptions

const ways: Array<[name: string, write: Write]> = [
  ['preHandler: app.requireAuth', app => ({ preHandler: app.requireAuth })],
  ['preHandler: app.requireAuth()', app => ({ preHandler: app.requireAuth() })],
  ['preHandler: app.requireAuth({})', app => ({ preHandler: app.requireAuth({}) })],
  ['preHandler: app.auth0.requireAuth', app => ({ preHandler: app.auth0.requireAuth })],
  ['onRequest: app.requireAuth', app => ({ onRequest: app.requireAuth })],
  ['onRequest: app.requireAuth()', app => ({ onRequest: app.requireAuth() })],
  ['preParsing: app.requireAuth', app => ({ preParsing: app.requireAuth })],
  ['preValidation: app.requireAuth', app => ({ preValidation: app.requireAuth })],
  ['preHandler: [app.requireAuth]', app => ({ preHandler: [app.requireAuth] })],
  ['preHandler: [app.requireAuth(), another]', app => ({ preHandler: [app.requireAuth(), async () => {}] })],
  ['onRequest: [another, app.requireAuth]', app => ({ onRequest: [async () => {}, app.requireAuth] })],
  ['a hook that awaits it', app => ({ preHandler: async (request, reply) => { await app.requireAuth(request, reply) } })],
  ['a hook that returns it', app => ({ onRequest: (request, reply) => app.requireAuth(request, reply) })],
  ['a hook that calls a guard and returns its promise', app => ({ onRequest: async (request, reply) => app.requireAuth()(request, reply) })],
  ['a hook that forgot to await it', app => ({ preHandler: async (request, reply) => { app.requireAuth(request, reply) } })],
  ['a hook with a callback that forgot to wait', app => ({ onRequest: (request, reply, done) => { app.requireAuth(request, reply); done() } })]
]

for (const [name, write] of ways) {
  t.test(`guards a route: ${name}`, async t => {
    const { browser, ran } = await guarded(t, write)
    t.match(await browser.get('/guarded?a=b'), { statusCode: 302, location: { pathname: '/login', search: '?returnTo=%2Fguarded%3Fa%3Db' } })
    t.match((await browser.fetch('/guarded')).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' })
    t.equal(ran.length, 0)
    t.equal((await browser.login('/guarded')).body, 'secret')
    t.equal(ran.length, 1)
  })
}

t.test('a hook that forgot to await a guard with conditions lets nobody in who does not meet them', async t => {
  const { browser, ran } = await guarded(t, app => ({ preHandler: async (request, reply) => { app.requireAuth({ roles: 'admin' })(request, reply) } }))
  await browser.login('/profile')
  t.equal((await browser.get('/guarded')).statusCode, 403)
  t.equal((await browser.fetch('/guarded')).statusCode, 403)
  t.equal(ran.length, 0)
})

const hooks: Array<[name: string, add: (app: FastifyInstance) => unknown]> = [
  ["app.addHook('onRequest', app.requireAuth)", app => app.addHook('onRequest', app.requireAuth)],
  ["app.addHook('preHandler', app.requireAuth())", app => app.addHook('preHandler', app.requireAuth())]
]
for (const [name, guard] of [['a plain', {}], ['a narrow', { roles: 'admin' }], ['an API\'s', { via: 'bearer' }]] as const) {
  t.test(`${name} guard over the whole server, from before the plugin, lets everybody log in and out`, async t => {
    const { app, browser, provider } = await buildApp(t, {
      auth0: { api: { audience: 'https://api.example.com', resource: 'https://api.example.com' } },
      before: app => app.addHook('onRequest', async (request, reply) => app.requireAuth(guard)(request, reply))
    })
    t.equal((await app.inject({ url: '/nowhere' })).statusCode, 401)
    for (const authorization of [undefined, 'Bearer bad']) {
      t.equal((await app.inject({ url: '/.well-known/oauth-protected-resource', ...authorization !== undefined && { headers: { authorization } } })).statusCode, 200)
    }
    const { statusCode } = await browser.navigate('/login')
    t.equal(statusCode, { 'a plain': 200, 'a narrow': 403, "an API's": 401 }[name])
    t.equal(provider.callsTo('token').length, 1)
    t.match(await browser.get('/logout'), { statusCode: 303, location: { host: 'tenant.example.com' } })
  })
}

t.test('a guard that is asked before it can be known who is calling says so, and lets nobody in', async t => {
  const notReady = { statusCode: 500, code: 'FST_AUTH0_OPTIONS_INVALID' }
  const { app, browser, provider } = await buildApp(t, {
    auth0: { api: { audience: 'https://api.example.com' } },
    before: app => app.addHook('onRequest', async (request, reply) => { if (request.url === '/early') await app.requireAuth(request, reply) }),
    routes: app => app.get('/early', async () => 'in')
  })
  t.match((await app.inject({ url: '/early', headers: { authorization: `Bearer ${provider.accessToken()}` } })).json(), notReady)
  t.equal((await app.inject({ url: '/early' })).statusCode, 401)

  const { browser: revocable } = await buildApp(t, {
    auth0: { revocations: {} },
    before: app => app.addHook('onRequest', async (request, reply) => { if (request.url === '/early') await app.requireAuth(request, reply) }),
    routes: app => app.get('/early', async () => 'in')
  })
  await revocable.login('/profile')
  t.match((await revocable.fetch('/early')).json(), notReady)
  await browser.login('/profile')
  t.equal((await browser.fetch('/early')).body, 'in')
})

for (const [name, add] of hooks) {
  t.test(`guards a whole context and nothing beside it: ${name}`, async t => {
    const { browser } = await buildApp(t, {
      routes: app => app.register(async inner => {
        add(inner)
        inner.get('/inner', async () => 'secret')
        inner.register(async deeper => deeper.get('/deeper', async () => 'secret'))
      })
    })
    t.equal((await browser.fetch('/public')).statusCode, 200)
    t.equal((await browser.fetch('/inner')).statusCode, 401)
    t.equal((await browser.fetch('/deeper')).statusCode, 401)
    t.equal((await browser.login('/deeper')).body, 'secret')
  })
}

t.test('is there in the context that the plugin was registered in, and in no other', async t => {
  const provider = new Provider()
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/outside', async request => 'auth0' in request || app.hasDecorator('requireAuth'))
  await app.register(async inner => {
    const { domain, clientId, clientSecret } = { domain: new URL(provider.issuer).host, ...provider }
    await inner.register(auth0, { domain, clientId, clientSecret, secret, appBaseUrl, fetch: provider.fetch })
    inner.get('/inside', { onRequest: inner.requireAuth }, async () => 'secret')
  })
  t.equal((await app.inject('/outside')).json(), false)
  t.equal((await app.inject('/inside')).statusCode, 401)
})

t.test('two instances guard each for itself', async t => {
  const staff = new Provider({ issuer: 'https://staff.example.com/', user: { sub: 'staff|grace' } })
  const { app, provider, browser } = await buildApp(t, {
    routes: async app => {
      const { clientId, clientSecret } = staff
      await app.register(auth0, { name: 'staff', prefix: '/staff', domain: 'staff.example.com', clientId, clientSecret, secret, appBaseUrl, fetch: staff.fetch })
      const { requireAuth } = app.getDecorator<Auth0>('staff')
      app.get('/office', { onRequest: requireAuth }, async request => request.getDecorator<RequestAuth0>('staff').user?.sub)
    }
  })
  t.equal(app.requireAuth, app.auth0.requireAuth)
  await browser.login('/profile')
  t.equal((await browser.get('/office')).location?.pathname, '/staff/login')
  const staffBrowser = new Browser({ baseUrl: appBaseUrl, app, provider: staff })
  t.equal((await staffBrowser.login('/office')).body, 'staff|grace')
  t.equal((await staffBrowser.get('/profile')).location?.pathname, '/login')
  t.equal(provider.authorizations.length, 1)
})

const challenges: Array<[name: string, options: RequestOptions & { via?: 'get' | 'post' | 'fetch' }, statusCode: 302 | 401, type: string]> = [
  ['a navigation', {}, 302, ''],
  ['a navigation from another site', { site: 'cross-site' }, 302, ''],
  ['a navigation of an old browser', { legacy: true }, 302, ''],
  ['a request of a script', { via: 'fetch' }, 401, 'json'],
  ['a request of a script that would like HTML', { via: 'fetch', headers: { accept: 'text/html' } }, 401, 'json'],
  ['a request of a script in an old browser', { via: 'fetch', legacy: true, headers: { accept: 'application/json' } }, 401, 'json'],
  ['a fragment of a page for a script in an old browser', { legacy: true, headers: { accept: 'text/html, */*', 'x-requested-with': 'XMLHttpRequest' } }, 401, 'json'],
  ['an image', { via: 'fetch', headers: { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image', accept: 'image/*' } }, 401, 'json'],
  ['curl', { legacy: true, headers: { accept: '*/*' } }, 401, 'json'],
  ['a client that accepts nothing in particular', { legacy: true, headers: { accept: undefined } }, 401, 'json'],
  ['HEAD of curl', { method: 'HEAD', legacy: true, headers: { accept: '*/*' } }, 401, 'json'],
  ['HEAD that would like HTML', { method: 'HEAD', legacy: true }, 401, 'html'],
  ['a form (N15)', { via: 'post', form: { note: 'lost on the way' } }, 401, 'html'],
  ['a form of an old browser (N15)', { via: 'post', legacy: true, form: { note: 'lost on the way' } }, 401, 'html'],
  ['a POST of a script (N15)', { via: 'fetch', method: 'POST', json: {} }, 401, 'json'],
  ['a DELETE of curl (N15)', { method: 'DELETE', legacy: true, headers: { accept: '*/*', 'x-requested-with': 'curl' } }, 401, 'json']
]
for (const [name, { via = 'get', form, ...options }, statusCode, type] of challenges) {
  t.test(`N13 a stranger gets ${statusCode}: ${name}`, async t => {
    const { browser, ran } = await guarded(t, app => ({ onRequest: app.requireAuth }))
    const response = await (via === 'post' ? browser.post('/guarded', form, options) : browser[via]('/guarded', options))
    t.equal(response.statusCode, statusCode)
    t.equal(response.headers['cache-control'], 'no-store')
    if (statusCode === 302) t.equal(response.location?.href, `${appBaseUrl}/login?returnTo=%2Fguarded`)
    else t.match(response.headers['content-type'], type)
    if (type === 'json' && options.method !== 'HEAD') t.match(response.json(), { code: 'FST_AUTH0_LOGIN_REQUIRED', error: 'Unauthorized', message: 'Log in to use this resource' })
    t.equal(response.setCookies.length, 0)
    t.equal(ran.length, 0)
  })
}

const wishes: Array<[name: string, url: string, returnTo: string]> = [
  ['with path and query', '/guarded/a%20b?x=1&y=%2F', '/guarded/a%20b?x=1&y=%2F'],
  ['that looks like another host', '//evil.example/%2e%2e', '/'],
  ['that is longer than a cookie has room for', `/guarded?${'x'.repeat(3000)}`, '/']
]
for (const [name, url, returnTo] of wishes) {
  t.test(`M1 comes back to a page ${name}`, async t => {
    const { app, browser } = await guarded(t, app => ({ onRequest: app.requireAuth }))
    const { headers } = await app.inject({ url, headers: { 'sec-fetch-mode': 'navigate' } })
    const callback = await browser.leave(String(headers.location))
    t.equal((await browser.comeBack(callback)).headers.location, returnTo)
  })
}

t.test('comes back to a page below the path of appBaseUrl and a prefix', async t => {
  const { app } = await buildApp(t, { auth0: { appBaseUrl: 'https://app.example.com/base', prefix: '/auth' } })
  const { headers } = await app.inject({ url: '/profile', headers: { accept: 'text/html' } })
  t.equal(headers.location, '/base/auth/login?returnTo=%2Fbase%2Fprofile')
})

t.test('without a login route, the guard itself begins the login', async t => {
  const options: BuildOptions = { auth0: { routes: { login: false } } }

  t.test('and sends the browser to the provider at once', async t => {
    const { browser, provider } = await buildApp(t, options)
    const response = await browser.get('/profile')
    t.match(response, { statusCode: 302, headers: { 'cache-control': 'no-store' }, location: { origin: 'https://tenant.example.com', pathname: '/authorize' } })
    t.equal((await browser.login('/profile')).json().sub, 'auth0|ada')
    t.equal(provider.authorizations.length, 1)
  })

  t.test('N14 but not for a prefetch', async t => {
    const { browser } = await buildApp(t, options)
    const response = await browser.get('/profile', { headers: { 'sec-purpose': 'prefetch;prerender' } })
    t.equal(response.statusCode, 403)
    t.match(response.body, 'FST_AUTH0_PREFETCH_REFUSED')
    t.equal(response.setCookies.length, 0)
  })

  t.test('and shows a page while the provider is down', async t => {
    const { browser, provider } = await buildApp(t, options)
    provider.failAll('503')
    const response = await browser.get('/profile')
    t.match(response, { statusCode: 503, headers: { 'retry-after': '7', 'content-type': 'text/html; charset=utf-8' } })
    t.match(response.body, 'FST_AUTH0_PROVIDER_UNAVAILABLE')
    t.equal((await browser.fetch('/profile')).statusCode, 401)
  })
})

t.test('a HEAD request for a guarded page is let in and refused like a GET', async t => {
  const { browser, ran } = await guarded(t, app => ({ onRequest: app.requireAuth }))
  await browser.login('/guarded')
  t.match(await browser.get('/guarded', { method: 'HEAD' }), { statusCode: 200, body: '' })
  t.equal(ran.length, 2)
})

t.test('answers with the data of somebody are not cached (promise 11)', async t => {
  const { browser } = await buildApp(t)
  t.equal((await browser.login()).headers['cache-control'], 'private, no-store')
})

/** An application with one route under a guard, which tells when it ran. */
async function guarded (t: Test, write: Write) {
  const ran: string[] = []
  const built = await buildApp(t, {
    routes: app => app.route({
      method: ['GET', 'POST', 'DELETE'],
      url: '/guarded',
      ...write(app),
      handler: async request => {
        ran.push(request.method)
        return 'secret'
      }
    })
  })
  built.app.get('/guarded/:more', write(built.app), async () => 'secret')
  built.app.get('/*', write(built.app), async () => 'secret')
  return { ...built, ran }
}
