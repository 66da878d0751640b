import type { KeyObject } from 'node:crypto'
import t from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import { clientKeys, keyClient, toPem } from './helpers/client-keys.ts'
import { Provider } from './helpers/provider.ts'
import { API, buildTokenSite } from './helpers/token-site.ts'

// Clients that sign what proves them (RFC 7523; OpenID Connect Core 1.0 §9). The provider of these tests verifies each signature, and takes no assertion twice.

const longSecret = 'a-client-secret-of-thirty-two-bytes-or-more'

for (const algorithm of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']) {
  t.test(`D3 private_key_jwt by ${algorithm}: the login is proven by a key, and no secret is sent`, async t => {
    const { registration, auth0 } = keyClient(algorithm)
    const { browser, provider } = await buildApp(t, { provider: { registration }, auth0 })
    await browser.login()
    const [call] = provider.callsTo('token')
    t.same([...call!.params.keys()].sort(), ['client_assertion', 'client_assertion_type', 'client_id', 'code', 'code_verifier', 'grant_type', 'redirect_uri'])
    t.notOk(call!.headers.has('authorization'))
    t.same(provider.clientProofs.assertions.map(({ header }) => header), [{ alg: algorithm }])
  })
}

const forms: Array<[name: string, toOption: (key: KeyObject) => Auth0Options['clientPrivateKey'], header: object]> = [
  ['PEM', key => toPem(key), { alg: 'RS256' }],
  ['PEM of PKCS #1', key => key.export({ type: 'pkcs1', format: 'pem' }).toString(), { alg: 'RS256' }],
  ['PEM with ends of lines as in a .env', key => toPem(key).replaceAll('\n', '\\n'), { alg: 'RS256' }],
  ['a JWK', key => key.export({ format: 'jwk' }), { alg: 'RS256' }],
  ['a JWK that tells of itself', key => ({ ...key.export({ format: 'jwk' }), kid: 'key-7', alg: 'PS384', use: 'sig', 'x5t#S256': 'thumbprint' }), { alg: 'PS384', kid: 'key-7', 'x5t#S256': 'thumbprint' }],
  ['a JWK as JSON', key => JSON.stringify({ ...key.export({ format: 'jwk' }), kid: 'key-7' }), { alg: 'RS256', kid: 'key-7' }],
  ['a KeyObject', key => key, { alg: 'RS256' }],
  ['PEM with a name', key => ({ key: toPem(key), kid: 'key-7', alg: 'PS256', 'x5t#S256': 'thumbprint' }), { alg: 'PS256', kid: 'key-7', 'x5t#S256': 'thumbprint' }],
  ['a KeyObject with a name', key => ({ key, kid: 'key-7' }), { alg: 'RS256', kid: 'key-7' }],
  ['a JWK with another name', key => ({ key: { ...key.export({ format: 'jwk' }), kid: 'key-7', alg: 'PS384' }, kid: 'key-8', alg: undefined } as never), { alg: 'PS384', kid: 'key-8' }]
]
for (const [name, toOption, header] of forms) {
  t.test(`the private key may be ${name}`, async t => {
    const { privateKey, publicKey } = clientKeys('RS256')
    const algorithm = (header as { alg: string }).alg
    const { browser, provider } = await buildApp(t, {
      provider: { registration: { method: 'private_key_jwt', publicKey, algorithm } },
      auth0: { clientAuthMethod: 'private_key_jwt', clientPrivateKey: toOption(privateKey) }
    })
    await browser.login()
    t.same(provider.clientProofs.assertions.map(({ header }) => header), [header])
  })
}

for (const [algorithm, byDefault] of [['RS256', 'RS256'], ['ES256', 'ES256'], ['ES384', 'ES384'], ['ES512', 'ES512'], ['Ed25519', 'EdDSA']] as const) {
  t.test(`a key that says nothing of itself signs ${byDefault}`, async t => {
    const { privateKey, publicKey } = clientKeys(algorithm)
    const { browser, provider } = await buildApp(t, {
      provider: { registration: { method: 'private_key_jwt', publicKey, algorithm: byDefault } }, auth0: { clientAuthMethod: 'private_key_jwt', clientPrivateKey: privateKey }
    })
    await browser.login()
    t.equal(provider.clientProofs.assertions[0]!.header.alg, byDefault)
  })
}

