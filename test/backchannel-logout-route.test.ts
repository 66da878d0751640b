import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../lib/errors.ts'
import auth0, { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { appBaseUrl, buildApp, secret, type Built } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { Provider } from './helpers/provider.ts'

const PATH = '/backchannel-logout'
const FORM = 'application/x-www-form-urlencoded'
const bob = { sub: 'auth0|bob', name: 'Bob' }

const kinds: Array<[name: string, options: () => Auth0Options]> = [
  ['sessions in a MemoryStore', () => ({ session: { store: new MemoryStore() } })],
  ['encrypted cookies and revocations', () => ({ revocations: {} })]
]

/** Sends a logout token as a provider does. */
const send = (app: FastifyInstance, token: string, options: InjectOptions = {}) => app.inject({
  method: 'POST', url: PATH, payload: new URLSearchParams({ logout_token: token }).toString(), ...options, headers: { 'content-type': FORM, ...options.headers }
})

// What it does

for (const [kind, options] of kinds) {
  t.test(`I9 a logout token ends all sessions of a person, and only those: ${kind} (OpenID Connect Back-Channel Logout 1.0 §2.5, §2.7, §2.8)`, async t => {
    const { app, provider, ada, adaElsewhere, bobs } = await threeBrowsers(t, options())
    const response = await send(app, provider.logoutToken())
    t.equal(response.statusCode, 200)
    t.equal(response.body, '')
    t.equal(response.headers['cache-control'], 'no-store')
    t.notOk('set-cookie' in response.headers)
    t.same(await whoIs(ada, adaElsewhere, bobs), [null, null, 'auth0|bob'])
  })

  t.test(`I18 a logout token with sid ends that session only, also when it names the person: ${kind}`, async t => {
    for (const sub of [undefined, 'auth0|ada']) {
      const { app, provider, ada, adaElsewhere, bobs } = await threeBrowsers(t, options())
      const { sid } = (await ada.get('/me')).json().user
      t.equal((await send(app, provider.logoutToken({ claims: { sid, sub } }))).statusCode, 200)
      t.same(await whoIs(ada, adaElsewhere, bobs), [null, 'auth0|ada', 'auth0|bob'])
    }
  })

  t.test(`I19 a logout token of a session that nobody has is 200: ${kind}`, async t => {
    const { app, provider, ada, adaElsewhere, bobs } = await threeBrowsers(t, options())
    for (const claims of [{ sid: 'unknown' }, { sid: 'unknown', sub: undefined }, { sub: 'unknown' }, { sub: '__proto__' }]) {
      t.equal((await send(app, provider.logoutToken({ claims }))).statusCode, 200)
    }
    t.same(await whoIs(ada, adaElsewhere, bobs), ['auth0|ada', 'auth0|ada', 'auth0|bob'])
  })

  t.test(`I17 a logout token that comes again does nothing to who logged in meanwhile: ${kind}`, async t => {
    const clock = travelInTime(t)
    const { app, provider, browser, logs } = await buildApp(t, { auth0: options() })
    await browser.login()
    const token = provider.logoutToken()
    t.equal((await send(app, token)).statusCode, 200)
    clock.advance(2)
    await browser.login()
    t.equal((await send(app, token)).statusCode, 200)
    t.same(await whoIs(browser), ['auth0|ada'])
    t.equal(logs.lines.filter(({ msg }) => msg === 'the provider logged somebody out').length, 1)
    t.equal((await send(app, provider.logoutToken())).statusCode, 200)
    t.same(await whoIs(browser), [null], 'and another one does')
  })

  t.test(`what a guard of the application asks is asked after the logout, too: ${kind}`, async t => {
    const { app, provider, browser } = await buildApp(t, { auth0: options() })
    await browser.login()
    await send(app, provider.logoutToken())
    t.equal((await browser.fetch('/profile')).statusCode, 401)
    t.equal((await browser.fetch('/notes', { method: 'POST' })).statusCode, 401)
  })
}

t.test('I20 the sid of another tenant is another session, though both have one store', async t => {
  const store = new MemoryStore()
  const [one, other] = await Promise.all(['https://one.example.com/', 'https://other.example.com/'].map(async issuer => {
    const built = await buildApp(t, { provider: { issuer }, auth0: { session: { store } } })
    built.provider.forge('idToken', { claims: { sid: 'the-same' } })
    await built.browser.login()
    return built
  })) as [Built, Built]
  const claims = { sid: 'the-same', sub: undefined }
  t.equal((await send(one.app, other.provider.logoutToken({ claims }))).statusCode, 400, 'nor is it of use elsewhere')
  t.equal((await send(one.app, one.provider.logoutToken({ claims }))).statusCode, 200)
  t.same(await whoIs(one.browser, other.browser), [null, 'auth0|ada'])
})

t.test('app.auth0.handleBackchannelLogout does the same, for a route of one\'s own', async t => {
  const { app, provider, browser } = await buildApp(t, { auth0: { session: { store: new MemoryStore() }, routes: { backchannelLogout: false } } })
  await browser.login()
  t.equal((await send(app, provider.logoutToken())).statusCode, 404)
  t.equal(await app.auth0.handleBackchannelLogout(provider.logoutToken()), 1)
  t.same(await whoIs(browser), [null])
  await t.rejects(app.auth0.handleBackchannelLogout('noise'), { code: 'FST_AUTH0_LOGOUT_TOKEN_INVALID', statusCode: 400 })
})

t.test('where sessions cannot be ended, the route is not there', async t => {
  const { app, provider } = await buildApp(t)
  t.equal((await send(app, provider.logoutToken())).statusCode, 404)
  t.equal((await app.inject(PATH)).statusCode, 404)
  await t.rejects(app.auth0.handleBackchannelLogout(provider.logoutToken()), { code: 'FST_AUTH0_STORE_REQUIRED', statusCode: 500 })
})

t.test('the path is an option\'s, below the prefix', async t => {
  const { app, provider, browser } = await buildApp(t, { auth0: { revocations: {}, prefix: '/auth', routes: { backchannelLogout: '/ended' } } })
  await browser.login()
  t.equal((await send(app, provider.logoutToken(), { url: '/auth/ended' })).statusCode, 200)
  t.same(await whoIs(browser), [null])
})

// No browser's business

t.test('it reads and sets no cookie, and asks not where it comes from', async t => {
  for (const [, options] of kinds) {
    const { app, provider, browser, newBrowser } = await buildApp(t, { auth0: options() })
    const bobs = newBrowser()
    await browser.login()
    await bobs.login('/profile', { authorize: { user: bob } })
    const response = await bobs.post(PATH, { logout_token: provider.logoutToken() }, { site: 'cross-site', headers: { accept: 'text/html', origin: 'null' } })
    t.equal(response.statusCode, 200)
    t.equal(response.body, '')
    t.same(response.setCookies, [])
    const refusal = await bobs.post(PATH, { logout_token: 'noise' }, { site: 'cross-site' })
    t.same([refusal.statusCode, refusal.setCookies], [400, []])
    t.same(await whoIs(browser, bobs), [null, 'auth0|bob'])
    t.equal((await app.inject({ method: 'OPTIONS', url: PATH, headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } })).headers['access-control-allow-origin'], undefined)
  }
})

