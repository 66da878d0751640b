import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { FST_AUTH0_OPTIONS_INVALID, type Auth0, type Auth0Options, type RequestAuth0 } from '../lib/index.ts'
import { appBaseUrl, secret } from './helpers/app.ts'
import { Browser } from './helpers/browser.ts'
import { Provider } from './helpers/provider.ts'

declare module 'fastify' {
  interface FastifyInstance { staff: Auth0 }
  interface FastifyRequest { staff: RequestAuth0 }
}

t.test('two instances log people in side by side', async t => {
  const { customer, employee } = await buildBoth(t)
  t.equal((await customer.login('/profile')).body, 'Ada Lovelace')
  t.equal((await employee.login('/staff/rota')).body, 'Grace Hopper')
  t.same(employee.cookieNames(), ['__Host-staff'])
})

t.test('each guard sends people to its own login', async t => {
  const { customer } = await buildBoth(t)
  t.equal((await customer.get('/profile')).location?.pathname, '/login')
  t.equal((await customer.get('/staff/rota')).location?.pathname, '/staff/login')
})

t.test('one browser may be logged in to both, and log out of one', async t => {
  const { app, provider, others } = await buildBoth(t)
  const browser = new Browser({ baseUrl: appBaseUrl, app, provider })
  const one = await browser.leave('/login')
  const { location } = await browser.get('/staff/login')
  const two = others.authorize(location!)
  t.equal((await browser.comeBack(one)).statusCode, 303)
  t.equal((await browser.get(two.url, { site: 'cross-site' })).statusCode, 303)
  t.same((await browser.get('/both')).json(), ['Ada Lovelace', 'Grace Hopper'])
  await browser.post('/staff/logout')
  t.same((await browser.get('/both')).json(), ['Ada Lovelace', null])
  await browser.post('/logout')
  t.same(browser.cookieNames(), [])
})

t.test('G12 a cookie of one never opens in the other, though they have the same secret', async t => {
  const { customer, app, provider, others } = await buildBoth(t)
  await customer.login('/profile')
  const sealed = customer.cookie('__Host-auth0')
  t.equal((await inject('/staff/rota', `__Host-staff=${sealed}`)).statusCode, 401)
  t.equal((await inject('/profile', `__Host-auth0=${sealed}`)).statusCode, 200, 'it opens where it belongs')

  const { location, setCookies } = await customer.get('/login')
  const [pair = ''] = setCookies[0]?.split(';') ?? []
  const renamed = pair.replace('__Host-auth0.', '__Host-staff.')
  const { search } = provider.authorize(location!).url
  t.equal((await inject(`/staff/callback${search}`, renamed)).statusCode, 400, 'nor does a login that is under way')
  t.same(others.callsTo('token'), [])

  async function inject (url: string, cookie: string) {
    return app.inject({ url, headers: { cookie, 'x-forwarded-proto': 'https' } })
  }
})

t.test('G12 nor does one of the same name, for another client or another provider', async t => {
  const { app, provider } = await build(t, {})
  const browser = new Browser({ baseUrl: appBaseUrl, app, provider })
  await browser.login('/profile')
  const cookie = `__Host-auth0=${browser.cookie('__Host-auth0')}`
  const same = await build(t, {})
  t.equal((await same.app.inject({ url: '/profile', headers: { cookie } })).statusCode, 200, 'another process with the same options opens it')
  for (const options of [{ clientId: 'another-client' }, { domain: 'other.example.com' }, { domain: undefined, issuer: 'https://tenant.example.com/realm' }, { secret: secret.toUpperCase() }]) {
    const { app } = await build(t, options)
    t.equal((await app.inject({ url: '/profile', headers: { cookie } })).statusCode, 401, JSON.stringify(options))
  }
})

t.test('only the one named auth0 sets app.requireAuth', async t => {
  const { app } = await build(t, { name: 'staff' })
  t.notOk('requireAuth' in app)
  t.notOk('auth0' in app)
  t.equal(typeof app.staff.requireAuth, 'function')
  t.equal((await app.inject('/profile')).statusCode, 401)
  const { app: both } = await buildBoth(t)
  t.equal(both.requireAuth, both.auth0.requireAuth)
})

t.test('it adds three names to Fastify, and no more', async t => {
  const bare = await namesIn(t, async () => {})
  const names = await namesIn(t, async app => { await app.register(auth0, of(new Provider())) })
  t.same(names.app.filter(name => !bare.app.includes(name)), ['auth0', 'requireAuth'])
  t.same(names.request.filter(name => !bare.request.includes(name)), ['auth0'])
  t.same(names.reply.filter(name => !bare.reply.includes(name)), [])
})

