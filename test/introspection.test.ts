import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createIntrospectedTokens } from '../lib/api/introspected-tokens.ts'
import type { ApiOptions, Auth0Options } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { Browser } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'
import { DpopClient } from './helpers/dpop-client.ts'
import { startExample } from './helpers/example.ts'
import type { Json } from './helpers/id-tokens.ts'
import { Provider } from './helpers/provider.ts'
import type { Fault } from './helpers/provider-faults.ts'
import type { Introspected } from '../lib/provider/introspection.ts'
import { buildTokenSite, LIFETIME, says } from './helpers/token-site.ts'

// Access tokens that tell nothing themselves (RFC 7662). The provider in memory gives such ones.

const INVALID = 'Bearer realm="auth0", error="invalid_token", error_description="The access token is not valid"'

t.test('J16 the provider is asked what an opaque token is good for, as the client that we are', async t => {
  const { call, token, provider } = await build(t)
  const response = await call(await token())
  t.same(response.json(), { via: 'bearer', sub: 'auth0|ada', scopes: ['openid', 'offline_access'] })
  t.match(Object.fromEntries(provider.callsTo('introspection')[0]!.params), { client_id: provider.clientId, client_secret: provider.clientSecret, token: await token() })
})

t.test('J16 an answer counts for half a minute, and no longer than the token', async t => {
  const { call, token, provider, clock } = await build(t)
  const accessToken = await token()
  const ask = async (count: number) => {
    const codes = (await Promise.all(Array.from({ length: 20 }, () => call(accessToken)))).map(({ statusCode }) => statusCode)
    t.equal(provider.callsTo('introspection').length, count)
    return new Set(codes)
  }
  t.same(await ask(1), new Set([200]), 'one question, however many wait')
  clock.advance(29)
  t.same(await ask(1), new Set([200]))
  clock.advance(1)
  t.same(await ask(2), new Set([200]))
  clock.advance(LIFETIME - 31)
  t.same(await ask(3), new Set([200]), 'a second before its end')
  clock.advance(1)
  t.same(await ask(4), new Set([401]))
  t.same(await ask(4), new Set([401]), 'a no counts as long')
})

t.test('J16 without the cache every request asks', async t => {
  const { call, token, provider } = await build(t, { cache: false })
  const accessToken = await token()
  for (const count of [1, 2]) {
    t.equal((await call(accessToken)).statusCode, 200)
    t.equal(provider.callsTo('introspection').length, count)
  }
})

const seconds = () => Math.floor(Date.now() / 1000)
const refused: Record<string, Json> = {
  'not active': { active: false },
  'for another API': { aud: 'https://other.example.com' },
  'for an API whose name begins like ours': { aud: `${AUDIENCE}/v2` },
  'for no API': { aud: undefined },
  'of another issuer': { iss: 'https://other.example.com/' },
  over: { exp: seconds() - 1 },
  'over at a time that is text': { exp: String(seconds() + 60) },
  'not begun': { nbf: seconds() + 60 },
  "nobody's": { sub: undefined, client_id: undefined },
  'of somebody without a name': { sub: '' },
  'of a number': { sub: 7 },
  'of somebody whose name is too long': { sub: 's'.repeat(256) },
  'good beyond all times': { exp: 1e15 },
  'begun at a time that is text': { nbf: '1' },
  'an ID token, by "token_use"': { token_use: 'id' },
  'a refresh token, by "token_use"': { token_use: 'refresh_token' },
  'a token for another use': { token_use: 'device' },
  'a refresh token, by "token_type"': { token_type: 'refresh_token' },
  'of a type that is no text': { token_type: 7 },
  'a refresh token, by "typ"': { typ: 'Refresh' },
  'an ID token, by "typ"': { typ: 'ID' },
  'a logout token, by "typ"': { typ: 'logout+jwt' },
  'of a "typ" that is no text': { typ: ['Bearer'] },
  'an ID token, by "nonce"': { nonce: 'n' },
  'an ID token, by "at_hash"': { at_hash: 'h' },
  'a logout token, by "events"': { events: {} },
  'bound to a key, and not to which': { token_type: 'DPoP' },
  'bound to a key, by "typ", and not to which': { typ: 'dpop' },
  'bound to a certificate, and as if to a key': { token_type: 'dpop', cnf: { 'x5t#S256': 'x' } }
}
for (const [name, json] of Object.entries(refused)) {
  t.test(`J16 a token that the provider says is ${name} is refused`, async t => {
    const { call, token, provider } = await build(t)
    provider.failNext('introspection', { json })
    const response = await call(await token())
    t.same([response.statusCode, response.headers['www-authenticate']], [401, INVALID])
  })
}

