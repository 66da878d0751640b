import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type Auth0Options } from '../lib/index.ts'
import { appBaseUrl, buildApp, secret, type Built } from './helpers/app.ts'
import { createProvider } from './helpers/provider.ts'

// An application with login and callback routes of its own, by app.auth0.

const build = (t: Test, auth0: Auth0Options = {}) => buildApp(t, {
  auth0: { routes: { login: false, callback: false, logout: false }, redirectUri: `${appBaseUrl}/signed-in`, ...auth0 },
  routes: async app => {
    await app.register(formbody)
    addOwnRoutes(app)
  }
})

function addOwnRoutes (app: FastifyInstance): void {
  app.get('/sign-in', async (request, reply) => {
    const { plan = '', prompt } = request.query as { plan?: string, prompt?: string }
    const authorizationParams = prompt === undefined ? {} : { prompt }
    const url = await app.auth0.startInteractiveLogin(request, reply, { returnTo: '/me', appState: { plan, steps: [1, 'two', null] }, authorizationParams })
    return reply.redirect(url.href)
  })
  app.route({
    method: ['GET', 'POST'],
    url: '/signed-in',
    handler: async (request, reply) => {
      const { user, returnTo, appState } = await app.auth0.completeInteractiveLogin(request, reply)
      return { user, returnTo, appState, known: app.auth0.getUser(request)?.sub ?? null, isNew: app.auth0.getSession(request)?.createdAt !== undefined }
    }
  })
}

t.test('there are none of ours', async t => {
  const { browser } = await build(t)
  for (const path of ['/login', '/callback', '/logout']) t.equal((await browser.get(path)).statusCode, 404, path)
})

t.test('a login by one\'s own routes, with appState', async t => {
  const { browser } = await build(t)
  const callback = await browser.leave('/sign-in?plan=gold')
  t.equal(callback.request.get('redirect_uri'), `${appBaseUrl}/signed-in`)
  t.match((await browser.comeBack(callback)).json(), {
    user: { sub: 'auth0|ada', name: 'Ada Lovelace' },
    returnTo: '/me',
    appState: { plan: 'gold', steps: [1, 'two', null] },
    known: 'auth0|ada',
    isNew: true
  })
  t.match((await browser.get('/me')).json(), { isAuthenticated: true, via: 'session' })
})

t.test('a repeated callback still knows who is logged in, and has no appState', async t => {
  const { browser, provider } = await build(t)
  const callback = await browser.leave('/sign-in')
  await browser.comeBack(callback)
  t.strictSame(keys((await browser.comeBack(callback)).json()), ['isNew', 'known', 'returnTo', 'user'])
  t.equal(provider.callsTo('token').length, 1)
})

t.test('A7 prompt=none that finds nobody is no user', async t => {
  const { browser } = await build(t)
  const response = await browser.comeBack(await browser.leave('/sign-in?prompt=none', { authorize: { callback: { error: 'login_required' } } }))
  t.match(response.json(), { user: null, returnTo: '/me', appState: { steps: [1, 'two', null] }, known: null })
})

t.test('B11 by form_post, with a form parser of the application', async t => {
  const { browser } = await build(t, { authorizationParams: { response_mode: 'form_post' } })
  const callback = await browser.leave('/sign-in')
  t.equal(callback.method, 'POST')
  t.match((await browser.comeBack(callback)).json(), { user: { sub: 'auth0|ada' }, returnTo: '/me' })
})

t.test('B10 JSON is no form_post, though the application parses it (promise 6)', async t => {
  const { browser, provider } = await build(t, { authorizationParams: { response_mode: 'form_post' } })
  for (const json of [{ code: { toString: 1 }, state: 's' }, { code: [['c']], state: 's' }, { code: 1, state: 's' }, [1], 'text', 7, null]) {
    const response = await browser.fetch('/signed-in', { method: 'POST', json })
    t.equal(response.statusCode, 400, JSON.stringify(json))
    t.equal(response.json().code, 'FST_AUTH0_CALLBACK_INVALID')
  }
  t.equal(provider.callsTo('token').length, 0)
})

