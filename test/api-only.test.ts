import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type Auth0Options } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { appBaseUrl, secret } from './helpers/app.ts'
import { DpopClient } from './helpers/dpop-client.ts'
import { Provider } from './helpers/provider.ts'

const CLIENT = { clientId: 'the-client', clientSecret: 'a secret of the client' }

t.test('a server that only takes access tokens needs its provider and its audience, no more', async t => {
  const { call, provider, app, log } = await build(t)
  t.same((await call('/messages', provider.accessToken())).json(), { sub: 'auth0|ada', via: 'bearer' })
  const refused = await call('/messages')
  t.same([refused.statusCode, refused.headers['www-authenticate'], refused.headers['set-cookie']], [401, 'Bearer realm="auth0"', undefined])
  t.equal((await call('/messages', `${provider.accessToken()}x`)).statusCode, 401)
  t.same((await call('/public')).json(), { user: null, session: null, isAuthenticated: false })
  t.match(log.join(''), 'access tokens only')
  t.equal(provider.callsTo('discovery').length, 1, 'asked for by the first token')
  t.same(app.auth0.routes().map(({ url, policy }) => [url, (policy as { via?: string[] } | null)?.via]), [['/messages', ['bearer']], ['/public', undefined]])
})

t.test('a page that navigates there is told what is missing, and is not sent to a login that is none', async t => {
  const { app } = await build(t)
  const response = await app.inject({ url: '/messages', headers: { 'sec-fetch-mode': 'navigate', accept: 'text/html', cookie: 'auth0=x' } })
  t.same([response.statusCode, response.headers.location, response.headers['set-cookie']], [401, undefined, undefined])
  for (const url of ['/login', '/callback', '/logout', '/backchannel-logout']) t.equal((await app.inject(url)).statusCode, 404)
})

