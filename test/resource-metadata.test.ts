import Fastify from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type ApiOptions, type Auth0Options } from '../lib/index.ts'
import { PROOF_ALGORITHMS } from '../lib/verify/dpop-proof.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { appBaseUrl, buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { Provider } from './helpers/provider.ts'

const GENERAL = '/.well-known/oauth-protected-resource'

const resources: Array<[resource: string, own: string]> = [
  ['https://api.example.com', GENERAL],
  ['https://api.example.com/', GENERAL],
  ['https://api.example.com:8443', GENERAL],
  ['https://api.example.com/mcp', `${GENERAL}/mcp`],
  ['https://api.example.com/mcp/', `${GENERAL}/mcp/`],
  ['https://api.example.com/v1/messages', `${GENERAL}/v1/messages`],
  ['http://localhost:3000/mcp', `${GENERAL}/mcp`]
]
for (const [resource, own] of resources) {
  t.test(`J19 ${resource} is told of at ${own} (RFC 9728 §3)`, async t => {
    const { get, app } = await build(t, { resource })
    for (const path of new Set([own, GENERAL])) {
      const response = await get(path)
      t.equal(response.statusCode, 200)
      t.match(response.headers['content-type'], 'application/json')
      t.same(response.json(), { resource, authorization_servers: ['https://tenant.example.com/'], bearer_methods_supported: ['header'] }, 'the resource character by character (§3.3)')
      t.equal((await app.inject({ method: 'HEAD', url: path })).statusCode, 200)
    }
    const challenge = (await get('/api')).headers['www-authenticate']
    t.equal(challenge, `Bearer realm="${resource}", resource_metadata="${new URL(resource).origin}${own}"`, 'and a challenge leads there (§5.1)')
    t.equal((await get(`${GENERAL}/other`)).statusCode, 404)
  })
}

t.test('J19 every challenge leads there, also with an error', async t => {
  const { get, provider } = await build(t, { resource: 'https://api.example.com/mcp' })
  const [path, end] = ['realm="https://api.example.com/mcp"', `resource_metadata="https://api.example.com${GENERAL}/mcp"`]
  t.equal((await get('/api', 'x')).headers['www-authenticate'], `Bearer ${path}, error="invalid_token", error_description="The access token is not valid", ${end}`)
  t.equal((await get('/write', provider.accessToken())).headers['www-authenticate'], `Bearer ${path}, error="insufficient_scope", error_description="This resource needs the scope 'write'", scope="write", ${end}`)
  t.equal((await get('/either')).headers['www-authenticate'], `Bearer ${path}, ${end}`)
})

t.test('J19 the document tells the scopes and the proofs that there are', async t => {
  const { get } = await build(t, { resource: 'https://api.example.com', scopesSupported: ['read', 'write'], dpop: 'required' })
  t.same((await get(GENERAL)).json(), {
    resource: 'https://api.example.com',
    authorization_servers: ['https://tenant.example.com/'],
    scopes_supported: ['read', 'write'],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    dpop_bound_access_tokens_required: true
  })
})

t.test('J19 the issuers are those of whom a token can be had, in their own spelling', async t => {
  const realm = new Provider({ issuer: 'https://id.example.com' })
  const own = new Provider()
  const fetch: typeof globalThis.fetch = (input, init) => (String(input).startsWith(realm.issuer) ? realm : own).fetch(input, init)
  const issuers = [{ issuer: 'https://id.example.com/' }, { issuer: 'jobs', secret: '0f9a3c7e5b1d2846f0e1d2c3b4a59687' }]
  const { get } = await build(t, { resource: 'https://api.example.com', issuers }, { provider: own, auth0: { fetch } })
  t.same((await get(GENERAL)).json().authorization_servers, ['https://tenant.example.com/', 'https://id.example.com'])
})

t.test('J19 a provider that is down is told of as the options spell it', async t => {
  const { get, provider } = await build(t, { resource: 'https://api.example.com' })
  provider.failAll('connection refused')
  t.same((await get(GENERAL)).json().authorization_servers, ['https://tenant.example.com/'])
  provider.heal()
  provider.metadata = { issuer: 'https://tenant.example.com' }
  t.same((await get(GENERAL)).json().authorization_servers, ['https://tenant.example.com'])
})

t.test('J19 the place does not depend on the prefix of our own routes', async t => {
  const { get } = await build(t, { resource: 'https://api.example.com/mcp' }, { auth0: { prefix: '/auth' } as Auth0Options })
  t.equal((await get(`${GENERAL}/mcp`)).statusCode, 200)
  t.equal((await get(`/auth${GENERAL}/mcp`)).statusCode, 404)
})

t.test('J19 nothing is told without a resource', async t => {
  const { get } = await build(t, {})
  t.equal((await get(GENERAL)).statusCode, 404)
  t.equal((await get('/api')).headers['www-authenticate'], 'Bearer realm="auth0"')
})