const taken: Array<[name: string, text: RegExp]> = [
  ['auth0', /"name": "auth0" is taken/], ['log', /"name": "log" is taken/], ['requireAuth', /"name": "requireAuth" is taken/], ['body', /"name": "body" is taken/], ['session', /"name": "session" is taken/],
  ['own', /"name": "own" is taken/], ['constructor', /"name": "constructor" is taken/], ['headers', /"name": "headers" is taken/]
]
for (const [name, message] of taken) {
  t.test(`a second instance cannot have the name ${name}, which is in use`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.decorate('own', {})
    app.decorateRequest('session', null as never)
    await app.register(auth0, of(new Provider()))
    await t.rejects(async () => app.register(auth0, { ...of(new Provider()), name, prefix: '/second', session: { cookie: { name: 'second' } } }), { code: 'FST_AUTH0_OPTIONS_INVALID', message })
  })
}

const clashes: Array<[name: string, options: Auth0Options]> = [
  ['for another client', { clientId: 'another-client' }], ['at another provider', { domain: 'other.example.com' }], ['with another secret', { secret: secret.toUpperCase() }],
  ['under another name', { name: 'staff', session: { cookie: { name: 'auth0' } } }], ['with one of its hosts', { clientId: 'b', appBaseUrl: ['https://b.example.com', 'https://app.example.com:8443'] }]
]
for (const [name, options] of clashes) {
  t.test(`contexts beside each other cannot use one cookie ${name}: they would log people out of each other`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(async left => { await left.register(auth0, of(new Provider())) }, { prefix: '/left' })
    const right = async () => app.register(async right => { await right.register(auth0, { ...of(new Provider()), ...options }) }, { prefix: '/right' })
    await t.rejects(right, { message: /"session.cookie.name": another instance on this server has the cookie "__Host-auth0"/ })
    await t.rejects(right, FST_AUTH0_OPTIONS_INVALID)
  })
}

const peaceful: Array<[name: string, options: Auth0Options]> = [
  ['with names', { name: 'staff', clientId: 'another-client' }], ['with cookies of different names', { clientId: 'b', session: { cookie: { name: 'b' } } }],
  ['on different hosts', { clientId: 'b', appBaseUrl: 'https://b.example.com' }], ['with the same options', {}]
]
for (const [name, options] of peaceful) {
  t.test(`contexts beside each other get along ${name}`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(async left => { await left.register(auth0, of(new Provider())) }, { prefix: '/left' })
    await app.register(async right => { await right.register(auth0, { ...of(new Provider()), ...options }) }, { prefix: '/right' })
    await app.ready()
  })
}

/** Customers log in at one provider, employees at another. */
async function buildBoth (t: Test) {
  const { app, provider } = await build(t, {})
  const others = new Provider({ issuer: 'https://staff.example.com/', clientId: 'staff-client', user: { sub: 'grace', name: 'Grace Hopper' } })
  await app.register(auth0, { ...of(others), domain: undefined, issuer: others.issuer, name: 'staff', prefix: '/staff' })
  app.get('/staff/rota', { preHandler: app.staff.requireAuth }, async request => request.staff.user?.name)
  app.get('/both', async request => [request.auth0.user?.name ?? null, request.staff.user?.name ?? null])
  const customer = new Browser({ baseUrl: appBaseUrl, app, provider })
  const employee = new Browser({ baseUrl: appBaseUrl, app, provider: others })
  return { app, provider, others, customer, employee }
}

async function build (t: Test, options: Auth0Options) {
  const app = Fastify({ trustProxy: true })
  t.teardown(() => app.close())
  const provider = new Provider()
  await app.register(auth0, { ...of(provider), ...options })
  const name = options.name === 'staff' ? 'staff' : 'auth0'
  app.get('/profile', { preHandler: app[name].requireAuth }, async request => request[name].user?.name)
  return { app, provider }
}

/** Every name that an application finds on what Fastify gives it. */
async function namesIn (t: Test, prepare: (app: FastifyInstance) => Promise<void>) {
  const app = Fastify()
  t.teardown(() => app.close())
  await prepare(app)
  let names = { app: namesOf(app), request: [] as string[], reply: [] as string[] }
  app.get('/', async (request, reply) => { names = { ...names, request: namesOf(request), reply: namesOf(reply) } })
  await app.inject('/')
  return names
}

function namesOf (value: object | null): string[] {
  return value === null ? [] : [...Object.getOwnPropertyNames(value), ...namesOf(Object.getPrototypeOf(value))]
}

function of (provider: Provider): Auth0Options {
  return { domain: 'tenant.example.com', clientId: provider.clientId, clientSecret: provider.clientSecret, secret, appBaseUrl, fetch: provider.fetch }
}