t.test('J16 what the provider may leave out, or say otherwise', async t => {
  const answers: Json[] = [
    { iss: undefined, exp: undefined }, { sub: undefined }, { aud: ['https://x', AUDIENCE] }, { sub: 's'.repeat(255) }, { token_use: 'access_token' }, { token_use: 'access' },
    { token_type: undefined }, { token_type: 'bearer' }, { typ: 'Bearer' }, { typ: 'JWT' }, { typ: 'AT+JWT' }
  ]
  for (const json of answers) {
    const sub = 'sub' in json ? json.sub ?? 'client-id' : 'auth0|ada'
    const { call, token, provider } = await build(t)
    provider.failNext('introspection', { json })
    t.match((await call(await token())).json(), { sub })
  }
})

const failing: Fault[] = ['503', 'connection reset', 'html', { json: { active: 'yes' } }, says('invalid_client', 401), says('invalid_grant')]
for (const fault of failing) {
  t.test(`J16 nobody is refused nor let in while the provider cannot be asked: ${typeof fault === 'string' ? fault : 'nonsense'}`, async t => {
    const { call, token, provider, clock } = await build(t)
    const accessToken = await token()
    provider.fail('introspection', fault)
    for (const request of ['one', 'another']) {
      const { statusCode, headers, ...response } = await call(accessToken)
      t.equal(statusCode, 503, request)
      t.equal(response.json().code, 'FST_AUTH0_PROVIDER_UNAVAILABLE')
      t.match(headers, { 'retry-after': /^\d+$/ })
    }
    t.equal(provider.callsTo('introspection').length, 1, 'nor is it asked again at once')
    provider.heal()
    clock.advance(7)
    t.equal((await call(accessToken)).statusCode, 200)
  })
}

t.test('J16 a provider without the endpoint', async t => {
  const { call, token, logs } = await build(t, {}, { metadata: { introspection_endpoint: undefined } })
  t.equal((await call(await token())).statusCode, 503)
  t.match(logs.text, 'the metadata lack \\"introspection_endpoint\\"')
})

t.test('a JWT is verified here, and an opaque one refused where introspection is off; one that is too long goes nowhere', async t => {
  const { call, provider } = await build(t)
  t.equal((await call(provider.accessToken())).statusCode, 200)
  t.equal((await call('x'.repeat(17_000))).statusCode, 401)
  t.equal(provider.callsTo('introspection').length, 0)
  const off = await build(t, { introspection: false })
  t.equal((await off.call(await off.token())).statusCode, 401)
  t.equal(off.provider.callsTo('introspection').length, 0)
})

t.test('J16 a token that is to begin in a moment is taken as a JWT is, and refused no longer than until then', async t => {
  const { call, token, provider, clock } = await build(t)
  const accessToken = await token()
  provider.fail('introspection', { json: { nbf: clock.now() + 31 } })
  for (const count of [1, 1]) {
    t.equal((await call(accessToken)).statusCode, 401, 'a second more than clocks may differ')
    t.equal(provider.callsTo('introspection').length, count)
  }
  clock.advance(1)
  t.equal((await call(accessToken)).statusCode, 200)
  const late = await build(t)
  late.provider.fail('introspection', { json: { nbf: late.clock.now() + 3600 } })
  const other = await late.token()
  for (const count of [1, 2]) {
    t.equal((await late.call(other)).statusCode, 401)
    t.equal(late.provider.callsTo('introspection').length, count, 'a no counts for half a minute at most')
    late.clock.advance(30)
  }
})