t.test('I16 an ID token or an access token of a login is no logout token', async t => {
  const { app, provider, browser } = await buildApp(t, { auth0: { revocations: {}, acceptUntypedLogoutTokens: true } })
  await browser.login()
  const tokens = [...provider.secrets].filter(secret => secret.split('.').length === 3 || secret.startsWith('access-token'))
  t.equal(tokens.length, 2)
  for (const token of tokens) await refuses(t, await send(app, token))
  t.same(await whoIs(browser), ['auth0|ada'])
})

t.test('I15 typ JWT is enough for Auth0, and for others where an option says so', async t => {
  const issuer = 'https://id.example.com/tenant'
  const cases: Array<[auth0: Auth0Options, statusCode: number, provider?: Provider]> = [
    [{}, 200], [{}, 400, new Provider({ issuer })], [{ acceptUntypedLogoutTokens: true }, 200, new Provider({ issuer })]
  ]
  for (const [options, statusCode, provider = new Provider()] of cases) {
    const { app } = await buildApp(t, { provider, auth0: { revocations: {}, ...options } })
    t.equal((await send(app, provider.logoutToken({ header: { typ: 'JWT' } }))).statusCode, statusCode)
  }
})

// What it refuses

type Send = (token: string) => InjectOptions
const field = (token: string) => `logout_token=${encodeURIComponent(token)}`
const form = (payload: string, type = FORM): InjectOptions => ({ payload, headers: { 'content-type': type } })

