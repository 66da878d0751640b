import t, { type Test } from 'tap'
import type { ApiOptions, Auth0Options } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { Browser } from './helpers/browser.ts'
import { DpopClient } from './helpers/dpop-client.ts'
import { startExample } from './helpers/example.ts'
import type { Json } from './helpers/id-tokens.ts'
import { Provider } from './helpers/provider.ts'
import type { Fault } from './helpers/provider-faults.ts'
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
  'of a number': { sub: 7 }
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
  for (const [json, sub] of [[{ iss: undefined, exp: undefined }, 'auth0|ada'], [{ sub: undefined }, 'client-id'], [{ aud: ['https://x', AUDIENCE] }, 'auth0|ada']] as const) {
    const { call, token, provider } = await build(t)
    provider.failNext('introspection', { json })
    t.match((await call(await token())).json(), { sub })
  }
})

const failing: Fault[] = ['503', 'connection reset', 'html', { json: { active: 'yes' } }, says('invalid_client', 401), says('invalid_grant')]
for (const fault of failing) {
  t.test(`J16 nobody is refused nor let in while the provider cannot be asked: ${typeof fault === 'string' ? fault : 'nonsense'}`, async t => {
    const { call, token, provider } = await build(t)
    provider.fail('introspection', fault)
    const response = await call(await token())
    t.equal(response.statusCode, 503)
    t.match(response.headers, { 'retry-after': /^\d+$/ })
    provider.heal()
    t.equal((await call(await token())).statusCode, 200)
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
async function build (t: Test, api: Partial<ApiOptions> = {}, { metadata = {} }: { metadata?: Json } = {}) {
  const provider = new Provider({ metadata })
  const site = await buildTokenSite(t, {
    isFrozen: true,
    provider,
    auth0: { authorizationParams: { scope: 'openid offline_access', audience: AUDIENCE }, api: { audience: AUDIENCE, introspection: true, ...api } },
    routes: app => {
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, async ({ auth0: { via, user, scopes } }) => ({ via, sub: user?.sub, scopes }))
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