t.test('what is about logins says that there are none', async t => {
  const { app } = await build(t)
  const needsClient = { code: 'FST_AUTH0_CLIENT_REQUIRED', message: /Give the plugin "clientId", "clientSecret", "secret" and "appBaseUrl"/ }
  app.get('/try', async (request, reply) => {
    await t.rejects(app.auth0.startInteractiveLogin(request, reply), needsClient)
    await t.rejects(app.auth0.completeInteractiveLogin(request, reply), needsClient)
    await t.rejects(app.auth0.logout(request, reply), needsClient)
    await t.rejects(app.auth0.handleBackchannelLogout('x'), { code: 'FST_AUTH0_STORE_REQUIRED' })
    await t.rejects(app.auth0.sessions.list('auth0|ada', request), { code: 'FST_AUTH0_STORE_REQUIRED' })
    await t.rejects(request.auth0.getAccessToken(), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
    await t.rejects(request.auth0.updateSession({}), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
    return 'tried'
  })
  t.equal((await app.inject('/try')).body, 'tried')
  t.throws(() => app.requireAuth({ via: 'session' }), { code: 'FST_AUTH0_OPTIONS_INVALID', message: /"via" is "session", which needs logins/ })
  t.throws(() => app.requireAuth({ via: ['bearer', 'session'] }), { code: 'FST_AUTH0_OPTIONS_INVALID' })
})

t.test('issuers alone need no configured provider', async t => {
  const { call, provider } = await build(t, { domain: undefined, api: { issuers: [{ domain: 'tenant.example.com', audience: AUDIENCE }] } })
  t.equal((await call('/messages', provider.accessToken())).statusCode, 200)
})

t.test('the environment gives domain and audience', async t => {
  environment(t, { AUTH0_DOMAIN: 'tenant.example.com', AUTH0_AUDIENCE: AUDIENCE })
  const { call, provider } = await build(t, { domain: undefined, api: {} })
  t.equal((await call('/messages', provider.accessToken())).statusCode, 200)
})

// What else is given tells that people are to log in

const signs: Array<[name: string, options: Auth0Options, environment?: Record<string, string>]> = [
  ['clientId', { clientId: CLIENT.clientId }],
  ['clientSecret', { clientSecret: CLIENT.clientSecret }],
  ['secret', { secret }],
  ['AUTH0_SECRET', {}, { AUTH0_SECRET: secret }],
  ['AUTH0_CLIENT_ID', {}, { AUTH0_CLIENT_ID: CLIENT.clientId }],
  ['AUTH0_CLIENT_SECRET', {}, { AUTH0_CLIENT_SECRET: CLIENT.clientSecret }],
  ['AUTH0_REDIRECT_URI', {}, { AUTH0_REDIRECT_URI: `${appBaseUrl}/callback` }],
  ['routes', { routes: {} }],
  ['session', { session: { idleTimeout: 60 } }],
  ['onLogin', { onLogin () {} }],
  ['api.introspection', { api: { audience: AUDIENCE, introspection: true } }]
]
for (const [name, options, variables = {}] of signs) {
  t.test(`with ${name} a client that is missing is told`, async t => {
    environment(t, variables)
    await t.rejects(build(t, options), { code: 'FST_AUTH0_OPTIONS_INVALID', message: /"client(?:Id|Secret)" is missing: .*A server that only takes access tokens needs no option of logins at all|"appBaseUrl" is missing/ })
  })
}

t.test('without option api all of a client is needed', async t => {
  const app = Fastify()
  await t.rejects(async () => app.register(auth0, { domain: 'tenant.example.com' }), { message: /"clientId" is missing: give the "Client ID" of the application at the provider, as option or in AUTH0_CLIENT_ID\n/ })
})

t.test('without a domain it is asked for', async t => {
  await t.rejects(build(t, { domain: undefined }), { message: /"domain" is missing/ })
})

// Proofs of possession

t.test('tokens that are bound to a key need an address that their proofs can name', async t => {
  const client = new DpopClient()
  const unnamed = await build(t)
  t.equal((await unnamed.bound(client, 'https://app.example.com/messages')).statusCode, 401, 'none is given, none can be verified')
  for (const options of [{ appBaseUrl }, { api: { audience: AUDIENCE, resource: 'https://app.example.com/' } }]) {
    const { bound } = await build(t, options)
    t.equal((await bound(client, 'https://app.example.com/messages')).statusCode, 200)
  }
  for (const dpop of ['allowed', 'required'] as const) {
    await t.rejects(build(t, { api: { audience: AUDIENCE, dpop } }), { message: /"api\.dpop" needs the address that clients call: give "api\.resource" or "appBaseUrl"/ })
  }
  await build(t, { api: { audience: AUDIENCE, dpop: 'off' } })
})

t.test('nonces need a secret, which tells of no login then', async t => {
  const { bound } = await build(t, { appBaseUrl, secret, api: { audience: AUDIENCE, dpopNonce: true } })
  t.match((await bound(new DpopClient(), 'https://app.example.com/messages')).headers['www-authenticate'], 'use_dpop_nonce')
  await t.rejects(build(t, { appBaseUrl, api: { audience: AUDIENCE, dpopNonce: true } }), { message: /"secret" is missing/ })
})

t.test('K7 a proof is good once, also where nobody logs in', async t => {
  const { provider, call } = await build(t, { appBaseUrl, revocations: {} })
  const client = new DpopClient()
  const accessToken = client.accessToken(provider)
  const proof = client.proof({ url: 'https://app.example.com/messages', accessToken })
  const statuses = [await call('/messages', accessToken, proof), await call('/messages', accessToken, proof)].map(({ statusCode }) => statusCode)
  t.same(statuses, [200, 401])
})

// Beside others

t.test('it stands beside an instance where people log in', async t => {
  const { app, provider, call } = await build(t)
  await app.register(auth0, { name: 'staff', domain: 'tenant.example.com', ...CLIENT, secret, appBaseUrl, fetch: provider.fetch })
  const staff = (app as unknown as { staff: FastifyInstance['auth0'] }).staff
  app.get('/profile', { preHandler: staff.requireAuth() }, async () => 'profile')
  t.equal((await app.inject({ url: '/profile', headers: { accept: 'text/html', 'sec-fetch-mode': 'navigate' } })).statusCode, 302)
  t.equal((await call('/messages', provider.accessToken())).statusCode, 200)
})

/** Sets variables until the test ends. */
function environment (t: Test, variables: Record<string, string>): void {
  Object.assign(process.env, variables)
  t.teardown(() => { for (const name of Object.keys(variables)) delete process.env[name] })
}

async function build (t: Test, options: Auth0Options = {}) {
  const provider = new Provider()
  const log: string[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write: line => { log.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(auth0, { domain: 'tenant.example.com', fetch: provider.fetch, api: { audience: AUDIENCE }, ...options })
  app.get('/messages', { preHandler: app.requireAuth() }, async ({ auth0: { user, via } }) => ({ sub: user?.sub, via }))
  app.get('/public', async ({ auth0: { user, session, isAuthenticated } }) => ({ user, session, isAuthenticated }))

  const call = (url: string, token?: string, dpop?: string) => app.inject({
    url, headers: { ...token !== undefined && { authorization: `${dpop === undefined ? 'Bearer' : 'DPoP'} ${token}` }, ...dpop !== undefined && { dpop } }
  })
  const bound = async (client: DpopClient, url: string) => {
    const accessToken = client.accessToken(provider)
    return call(new URL(url).pathname, accessToken, client.proof({ url, accessToken }))
  }
  return { app, provider, log, call, bound }
}