t.test('J16 the log has the reason of a refusal', async t => {
  const { call, token, provider, logs } = await build(t)
  provider.failNext('introspection', { json: { aud: 'https://other.example.com' } })
  for (const [accessToken, reason] of [[await token(), '"aud" is another'], ['made-up', 'the provider says that it is not active']] as const) {
    await call(accessToken)
    t.match(logs.lines.findLast(({ err }) => err)?.err?.message, reason)
  }
})

// Secrets that are none of the provider's

t.test('J16 a token goes to the provider only where a guard is to be expected', async t => {
  const { app, provider, token } = await build(t, {}, {
    routes: app => {
      app.get('/metrics', { config: { auth0: 'custom' } }, async ({ auth0: { user, via, isAuthenticated, scopes } }) => ({ user, via, isAuthenticated, scopes }))
      app.get('/health', { config: { auth0: 'public' } }, async ({ auth0: { user } }) => ({ user }))
      app.get('/missing', async (_request, reply) => reply.callNotFound())
    }
  })
  const jwt = provider.accessToken()
  const call = (url: string, accessToken: string) => app.inject({ url, headers: { authorization: `Bearer ${accessToken}` } })
  for (const accessToken of ['secret-of-the-scraper', await token()]) {
    t.same((await call('/metrics', accessToken)).json(), { user: null, via: null, isAuthenticated: false, scopes: [] })
    t.same((await call('/health', accessToken)).json(), { user: null })
    for (const url of ['/nowhere', '/login', '/callback', '/logout', '/favicon.ico']) await call(url, accessToken)
  }
  t.same(provider.callsTo('introspection'), [])
  t.equal((await call('/health', jwt)).json().user.sub, 'auth0|ada', 'a JWT is looked at here')
  t.equal((await call('/open', await token())).json(), 'auth0|ada', 'where nobody said, a handler is told')
  t.equal(provider.callsTo('introspection').length, 1)
})

t.test('J16 a guard all the same asks there, once', async t => {
  const client = new DpopClient()
  const { app, provider, token } = await build(t, {}, {
    routes: app => {
      const guard = app.requireAuth({ via: 'bearer' })
      app.addHook('preHandler', async (request, reply) => { if (request.url.startsWith('/by-hand')) await Promise.all([guard(request, reply), guard(request, reply)]) })
      for (const stated of ['public', 'custom'] as const) {
        app.get(`/guarded/${stated}`, { config: { auth0: stated }, onRequest: app.requireAuth, preHandler: guard }, async ({ auth0: { user } }) => user?.sub)
        app.get(`/pages/${stated}`, { config: { auth0: stated }, preHandler: app.requireAuth({ via: 'session' }) }, async () => 'in')
        app.get(`/by-hand/${stated}`, { config: { auth0: stated } }, async ({ auth0: { user } }) => user?.sub)
      }
      app.setNotFoundHandler({ preHandler: guard }, async ({ auth0: { user } }) => user?.sub)
    }
  })
  const accessToken = await token()
  const send = (url: string, headers: Record<string, string>) => app.inject({ url, headers })
  const authorization = `Bearer ${accessToken}`
  for (const url of ['/pages/public', '/pages/custom']) t.equal((await send(url, { authorization })).statusCode, 401)
  t.equal(provider.callsTo('introspection').length, 0, 'not one who takes no tokens')
  for (const url of ['/guarded/public', '/guarded/custom', '/by-hand/public', '/nowhere']) {
    t.equal((await send(url, { authorization })).body, 'auth0|ada', url)
    const response = await send(url, { authorization: `Bearer ${url.slice(1).replaceAll('/', '-')}` })
    t.same([response.statusCode, response.headers['www-authenticate']], [401, INVALID], url)
  }
  t.equal(provider.callsTo('introspection').length, 5)
  provider.fail('introspection', { json: { active: true, aud: AUDIENCE, sub: 'auth0|ada', token_type: 'DPoP', cnf: { jkt: client.thumbprint } } })
  for (const url of ['/guarded/custom', '/by-hand/custom']) {
    const bound = `bound${url.replaceAll('/', '-')}`
    const dpop = client.proof({ url: `https://app.example.com${url}`, accessToken: bound })
    t.equal((await send(url, { authorization: `DPoP ${bound}`, dpop })).body, 'auth0|ada', 'a proof that is good once is looked at once')
  }
})