const refused: Array<[name: string, send: Send, statusCode?: number]> = [
  ['JSON', token => ({ payload: { logout_token: token } })],
  ['JSON that says it is a form', token => form(JSON.stringify({ logout_token: token }))],
  ['a form that says it is JSON', token => form(field(token), 'application/json')],
  ['a form that says it is text', token => form(field(token), 'text/plain')],
  ['a form of almost that type', token => form(field(token), `${FORM}x`)],
  ['a form of two types', token => form(field(token), `text/plain, ${FORM}`), 415],
  ['multipart', token => form(`--x\r\ncontent-disposition: form-data; name="logout_token"\r\n\r\n${token}\r\n--x--`, 'multipart/form-data; boundary=x')],
  ['no type', token => ({ payload: Buffer.from(field(token)) })],
  ['no body', () => ({ headers: { 'content-type': FORM } })],
  ['nothing at all', () => ({})],
  ['an empty form', () => form('')],
  ['another field', token => form(field(token).replace('logout_token', 'id_token'))],
  ['the field in capitals', token => form(field(token).replace('logout_token', 'LOGOUT_TOKEN'))],
  ['the field with brackets', token => form(field(token).replace('logout_token', 'logout_token[]'))],
  ['the field by way of __proto__', token => form(field(token).replace('logout_token', '__proto__[logout_token]'))],
  ['two fields', token => form(`${field(token)}&${field(token)}`)],
  ['two fields, one written otherwise', token => form(`${field(token)}&logout%5Ftoken=x`)],
  ['two fields, one of them empty', token => form(`${field(token)}&logout_token=`)],
  ['the token in the query', token => ({ ...form(''), url: `${PATH}?${field(token)}` })],
  ['the token in a header', token => ({ ...form(''), headers: { 'content-type': FORM, authorization: `Bearer ${token}` } })],
  ['an empty field', () => form('logout_token=')],
  ['noise', () => form(field('noise'))],
  ['a token with a space in front', token => form(field(` ${token}`))],
  ['a token with a zero behind', token => form(field(`${token}\u0000`))],
  ['a body that is no UTF-8', token => ({ ...form(''), payload: Buffer.concat([Buffer.from(field(token)), Buffer.from([0xff, 0xfe])]) })],
  ['100 KB', token => form(`${field(token)}&x=${'x'.repeat(100_000)}`), 413],
  ['100 KB of fields', token => form(`${field(token)}${'&a=b'.repeat(25_000)}`), 413],
  ['10 MB of JSON', () => ({ payload: { logout_token: 'x'.repeat(10_000_000) } }), 413],
  ['a byte too much', token => form(field(token).padEnd(16_385, '&')), 413]
]
t.test('I21 what is no form with one token is refused, quickly and for a machine to read (OpenID Connect Back-Channel Logout 1.0 §2.5, §2.8)', async t => {
  const { app, provider, browser } = await buildApp(t, { auth0: { revocations: {} } })
  await browser.login()
  for (const [name, options, statusCode = 400] of refused) {
    await t.test(name, async t => {
      const began = performance.now()
      const { headers, ...request } = options(provider.logoutToken())
      await refuses(t, await app.inject({ method: 'POST', url: PATH, ...request, headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate', ...headers } }), statusCode)
      t.ok(performance.now() - began < 5000)
    })
  }
  t.same(await whoIs(browser), ['auth0|ada'])
})

const taken: Array<[name: string, send: Send]> = [
  ['with a charset', token => form(field(token), `${FORM}; charset=UTF-8`)],
  ['with its type in capitals', token => form(field(token), 'Application/X-WWW-Form-Urlencoded')],
  ['with fields that nobody here knows', token => form(`a=1&${field(token)}&b=2&a=3&__proto__=4`)],
  ['whose field is written otherwise', token => form(field(token).replace('_', '%5F'))],
  ['of as many bytes as may be', token => form(field(token).padEnd(16_384, '&'))]
]
t.test('I21 a form is taken however it is written', async t => {
  for (const [name, options] of taken) {
    const { app, provider, browser } = await buildApp(t, { auth0: { revocations: {} } })
    await browser.login()
    t.equal((await app.inject({ method: 'POST', url: PATH, ...options(provider.logoutToken()) })).statusCode, 200, name)
    t.same(await whoIs(browser), [null])
  }
})

t.test('I21 all methods but POST are 405', async t => {
  const { app, provider, browser } = await buildApp(t, { auth0: { revocations: {} } })
  await browser.login()
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'] as const) {
    const response = await app.inject({ method, url: `${PATH}?${field(provider.logoutToken())}`, headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate', cookie: 'x=1' } })
    t.equal(response.statusCode, 405, method)
    t.match(response.headers, { allow: 'POST', 'cache-control': 'no-store' })
    t.equal(response.body, '')
    t.notOk('set-cookie' in response.headers)
  }
  t.same(await whoIs(browser), ['auth0|ada'])
})

t.test('I21 forms are parsed in our routes only: an application that takes none refuses them still', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const provider = new Provider()
  await app.register(auth0, { domain: 'tenant.example.com', clientId: provider.clientId, clientSecret: provider.clientSecret, secret, appBaseUrl, fetch: provider.fetch, revocations: {} })
  app.post('/own', async request => ({ body: request.body ?? null }))
  t.equal((await app.inject({ method: 'POST', url: '/own', ...form('a=1') })).statusCode, 415)
  t.same((await app.inject({ method: 'POST', url: '/own', payload: { a: 1 } })).json(), { body: { a: 1 } })
  t.equal((await send(app, provider.logoutToken())).statusCode, 200, 'and our route works on a bare application')
})

t.test('I21 parsers and hooks of the application do not change what our route takes', async t => {
  const { app, provider, browser } = await buildApp(t, {
    auth0: { revocations: {} },
    fastify: { bodyLimit: 100 },
    before: app => {
      app.addContentTypeParser(FORM, { parseAs: 'string' }, async () => ({ logout_token: ['mine'] }))
      app.addContentTypeParser('*', { parseAs: 'string' }, async () => ({ logout_token: 'mine' }))
      app.setErrorHandler(async (_error, _request, reply) => reply.code(418).type('text/html').send('<h1>teapot</h1>'))
    }
  })
  await browser.login()
  t.equal((await send(app, provider.logoutToken())).statusCode, 200)
  await refuses(t, await send(app, 'noise'))
  await refuses(t, await app.inject({ method: 'POST', url: PATH, ...form('x', 'text/x-mine') }))
})

t.test('onError does not dress what a machine reads', async t => {
  const { app } = await buildApp(t, { auth0: { revocations: {}, onError: (_error, _request, reply) => reply.code(200).send('all is well') } })
  await refuses(t, await send(app, 'noise'))
})

// When something fails

t.test('I22 a store that is away is a 503, so that the provider may try again', async t => {
  const store = new MemoryStore()
  const { app, provider, browser, logs } = await buildApp(t, { auth0: { session: { store } } })
  await browser.login()
  const token = provider.logoutToken()
  const { marks } = store.records
  store.records.marks = async () => { throw new FST_AUTH0_SESSION_UNAVAILABLE() }
  await fails(t, await send(app, token), 503)
  t.match(logs.lines.find(({ level }) => level === 50)?.err, { code: 'FST_AUTH0_SESSION_UNAVAILABLE' })
  store.records.marks = marks
  t.equal((await send(app, token)).statusCode, 200)
  t.same(await whoIs(browser), [null])
})

t.test('I22 keys that cannot be had are a 503 that says when to come again', async t => {
  const { app, provider } = await buildApp(t, { auth0: { revocations: {} } })
  provider.fail('jwks', '503')
  const response = await send(app, provider.logoutToken())
  await fails(t, response, 503)
  t.equal(response.headers['retry-after'], '7')
  provider.fail('jwks', 'html')
  await fails(t, await send(app, provider.logoutToken()), 502)
  provider.heal()
  t.equal((await send(app, provider.logoutToken())).statusCode, 200)
})

t.test('I21 what is no form with a token is refused also while the provider is down', async t => {
  const { app, provider } = await buildApp(t, { auth0: { revocations: {} } })
  provider.failAll('connection refused')
  await refuses(t, await app.inject({ method: 'POST', url: PATH, payload: { logout_token: 'x' } }))
  await fails(t, await send(app, provider.logoutToken()), 503)
})

t.test('a fault of the application\'s own hooks tells nothing, and does not look like a success', async t => {
  for (const [fault, statusCode] of [[new Error('canary'), 500], [Object.assign(new Error('canary'), { statusCode: 200 }), 500], [Object.assign(new Error('canary'), { statusCode: 504 }), 504]] as const) {
    const { app, provider } = await buildApp(t, { auth0: { revocations: {} }, before: app => app.addHook('preHandler', async () => { throw fault }) })
    const response = await send(app, provider.logoutToken())
    await fails(t, response, statusCode)
    t.notMatch(response.body, 'canary')
  }
})

t.test('a logout that takes longer than Fastify\'s handlerTimeout is answered once, and has its effect', async t => {
  const { app, provider, logs } = await buildApp(t, { auth0: { revocations: {} }, fastify: { handlerTimeout: 100 } })
  const gate = new EventEmitter()
  const opened = once(gate, 'open')
  provider.fail('jwks', async ({ honest }) => {
    await opened
    return honest()
  })
  await fails(t, await send(app, provider.logoutToken()), 503)
  gate.emit('open')
  while (!logs.text.includes('the provider logged somebody out')) await sleep(10)
  await sleep(10)
  t.notMatch(logs.text, /already sent|FST_ERR_REP_ALREADY_SENT/i)
})

t.test('promise 8: neither token, sub nor sid is in the log, whatever comes', async t => {
  const { app, provider, logs } = await buildApp(t, { auth0: { session: { store: new MemoryStore() } } })
  const claims = { sub: 'sub-canary', sid: 'sid-canary', jti: 'jti-canary' }
  for (const forgery of [{ claims }, { claims: { ...claims, nonce: 'canary' } }, { claims: { ...claims, iss: 'canary' } }, { claims, header: { typ: 'canary' } }, { claims, header: { crit: ['canary'] } }]) {
    const token = provider.logoutToken(forgery)
    await send(app, token)
    await send(app, token, { url: `${PATH}?logout_token=${token}` })
  }
  t.ok(logs.lines.length > 20)
  t.notMatch(logs.text, /canary/)
  for (const secret of provider.secrets) t.notOk(logs.text.includes(secret))
})

t.test('O9 a body that trickles in is cut off by Fastify\'s own time-out', async t => {
  const impatient = { requestTimeout: 300, http: { headersTimeout: 300, connectionsCheckingInterval: 50 } } // Node looks every 30 seconds
  const { app, provider } = await buildApp(t, { auth0: { revocations: {} }, fastify: impatient })
  const socket = await open(t, app)
  socket.write(`POST ${PATH} HTTP/1.1\r\nHost: app.example.com\r\nContent-Type: ${FORM}\r\nContent-Length: 1000\r\n\r\nlogout_token=`)
  const dripping = setInterval(() => socket.write('x'), 50)
  t.teardown(() => clearInterval(dripping))
  const began = performance.now()
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 408 /)
  t.comment(`cut off after ${Math.round(performance.now() - began)} ms`)
  t.equal((await send(app, provider.logoutToken())).statusCode, 200, 'and others are served')
})

t.test('O9 a body without a length is read up to 16 KB, and no further', async t => {
  const { app } = await buildApp(t, { auth0: { revocations: {} } })
  const socket = await open(t, app)
  const piece = 'x'.repeat(1024)
  socket.write(`POST ${PATH} HTTP/1.1\r\nHost: app.example.com\r\nContent-Type: ${FORM}\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const flow = setInterval(() => socket.write(`400\r\n${piece}\r\n`), 5)
  t.teardown(() => clearInterval(flow))
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 413 /)
  await once(socket, 'close')
  t.ok(socket.bytesWritten < 256 * 1024)
})

/** A refusal as the specification has it. */
async function refuses (t: Test, response: { statusCode: number, headers: Record<string, unknown>, body: string }, statusCode = 400): Promise<void> {
  t.equal(response.statusCode, statusCode)
  t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'no-store' })
  t.match(JSON.parse(response.body), { error: 'invalid_request', error_description: String })
  t.same(Object.keys(JSON.parse(response.body)), ['error', 'error_description'])
  t.notOk('set-cookie' in response.headers)
}

/** What lets the provider try again. */
async function fails (t: Test, response: { statusCode: number, headers: Record<string, unknown>, body: string }, statusCode: number): Promise<void> {
  t.equal(response.statusCode, statusCode)
  t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'no-store' })
  t.same(JSON.parse(response.body), { error: 'server_error', error_description: 'The logout did not happen. Try again' })
  if (statusCode === 503) t.match(response.headers['retry-after'], /^\d+$/)
}

/** Ada in two browsers, Bob in one. */
async function threeBrowsers (t: Test, options: Auth0Options) {
  const { newBrowser, ...built } = await buildApp(t, { auth0: options })
  const [ada, adaElsewhere, bobs] = [newBrowser(), newBrowser(), newBrowser()]
  await ada.login()
  await adaElsewhere.login()
  await bobs.login('/profile', { authorize: { user: bob } })
  return { ...built, ada, adaElsewhere, bobs }
}

/** Who is logged in in these browsers. */
async function whoIs (...browsers: Array<Built['browser']>): Promise<Array<string | null>> {
  return Promise.all(browsers.map(async browser => (await browser.get('/me')).json().user?.sub ?? null))
}

async function open (t: Test, app: FastifyInstance) {
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1').on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

t.test('revokes the refresh tokens of what it ends when that is asked for, and not else (OpenID Connect Back-Channel Logout 1.0 §2.7)', async t => {
  for (const revokeOnBackchannelLogout of [true, false]) {
    const { app, browser, provider } = await buildApp(t, {
      auth0: { session: { store: new MemoryStore() }, revokeOnBackchannelLogout, authorizationParams: { scope: 'openid offline_access' } }
    })
    const withoutRefreshToken = await buildApp(t, { auth0: { session: { store: new MemoryStore() }, revokeOnBackchannelLogout } })
    await browser.login('/login?returnTo=/me')
    await withoutRefreshToken.browser.login('/login?returnTo=/me')
    provider.fail('revocation', 'slow')
    t.equal(await app.auth0.handleBackchannelLogout(provider.logoutToken()), 1, 'without waiting for it')
    t.equal(await withoutRefreshToken.app.auth0.handleBackchannelLogout(withoutRefreshToken.provider.logoutToken()), 1)
    t.notOk((await browser.get('/me')).json().isAuthenticated)
    t.equal(provider.callsTo('revocation').length, revokeOnBackchannelLogout ? 1 : 0)
    t.equal(withoutRefreshToken.provider.callsTo('revocation').length, 0)
  }
})
