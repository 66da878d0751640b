import t from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import { keyClient } from './helpers/client-keys.ts'
import { Provider } from './helpers/provider.ts'

// The OAuth 2.0 Authorization Framework: JWT-Secured Authorization Request (RFC 9101).

const PROTECTION = ['aud', 'exp', 'iat', 'iss', 'jti', 'nbf']
const REQUEST = ['client_id', 'code_challenge', 'code_challenge_method', 'nonce', 'redirect_uri', 'response_type', 'scope', 'state']

const asking: Array<[name: string, auth0: Auth0Options, metadata: Record<string, unknown>]> = [
  ['when the option says so', { signedAuthorizationRequests: true }, {}],
  ['by itself when the provider demands it', {}, { require_signed_request_object: true }]
]
for (const [name, options, metadata] of asking) {
  for (const algorithm of ['ES256', 'PS256', 'EdDSA']) {
    t.test(`requests are signed ${name}, by ${algorithm}, and the browser carries nothing else (RFC 9101 §4, §5, §10.5)`, async t => {
      const { registration, auth0 } = keyClient(algorithm)
      const { browser, provider } = await buildApp(t, { provider: { registration, metadata }, auth0: { ...auth0, ...options } })
      const { location } = await browser.get('/login?login_hint=ada@example.com&max_age=60')
      t.same([...location!.searchParams.keys()].sort(), ['client_id', 'request'])
      t.equal((await browser.comeBack(provider.authorize(location!))).statusCode, 303)
      const [{ header, claims }] = provider.clientProofs.requestObjects as [{ header: object, claims: Record<string, unknown> }]
      t.same(header, { alg: algorithm, typ: 'oauth-authz-req+jwt' })
      t.same(Object.keys(claims).sort(), [...PROTECTION, ...REQUEST, 'login_hint', 'max_age'].sort())
      t.match(claims, { iss: provider.clientId, aud: provider.issuer, client_id: provider.clientId, response_type: 'code', login_hint: 'ada@example.com', max_age: 60 })
      t.match(claims.jti, /^[\w-]{22,}$/)
      t.equal(Number(claims.exp) - Number(claims.iat), 60)
    })
  }
}

t.test('a request is signed with its own name of the key, and addressed to the issuer, whatever assertions are', async t => {
  const { registration, auth0 } = keyClient()
  const { browser, provider } = await buildApp(t, {
    provider: { registration: { ...registration, audience: 'https://tenant.example.com/oauth/token' } },
    auth0: { ...auth0, clientPrivateKey: { ...auth0.clientPrivateKey as object, kid: 'key-7' } as never, clientAssertionAudience: 'token_endpoint', signedAuthorizationRequests: true }
  })
  await browser.login()
  t.match(provider.clientProofs.requestObjects, [{ header: { kid: 'key-7' }, claims: { aud: provider.issuer } }])
  t.match(provider.clientProofs.assertions, [{ header: { kid: 'key-7' }, claims: { aud: 'https://tenant.example.com/oauth/token' } }])
})

t.test('A9 a request that is signed and pushed: what is pushed is the signed one (RFC 9126 §3)', async t => {
  const { registration, auth0 } = keyClient()
  const { browser, provider } = await buildApp(t, { provider: { registration }, auth0: { ...auth0, signedAuthorizationRequests: true, pushedAuthorizationRequests: true } })
  await browser.login()
  t.same([...provider.callsTo('par')[0]!.params.keys()].sort(), ['client_assertion', 'client_assertion_type', 'client_id', 'request'])
  t.equal(provider.clientProofs.requestObjects.length, 1)
})

t.test('a client with a secret may have a key to sign requests with', async t => {
  const { registration, auth0: { clientPrivateKey } } = keyClient()
  const provider = new Provider()
  const { browser } = await buildApp(t, { provider, auth0: { clientPrivateKey, signedAuthorizationRequests: true } })
  const { location } = await browser.get('/login')
  provider.registration = registration
  const callback = provider.authorize(location!)
  provider.registration = undefined
  t.equal((await browser.comeBack(callback)).statusCode, 303)
  t.equal(provider.callsTo('token')[0]!.params.get('client_secret'), provider.clientSecret)
})

t.test('parameters that are JSON arrive as such (OpenID Connect Core 1.0 §5.5, RFC 9396 §4)', async t => {
  const { registration, auth0 } = keyClient()
  const authorizationParams = { claims: '{"id_token":{"acr":null}}', authorization_details: '[{"type":"account"}]' }
  const { browser, provider } = await buildApp(t, { provider: { registration }, auth0: { ...auth0, authorizationParams, signedAuthorizationRequests: true } })
  await browser.login()
  t.match(provider.clientProofs.requestObjects[0]!.claims, { claims: { id_token: { acr: null } }, authorization_details: [{ type: 'account' }] })
})

t.test('a provider that demands signed requests gets no plain one: without a key it is a 502, and the log says what is missing', async t => {
  const { browser, provider, logs } = await buildApp(t, { provider: { metadata: { require_signed_request_object: true } } })
  const response = await browser.fetch('/login')
  t.match(response, { statusCode: 502, location: null, setCookies: [] })
  t.equal(response.json().code, 'FST_AUTH0_PROVIDER_FAILED')
  t.match(logs.text, 'the provider demands signed requests: give option \\"clientPrivateKey\\"')
  t.equal(provider.callsTo('par').length, 0)
})
