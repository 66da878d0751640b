import { once } from 'node:events'
import { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { appBaseUrl, buildApp } from './helpers/app.ts'

type Headers = Record<string, string | undefined>

const none = { 'sec-fetch-site': undefined, 'sec-fetch-mode': undefined, 'sec-fetch-dest': undefined, origin: undefined }

const methods = ['POST', 'PUT', 'PATCH', 'DELETE']
const origins: Array<[name: string, headers: Headers, isAdmitted: boolean]> = [
  ['a page of ours', { 'sec-fetch-site': 'same-origin', origin: appBaseUrl }, true],
  ['a page of ours, without Origin', { 'sec-fetch-site': 'same-origin' }, true],
  ['a page of ours with a strict Referrer-Policy', { 'sec-fetch-site': 'same-origin', origin: 'null' }, true],
  ['the person, at the address bar', { 'sec-fetch-site': 'none' }, true],
  ['a page of ours in an old browser', { origin: appBaseUrl }, true],
  ['a client that is no browser', { 'x-requested-with': 'curl' }, true],
  ['N1 another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }, false],
  ['N1 another site, without Origin', { 'sec-fetch-site': 'cross-site' }, false],
  ['N1 another site that sends X-Requested-With', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example', 'x-requested-with': 'x' }, false],
  ['N2 a sibling of our site', { 'sec-fetch-site': 'same-site', origin: 'https://evil.app.example.com' }, false],
  ['N2 a sibling of our site, without Origin', { 'sec-fetch-site': 'same-site' }, false],
  ['N1 a value that is not known', { 'sec-fetch-site': 'same-origin, cross-site' }, false],
  ['N1 an empty value', { 'sec-fetch-site': '' }, false],
  ['N3 another origin', { origin: 'https://evil.example' }, false],
  ['N3 another origin with X-Requested-With', { origin: 'https://evil.example', 'x-requested-with': 'XMLHttpRequest' }, false],
  ['N3 origin null', { origin: 'null' }, false],
  ['N3 an empty origin', { origin: '' }, false],
  ['N3 our host by http', { origin: 'http://app.example.com' }, false],
  ['N3 our host on another port', { origin: 'https://app.example.com:8443' }, false],
  ['N3 a host that ends like ours', { origin: 'https://evilapp.example.com' }, false],
  ['N3 a host that begins like ours', { origin: 'https://app.example.com.evil.example' }, false],
  ['N4 nothing at all', {}, false],
  ['N4 a Referer, which is no proof', { referer: `${appBaseUrl}/` }, false]
]
for (const [name, headers, isAdmitted] of origins) {
  t.test(`${isAdmitted ? 'lets act' : 'refuses'} ${name} (ASVS 3.5.1, 3.5.3)`, async t => {
    const { browser, ran } = await actingApp(t)
    for (const method of methods) {
      const response = await browser.fetch('/act', { method, headers: { ...none, ...headers } })
      t.equal(response.statusCode, isAdmitted ? 200 : 403, method)
      if (!isAdmitted) t.equal(response.json().code, 'FST_AUTH0_CROSS_SITE_REQUEST')
    }
    t.same(ran, isAdmitted ? methods : [])
    t.equal((await browser.fetch('/profile', { headers: { ...none, ...headers } })).statusCode, 200, 'reading is no act')
  })
}

const bodies: Array<[name: string, type: string | undefined, body: string]> = [
  ['text/plain', 'text/plain', '{"a":1}'],
  ['a form', 'application/x-www-form-urlencoded', 'a=1'],
  ['multipart', 'multipart/form-data; boundary=x', '--x--'],
  ['JSON', 'application/json', '{}'],
  ['nothing', undefined, '']
]
for (const [name, type, body] of bodies) {
  t.test(`N5 refuses ${name} from another site: there is no simple request (ASVS 3.5.2)`, async t => {
    const { app, cookie, ran } = await actingApp(t)
    const headers = { cookie, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', ...type === undefined ? {} : { 'content-type': type } }
    t.match(await app.inject({ method: 'POST', url: '/act', headers, payload: body }), { statusCode: 403 })
    t.same(ran, [])
  })
}

const overrides: Array<[name: string, method: 'GET' | 'POST', url: string, headers: Headers]> = [
  ['GET by header', 'POST', '/act', { 'x-http-method-override': 'GET' }],
  ['GET by another header', 'POST', '/act', { 'x-method-override': 'GET', 'x-http-method': 'GET' }],
  ['GET by query', 'POST', '/act?_method=GET', {}]
]
for (const [name, method, url, headers] of overrides) {
  t.test(`N6 is not talked out of it by a method override: ${name}`, async t => {
    const { browser, ran } = await actingApp(t)
    t.equal((await browser.fetch(url, { method, site: 'same-site', headers })).statusCode, 403)
    t.same(ran, [])
  })
}

t.test('N6 an override of the application that makes an act of a GET is an act', async t => {
  const { app, cookie } = await actingApp(t, {
    rewriteUrl: request => {
      if (request.headers['x-http-method-override']) request.method = String(request.headers['x-http-method-override'])
      return request.url ?? '/'
    }
  })
  const headers = { cookie, 'x-http-method-override': 'DELETE', 'sec-fetch-site': 'cross-site' }
  t.equal((await app.inject({ method: 'GET', url: '/act', headers })).statusCode, 403)
})

t.test('N1 a stranger from another site is a stranger: 401, not 403', async t => {
  const { newBrowser } = await actingApp(t)
  t.match((await newBrowser().fetch('/act', { method: 'POST', site: 'cross-site' })).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' })
})

t.test('N1 without a guard, whoever acts from another site is nobody', async t => {
  const { browser } = await actingApp(t)
  const known = { user: { sub: 'auth0|ada' }, isAuthenticated: true, via: 'session', roles: ['user'] }
  const unknown = { user: null, claims: null, isAuthenticated: false, via: null, session: null, roles: [], permissions: [], viaApp: [null, null] }
  t.match((await browser.fetch('/who', { method: 'POST' })).json(), known)
  t.same((await browser.fetch('/who', { method: 'POST', site: 'same-site' })).json(), unknown)
  t.match((await browser.fetch('/who', { site: 'same-site' })).json(), known, 'who only reads is somebody')
})

t.test('N1 refuses updateSession from another site', async t => {
  const { browser } = await actingApp(t)
  const before = browser.cookie('__Host-auth0')
  const refused = await browser.fetch('/write', { method: 'POST', site: 'same-site' })
  t.match(refused.json(), { statusCode: 403, code: 'FST_AUTH0_CROSS_SITE_REQUEST' })
  t.equal(browser.cookie('__Host-auth0'), before)
  t.equal((await browser.fetch('/write', { method: 'POST' })).statusCode, 200)
  t.not(browser.cookie('__Host-auth0'), before)
})

t.test('each origin of an allow-list may act on each', async t => {
  const { browser } = await buildApp(t, { auth0: { appBaseUrl: [appBaseUrl, 'https://other.example.net'] } })
  await browser.login()
  const post = (origin: string) => browser.fetch('/notes', { method: 'POST', json: {}, headers: { origin, 'sec-fetch-site': 'cross-site' } })
  t.equal((await post('https://other.example.net')).statusCode, 200)
  t.equal((await post('https://third.example.net')).statusCode, 403)
})

t.test('N1 a form of another site gets a page', async t => {
  const { browser } = await actingApp(t)
  const response = await browser.post('/act', { a: '1' }, { site: 'same-site' })
  t.equal(response.statusCode, 403)
  t.match(response.headers['content-type'], 'text/html')
  t.match(response.body, 'FST_AUTH0_CROSS_SITE_REQUEST')
})

const preflights = ['/login', '/callback', '/logout', '/act', '/profile']
for (const path of preflights) {
  t.test(`N9 a CORS preflight to ${path} is not told that it may`, async t => {
    const { app, cookie } = await actingApp(t)
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-requested-with', cookie }
    for (const method of ['OPTIONS', 'POST', 'GET'] as const) {
      const response = await app.inject({ method, url: path, headers })
      t.same(Object.keys(response.headers).filter(name => name.startsWith('access-control-')), [])
    }
  })
}

t.test('N9 an application may answer preflights: OPTIONS is no act', async t => {
  const { browser } = await actingApp(t)
  t.equal((await browser.fetch('/act', { method: 'OPTIONS', site: 'cross-site' })).statusCode, 204)
})

const handshakes: Array<[name: string, headers: Headers, statusCode: number]> = [
  ['a page of ours', { origin: appBaseUrl, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'websocket' }, 101],
  ['a page of ours in an old browser', { origin: appBaseUrl }, 101],
  ['N8 another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'websocket' }, 403],
  ['N8 a sibling of our site', { origin: 'https://evil.app.example.com', 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'websocket' }, 403],
  ['N8 another site in an old browser', { origin: 'https://evil.example' }, 403],
  ['N8 a page that would like HTML', { origin: 'https://evil.example', accept: 'text/html' }, 403],
  ['N8 nobody says where', {}, 403]
]
for (const [name, headers, statusCode] of handshakes) {
  t.test(`answers ${statusCode} to the handshake of a WebSocket from ${name} (ASVS 4.4)`, async t => {
    const { app, cookie, ran } = await actingApp(t)
    t.equal(await shakeHands(app, { ...headers, cookie }), statusCode)
    t.same(ran, statusCode === 101 ? ['upgrade'] : [])
  })
}

/** An application where Ada, who is logged in, may act. */
async function actingApp (t: Test, fastify: FastifyServerOptions = {}) {
  const ran: string[] = []
  const built = await buildApp(t, { fastify, provider: { user: { sub: 'auth0|ada', roles: ['user'] } }, routes: app => addRoutes(app, ran) })
  await built.browser.login()
  return { ...built, ran, cookie: `__Host-auth0=${built.browser.cookie('__Host-auth0')}` }
}

function addRoutes (app: FastifyInstance, ran: string[]): void {
  app.route({
    method: ['GET', ...methods],
    url: '/act',
    onRequest: app.requireAuth,
    handler: async request => {
      ran.push(request.method)
      return {}
    }
  })
  app.options('/act', async (_request, reply) => reply.code(204).send())
  app.route({
    method: ['GET', 'POST'],
    url: '/who',
    handler: async request => {
      const { user, claims, isAuthenticated, via, session, roles, permissions } = request.auth0
      return { user, claims, isAuthenticated, via, session, roles, permissions, viaApp: [app.auth0.getUser(request), app.auth0.getSession(request)] }
    }
  })
  app.post('/write', async request => request.auth0.updateSession({ written: true }))
  app.get('/socket', { onRequest: app.requireAuth }, (_request, reply) => {
    ran.push('upgrade')
    reply.hijack().raw.writeHead(101, { upgrade: 'websocket', connection: 'upgrade' }).end()
  })
}

/** Opens a WebSocket as @fastify/websocket takes it: the handshake goes through Fastify's routes and hooks. Gives the status. */
async function shakeHands (app: FastifyInstance, headers: Headers): Promise<number> {
  app.server.on('upgrade', (request, socket: Socket) => {
    const response = new ServerResponse(request)
    response.assignSocket(socket)
    response.on('finish', () => socket.destroySoon())
    app.routing(request, response)
  })
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  const handshake = { host: 'app.example.com', connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', ...headers }
  socket.write(`GET /socket HTTP/1.1\r\n${Object.entries(handshake).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  return Number(String(answer).split(' ')[1])
}