t.test('J16 where nobody said who may, all is known before a guard is asked: one that was not waited for lets nobody in', async t => {
  const { app } = await build(t, {}, {
    routes: app => {
      const guard = app.requireAuth({ via: 'bearer' })
      app.get('/careless', { preHandler: async (request, reply) => { guard(request, reply) } }, async () => 'in')
    }
  })
  t.equal((await app.inject({ url: '/careless', headers: { authorization: 'Bearer made-up' } })).statusCode, 401)
})

// Floods

t.test('O6 of made-up tokens fifty are asked about at once, and the others are told to come again; good ones go on', async t => {
  const { call, token, provider } = await build(t)
  const good = await token()
  t.equal((await call(good)).statusCode, 200)
  let letGo = () => {}
  const held = new Promise<void>(resolve => { letGo = resolve })
  provider.fail('introspection', async ({ honest }) => {
    await held
    return honest()
  })
  let refusals = 0
  let tell = () => {}
  const refused = new Promise<void>(resolve => { tell = resolve })
  const flood = Promise.all(Array.from({ length: 80 }, async (_, number) => {
    const { statusCode, headers, ...response } = await call(`made-up-${number}`)
    if (statusCode === 503 && ++refusals === 30) tell()
    return [statusCode, response.json().code, headers['retry-after']].join(' ')
  }))
  await refused // while no question has its answer
  const joined = call('made-up-0')
  t.equal((await call(good)).statusCode, 200)
  letGo()
  const answers = await flood
  t.equal(answers.filter(answer => answer === '401 FST_AUTH0_ACCESS_TOKEN_INVALID ').length, 50)
  t.equal(answers.filter(answer => answer === '503 FST_AUTH0_PROVIDER_UNAVAILABLE 1').length, 30)
  t.equal((await joined).statusCode, 401, 'who asks what is asked already waits for that')
  t.equal((await call('made-up-79')).statusCode, 401, 'and then it goes on')
  t.equal(provider.callsTo('introspection').length, 52)
})

t.test('O6 a provider that asks not to be asked is not, whoever comes; what is known goes on (RFC 9110 §10.2.3)', async t => {
  const { call, token, provider, clock } = await build(t)
  const good = await token()
  t.equal((await call(good)).statusCode, 200)
  for (const fault of ['429', '503'] as const) {
    provider.failNext('introspection', fault)
    t.match(await call(`first-${fault}`), { statusCode: 503, headers: { 'retry-after': '7' } })
    clock.advance(3)
    t.match(await call(`second-${fault}`), { statusCode: 503, headers: { 'retry-after': '4' } })
    t.equal((await call(good)).statusCode, 200)
    clock.advance(4)
    t.equal((await call(`second-${fault}`)).statusCode, 401)
  }
  t.equal(provider.callsTo('introspection').length, 5)
})

t.test('O6 an outage that does not say for how long pauses nobody but the token that met it', async t => {
  const { call, token, provider } = await build(t)
  provider.failNext('introspection', '500')
  t.equal((await call('made-up')).statusCode, 503)
  t.equal((await call(await token())).statusCode, 200)
})