t.test('the private key may come from the environment', async t => {
  const { privateKey, publicKey } = clientKeys('ES256')
  process.env.AUTH0_CLIENT_PRIVATE_KEY = toPem(privateKey)
  t.teardown(() => { delete process.env.AUTH0_CLIENT_PRIVATE_KEY })
  const { browser } = await buildApp(t, { provider: { registration: { method: 'private_key_jwt', publicKey, algorithm: 'ES256' } }, auth0: { clientAuthMethod: 'private_key_jwt' } })
  await browser.login()
})

t.test('client_secret_jwt: the secret signs, and stays here (OpenID Connect Core 1.0 §9)', async t => {
  const { browser, provider } = await buildApp(t, { provider: { clientSecret: longSecret, registration: { method: 'client_secret_jwt' } }, auth0: { clientAuthMethod: 'client_secret_jwt' } })
  await browser.login()
  t.same(provider.clientProofs.assertions.map(({ header }) => header), [{ alg: 'HS256' }])
  t.notOk(provider.calls.some(({ body, headers }) => (body + JSON.stringify([...headers])).includes(longSecret)))
})

const ways: Array<[name: string, client: () => ReturnType<typeof keyClient>, clientSecret?: string]> = [
  ['private_key_jwt', () => keyClient()],
  ['client_secret_jwt', () => ({ registration: { method: 'client_secret_jwt' }, auth0: { clientAuthMethod: 'client_secret_jwt' } }), longSecret]
]
for (const [method, client, clientSecret = 'client-secret-of-the-tests'] of ways) {
  t.test(`D1 D3 ${method} proves every call: pushed request, code, refresh, introspection, revocation, with DPoP too (RFC 7523 §3; ASVS 10.4.16)`, async t => {
    const { registration, auth0 } = client()
    const provider = new Provider({ clientSecret, registration })
    provider.proofs.nonce = 'nonce-1'
    const { ask, browser, send } = await buildTokenSite(t, { provider, auth0: { ...auth0, dpop: true, pushedAuthorizationRequests: true, api: { audience: API, introspection: true } } })
    const { accessToken } = (await ask({ forceRefresh: true })).json()
    await send('/me', '', { headers: { authorization: `Bearer ${accessToken}` } })
    await browser.post('/logout')

    const { assertions } = provider.clientProofs
    const called = provider.calls.filter(({ params }) => params.has('client_assertion')).map(({ endpoint }) => endpoint)
    t.same(called, ['par', 'par', 'token', 'token', 'token', 'introspection', 'revocation'], 'one login was only begun; and the code goes twice: first, the provider wanted a nonce')
    t.equal(assertions.length, called.length)
    t.equal(new Set(assertions.map(({ claims }) => claims.jti)).size, called.length, 'each has a jti of its own')
    for (const { claims } of assertions) {
      t.match(claims, { iss: provider.clientId, sub: provider.clientId, aud: provider.issuer })
      t.match(claims.jti, /^[\w-]{22,64}$/, '128 bits or more, and no longer than Auth0 takes')
      t.ok(Number(claims.exp) - Number(claims.iat) <= 60)
    }
  })

  t.test(`D3 ${method} may address the token endpoint, as Entra ID wants it`, async t => {
    const { registration, auth0 } = client()
    const audience = 'https://tenant.example.com/oauth/token'
    const { browser } = await buildApp(t, { provider: { clientSecret, registration: { ...registration, audience } }, auth0: { ...auth0, clientAssertionAudience: 'token_endpoint' } })
    await browser.login()
  })

  t.test(`${method} that the provider does not accept is a 502, and the log says why`, async t => {
    const { registration, auth0 } = client()
    const other = keyClient().registration.publicKey!
    const provider = new Provider({ clientSecret, registration: { ...registration, publicKey: other, audience: 'https://other.example.com/' } })
    const { browser, logs } = await buildApp(t, { provider, auth0 })
    t.equal((await browser.navigate('/profile')).statusCode, 502)
    t.match(logs.lines.find(({ err }) => err)?.err?.message, /token endpoint: .*\(invalid_client\)/)
    t.equal(provider.clientProofs.assertions.length, 0)
  })
}

t.test('D15 the private key is in no log line, also where the login fails', async t => {
  const { privateKey } = clientKeys('RS256')
  const { d, p, q } = privateKey.export({ format: 'jwk' })
  const { browser, logs } = await buildApp(t, {
    provider: { registration: keyClient('RS256').registration }, auth0: { clientAuthMethod: 'private_key_jwt', clientPrivateKey: privateKey }
  })
  await browser.login()
  for (const secret of [d!, p!, q!, ...toPem(privateKey).split('\n').slice(1, -2)]) t.notOk(logs.text.includes(secret))
})