const refusals: Array<[name: string, callback: Record<string, string | undefined>, statusCode: number, code: string]> = [
  ['B2 a foreign state', { state: 'foreign' }, 400, 'FST_AUTH0_LOGIN_EXPIRED'],
  ['B3 no state', { state: undefined }, 400, 'FST_AUTH0_CALLBACK_INVALID'],
  ['B8 a denial', { error: 'access_denied' }, 403, 'FST_AUTH0_LOGIN_DENIED']
]
for (const [name, callback, statusCode, code] of refusals) {
  t.test(`${name} is thrown, for the application's error handler`, async t => {
    const { browser, provider } = await build(t)
    const response = await browser.comeBack(await browser.leave('/sign-in', { authorize: { callback } }))
    t.equal(response.statusCode, statusCode)
    t.equal(response.json().code, code)
    t.equal(provider.callsTo('token').length, 0)
    t.equal((await browser.get('/')).body, 'Hello stranger')
  })
}

t.test('returnTo is a safe one, whatever the application was told (RFC 9700 §4.11.1)', async t => {
  const { browser } = await buildApp(t, {
    routes: app => app.get('/sign-in', async (request, reply) =>
      reply.redirect((await app.auth0.startInteractiveLogin(request, reply, { returnTo: (request.query as { to: string }).to })).href))
  })
  for (const to of ['https://evil.example/', '//evil.example', 'javascript:alert(1)', '/callback', '/login']) {
    t.equal((await browser.comeBack(await browser.leave(`/sign-in?to=${encodeURIComponent(to)}`))).headers.location, '/', to)
  }
})

t.test('two instances log in side by side, each by its own cookies', async t => {
  const { app, browser, provider } = await buildTwo(t)
  const one = await browser.leave('/login?returnTo=/me')
  const two = await browser.leave('/staff/login?returnTo=/staff/me')
  t.equal(two.request.get('redirect_uri'), `${appBaseUrl}/staff/callback`)
  t.equal((await browser.comeBack(two)).location?.pathname, '/staff/me')
  t.equal((await browser.comeBack(one)).location?.pathname, '/me')
  t.same(browser.cookieNames(), ['__Host-auth0', '__Host-staff'])
  t.equal(provider.callsTo('token').length, 2)
  t.ok(app.hasDecorator('staff'))
})

t.test('startInteractiveLogin adds parameters of the application\'s choice', async t => {
  const { browser } = await buildApp(t, {
    auth0: { routes: { login: false } },
    routes: app => app.get('/sign-in', async (request, reply) => reply.redirect((await app.auth0.startInteractiveLogin(request, reply, {
      returnTo: '/me', authorizationParams: { ui_locales: 'de', max_age: 60, connection: '', response_mode: 'form_post' }
    })).href))
  })
  t.equal((await browser.get('/login')).statusCode, 404)
  const callback = await browser.leave('/sign-in')
  t.match(Object.fromEntries(callback.request), { ui_locales: 'de', max_age: '60', redirect_uri: `${appBaseUrl}/callback` })
  t.notOk(callback.request.has('connection'))
  t.equal(callback.method, 'GET', 'the response mode is that of the options')
  t.equal((await browser.comeBack(callback)).location?.pathname, '/me')
})

t.test('a guard begins a login, where there is no login route', async t => {
  const { browser } = await buildApp(t, { auth0: { routes: { login: false } } })
  t.match((await browser.login('/profile?x=1')).url, { pathname: '/profile', search: '?x=1' })
})

const mistakes: Array<[name: string, options: Parameters<Built['app']['auth0']['startInteractiveLogin']>[2], code: string]> = [
  ['a scope without openid', { authorizationParams: { scope: 'profile' } }, 'FST_AUTH0_OPTIONS_INVALID'],
  ['a parameter that is ours', { authorizationParams: { state: 'x' } }, 'FST_AUTH0_OPTIONS_INVALID'],
  ['an appState that fits no cookie', { appState: 'x'.repeat(4000) }, 'FST_AUTH0_APP_STATE_TOO_LARGE']
]
for (const [name, options, code] of mistakes) {
  t.test(`startInteractiveLogin refuses ${name}`, async t => {
    const { browser } = await buildApp(t, { routes: app => app.get('/sign-in', async (request, reply) => app.auth0.startInteractiveLogin(request, reply, options)) })
    const response = await browser.fetch('/sign-in')
    t.equal(response.statusCode, 500)
    t.equal(response.json().code, code)
    t.same(response.setCookies, [])
  })
}

const keys = (object: object) => Object.keys(object).sort()

async function buildTwo (t: Test): Promise<Built> {
  const provider = createProvider()
  const { clientId, clientSecret, fetch } = provider
  const staff: Auth0Options = { name: 'staff', prefix: '/staff', domain: 'tenant.example.com', clientId, clientSecret, fetch, appBaseUrl, secret }
  return buildApp(t, { provider, routes: app => app.register(auth0, staff) })
}