t.test('O6 O7 made-up tokens push no good ones out of the memory, and both kinds have a bound', async t => {
  const asked: string[] = []
  const answers = async (token: string): Promise<{ issuer: string, claims: Introspected } | null> => {
    asked.push(token)
    return token.startsWith('good') ? { issuer: 'https://tenant.example.com/', claims: { aud: AUDIENCE, sub: 'ada' } } : null
  }
  const clock = travelInTime(t, { isFrozen: true })
  const introspect = createIntrospectedTokens({ audiences: [AUDIENCE], isCached: true, clockTolerance: 0 }, { introspect: answers })
  const verdict = (token: string) => introspect(token).then(() => true, () => false)
  const timesAsked = async (token: string) => {
    asked.length = 0
    await verdict(token)
    return asked.length
  }
  t.ok(await verdict('good'))
  for (let number = 0; number <= 5000; number++) t.notOk(await verdict(`made-up-${number}`))
  t.equal(await timesAsked('good'), 0)
  t.equal(await timesAsked('made-up-5000'), 0)
  t.equal(await timesAsked('made-up-0'), 1)
  for (let number = 1; number < 5000; number++) await verdict(`good-${number}`)
  t.equal(await timesAsked('good'), 0, 'the one that was used least lately goes')
  await verdict('good-5000')
  t.equal(await timesAsked('good-1'), 1)
  clock.advance(30)
  t.equal(await timesAsked('good'), 1)
})

t.test('K1 a bound token needs its proof, whoever tells of it', async t => {
  const { call, token, send, provider } = await build(t)
  const client = new DpopClient()
  provider.fail('introspection', { json: { cnf: { jkt: client.thumbprint } } })
  const accessToken = await token()
  t.equal((await call(accessToken)).statusCode, 401)
  const dpop = client.proof({ url: 'https://app.example.com/api', accessToken })
  t.equal((await send({ authorization: `DPoP ${accessToken}`, dpop })).statusCode, 200)
})

t.test('oidc-provider tells of its opaque tokens, until they are over', async t => {
  const auth0: Auth0Options = { authorizationParams: { audience: AUDIENCE, scope: 'openid read:log' }, api: { audience: AUDIENCE, introspection: true } }
  const { url } = await startExample(t, {
    auth0,
    tenant: { api: { audience: AUDIENCE, scope: 'read:log', lifetime: 60, isOpaque: true } },
    routes: app => {
      app.get('/token', async request => request.auth0.getAccessToken())
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer', scopes: 'read:log' }) }, async ({ auth0: { user, scopes } }) => ({ sub: user?.sub, scopes }))
    }
  })
  const browser = new Browser({ baseUrl: url })
  await browser.submit((await browser.navigate('/login')).url, { person: 'amara' })
  const token = (await browser.get('/token')).body
  t.notMatch(token, /\./)
  const ask = async (token: string) => fetch(`${url}/api`, { headers: { authorization: `Bearer ${token}` } })
  t.match(await (await ask(token)).json(), { sub: /amara/, scopes: ['read:log'] })
  t.equal((await ask(`${token}x`)).status, 401)
})

/** An API whose tokens the provider in memory gave to somebody who logged in. */
async function build (t: Test, api: Partial<ApiOptions> = {}, { metadata = {}, routes }: { metadata?: Json, routes?: (app: FastifyInstance) => void } = {}) {
  const provider = new Provider({ metadata })
  const site = await buildTokenSite(t, {
    isFrozen: true,
    provider,
    auth0: { httpTimeout: 60_000, authorizationParams: { scope: 'openid offline_access', audience: AUDIENCE }, api: { audience: AUDIENCE, introspection: true, ...api } },
    routes: app => {
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, async ({ auth0: { via, user, scopes } }) => ({ via, sub: user?.sub, scopes }))
      app.get('/open', async ({ auth0: { user } }) => JSON.stringify(user?.sub))
      routes?.(app)
    }
  })
  const send = (headers: Record<string, string>) => site.app.inject({ url: '/api', headers })
  return {
    ...site,
    provider,
    send,
    token: async () => (await site.ask()).json().accessToken as string,
    call: (accessToken: string) => send({ authorization: `Bearer ${accessToken}` })
  }
}
