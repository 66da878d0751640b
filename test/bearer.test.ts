import t, { type Test } from 'tap'
import type { ApiOptions, RequestAuth0 } from '../lib/index.ts'
import { PROOF_ALGORITHMS } from '../lib/verify/dpop-proof.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { buildApp, type BuildOptions } from './helpers/app.ts'
import { Provider } from './helpers/provider.ts'

t.test('an access token tells who is calling', async t => {
  const { get, provider } = await build(t)
  const response = await get('/api', provider.accessToken({ claims: { permissions: ['delete:messages'], roles: 'admin' } }))
  t.equal(response.statusCode, 200)
  t.match(response.json(), { user: { sub: provider.user.sub as string, iss: provider.issuer }, via: 'bearer', scopes: ['read:messages'], permissions: ['delete:messages'], roles: ['admin'] })
})

t.test('J1 without one, 401 with a challenge that names no error (RFC 6750 §3.1)', async t => {
  const { get } = await build(t)
  for (const url of ['/api', '/either']) {
    const response = await get(url)
    t.equal(response.statusCode, 401)
    t.equal(response.headers['www-authenticate'], `Bearer realm="auth0", DPoP realm="auth0", algs="${PROOF_ALGORITHMS.join(' ')}"`)
  }
})

t.test('J2 one that does not verify, 401 with the same words for all', async t => {
  const { get, provider } = await build(t)
  for (const forgery of [{ claims: { exp: 1 } }, { claims: { aud: 'other' } }, { claims: { iss: 'https://other.example.com/' } }] as const) {
    const response = await get('/api', provider.accessToken(forgery))
    t.equal(response.statusCode, 401)
    t.equal(response.headers['www-authenticate'], 'Bearer realm="auth0", error="invalid_token", error_description="The access token is not valid"')
  }
})

t.test('J3 scope', async t => {
  const { get, provider } = await build(t)
  const response = await get('/write', provider.accessToken())
  t.equal(response.statusCode, 403)
  t.equal(response.headers['www-authenticate'], 'Bearer realm="auth0", error="insufficient_scope", error_description="This resource needs the scope \'write:messages\'", scope="write:messages"')
})

async function build (t: Test, { api, ...options }: BuildOptions & { api?: Partial<ApiOptions>, provider?: Provider } = {}) {
  const provider = options.provider ?? new Provider()
  const built = await buildApp(t, {
    ...options,
    provider,
    auth0: { api: { audience: AUDIENCE, ...api }, ...options.auth0 },
    routes: app => {
      const tell = async ({ auth0: { user, via, scopes, permissions, roles } }: { auth0: RequestAuth0 }) => ({ user, via, scopes, permissions, roles })
      app.get('/api', { preHandler: app.requireAuth({ via: 'bearer' }) }, tell)
      app.get('/either', { preHandler: app.requireAuth() }, tell)
      app.get('/write', { preHandler: app.requireAuth({ scopes: 'write:messages' }) }, tell)
    }
  })
  return {
    ...built,
    provider,
    get: (url: string, token?: string) => built.app.inject({ url, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
  }
}