t.test('J19 each instance tells of its own API; the first has the general place', async t => {
  const partner = new Provider({ issuer: 'https://partners.example.com/' })
  const { get } = await build(t, { resource: 'https://api.example.com/one' }, {
    routes: app => app.register(auth0, {
      ...{ name: 'partners', prefix: '/partners', domain: 'partners.example.com', clientId: 'partner-client', clientSecret: partner.clientSecret, secret, appBaseUrl, fetch: partner.fetch },
      api: { audience: 'urn:partners', resource: 'https://api.example.com/two' }
    })
  })
  const told = async (path: string) => (await get(path)).json()
  t.match(await told(`${GENERAL}/one`), { resource: 'https://api.example.com/one', authorization_servers: ['https://tenant.example.com/'] })
  t.match(await told(`${GENERAL}/two`), { resource: 'https://api.example.com/two', authorization_servers: ['https://partners.example.com/'] })
  t.match(await told(GENERAL), { resource: 'https://api.example.com/one' })
})

t.test('J19 the general place is that of an API without a path, whichever comes first', async t => {
  const { app } = await build(t, { resource: 'https://api.example.com/mcp' }, {
    routes: app => app.register(auth0, { name: 'whole', domain: 'tenant.example.com', api: { audience: AUDIENCE, resource: 'https://api.example.com' } })
  })
  const told = async (path: string) => (await app.inject(path)).json().resource
  t.equal(await told(`${GENERAL}/mcp`), 'https://api.example.com/mcp')
  t.equal(await told(GENERAL), 'https://api.example.com')
})

t.test('J19 two APIs without a path are refused at boot', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(auth0, { domain: 'tenant.example.com', api: { audience: AUDIENCE, resource: 'https://api.example.com' } })
  await t.rejects(async () => app.register(auth0, { name: 'other', domain: 'tenant.example.com', api: { audience: AUDIENCE, resource: 'https://other.example.com/' } }), {
    message: /"api\.resource": another instance tells of an API at \/\.well-known\/oauth-protected-resource\. Give one of them a path/
  })
})

for (const resource of ['https://api.example.com/:tenant', 'https://api.example.com/*', 'https://api.example.com/a%20b', 'https://api.example.com/a//b']) {
  t.test(`J19 the metadata of ${resource} could not be found: it is refused at boot`, async t => {
    await t.rejects(build(t, { resource }), { code: 'FST_AUTH0_OPTIONS_INVALID', message: /"api\.resource" must/ })
  })
}

t.test('J19 where nobody can be asked for a token no issuers are told', async t => {
  const { get } = await build(t, { resource: 'https://api.example.com', issuers: [{ issuer: 'jobs', audience: AUDIENCE, secret: '0f9a3c7e5b1d2846f0e1d2c3b4a59687' }] }, {}, {})
  t.same((await get(GENERAL)).json(), { resource: 'https://api.example.com', bearer_methods_supported: ['header'] })
})

t.test('the audience is the resource, unless another is given (RFC 8707 §2)', async t => {
  const { get, provider } = await build(t, { resource: 'https://app.example.com/mcp' }, {}, {})
  t.equal((await get('/api', provider.accessToken({ claims: { aud: 'https://app.example.com/mcp' } }))).statusCode, 200)
  t.equal((await get('/api', provider.accessToken())).statusCode, 401)
})

t.test('J19 below a prefix, where no client looks, a resource is refused at boot', async t => {
  for (const resource of ['https://api.example.com', 'https://api.example.com/v1']) {
    const app = Fastify()
    t.teardown(() => app.close())
    const ready = async () => app.register(async app => { await app.register(auth0, { domain: 'tenant.example.com', api: { audience: AUDIENCE, resource } }) }, { prefix: '/v1' })
    await t.rejects(ready, { code: 'FST_AUTH0_OPTIONS_INVALID', message: /"api\.resource" needs the plugin on the root of the server: here all is below "\/v1", and clients look for \/\.well-known/ })
  }
})

async function build (t: Test, api: ApiOptions, options: BuildOptions = {}, audience: Pick<ApiOptions, 'audience'> = { audience: AUDIENCE }) {
  const { app, provider } = await buildApp(t, {
    ...options,
    auth0: { api: { ...audience, dpop: 'off', ...api }, ...options.auth0 },
    routes: async app => {
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, async () => 'in')
      app.get('/either', { preHandler: app.requireAuth() }, async () => 'in')
      app.get('/write', { preHandler: app.requireAuth({ scopes: 'write' }) }, async () => 'in')
      if (options.routes) await options.routes(app)
    }
  })
  return { app, provider, get: (url: string, token?: string) => app.inject({ url, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } }) }
}
