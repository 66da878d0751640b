import Fastify from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type Auth0Options } from '../lib/index.ts'
import { createCertifiedFetch } from '../lib/provider/certified-fetch.ts'
import { Browser, type BrowserResponse } from './helpers/browser.ts'
import { certificate, clientCertificate } from './helpers/certificates.ts'
import { clientKeys, toPem } from './helpers/client-keys.ts'
import { rsaKey } from './helpers/id-tokens.ts'
import { mutualTls, serverCertificate, startStrictProvider, type StrictOptions, type StrictProvider } from './helpers/strict-provider.ts'

// Clients without a secret to send, over real sockets, at oidc-provider: log in, refresh, ask UserInfo, log out.

const SCOPE = 'openid profile email offline_access'
const { privateKey, publicKey } = clientKeys('ES256')
const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'client-key', use: 'sig', alg: 'ES256' }] }
const byKey = { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks } as StrictOptions['client']
const withKey: Auth0Options = { clientAuthMethod: 'private_key_jwt', clientPrivateKey: { key: toPem(privateKey), kid: 'client-key' } }

const demands: StrictOptions = {
  client: { ...byKey, require_pushed_authorization_requests: true, require_signed_request_object: true, dpop_bound_access_tokens: true, request_object_signing_alg: 'ES256' },
  features: { pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true }, requestObjects: { enabled: true, requireSignedRequestObject: true } }
}

t.test('D3 pushed and signed requests, private_key_jwt and DPoP in one journey, where the provider demands each (RFC 9126, RFC 9101, RFC 7523, RFC 9449)', async t => {
  const strict = await startStrictProvider(t, demands)
  const { failures } = listen(strict)
  await journey(t, strict, { ...withKey, dpop: true }, 'DPoP')
  t.same(failures, [])
  t.same(strict.requests.filter(request => /request|token/.test(request)), ['plain POST /request', 'plain POST /token', 'plain POST /token', 'plain POST /token/revocation'])
})

t.test('a signed request that is not pushed (RFC 9101 §5.1)', async t => {
  const strict = await startStrictProvider(t, { client: { ...byKey, require_signed_request_object: true }, features: { requestObjects: { enabled: true } } })
  await journey(t, strict, { ...withKey, signedAuthorizationRequests: true })
})

for (const [name, features, auth0] of [
  ['pushed', { pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true } }, { pushedAuthorizationRequests: false }],
  ['signed', { requestObjects: { enabled: true, requireSignedRequestObject: true } }, { signedAuthorizationRequests: false }]
] as Array<[string, StrictOptions['features'], Auth0Options]>) {
  t.test(`A10 a request is ${name} by itself where the metadata demand it, whatever the option says`, async t => {
    await journey(t, await startStrictProvider(t, { client: byKey, features }), { ...withKey, ...auth0 })
  })
}

for (const mode of ['jwt', 'query.jwt', 'form_post.jwt'] as const) {
  t.test(`signed requests and signed answers, by ${mode} (RFC 9101; JARM)`, async t => {
    const strict = await startStrictProvider(t, { client: { ...byKey, authorization_signed_response_alg: 'RS256' }, features: { requestObjects: { enabled: true }, jwtResponseModes: { enabled: true } } })
    await journey(t, strict, { ...withKey, signedAuthorizationRequests: true, authorizationParams: { scope: SCOPE, prompt: 'consent', response_mode: mode } })
  })
}

t.test('client_secret_jwt', async t => {
  const clientSecret = 'a-secret-of-thirty-two-bytes-or-more-to-sign-with'
  const strict = await startStrictProvider(t, { client: { client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_jwt', token_endpoint_auth_signing_alg: 'HS256' } })
  await journey(t, strict, { clientAuthMethod: 'client_secret_jwt', clientSecret })
})

for (const [name, auth0] of [
  ['another key', { clientAuthMethod: 'private_key_jwt', clientPrivateKey: { key: clientKeys('ES256').privateKey, kid: 'client-key' } }],
  ['a secret', { clientSecret: 'a-secret-of-thirty-two-bytes-or-more-to-sign-with' }]
] as Array<[string, Auth0Options]>) {
  t.test(`${name} than the registered key logs nobody in`, async t => {
    const strict = await startStrictProvider(t, { client: byKey })
    const { browser } = await startApp(t, strict, auth0)
    t.match(await browser.navigate('/login?returnTo=/me'), { statusCode: 502 })
    t.same((await browser.fetch('/me')).json(), { user: null })
  })
}

const authority = { name: 'authority', key: rsaKey('authority') }
const root = certificate({ ...authority, isAuthority: true })
const issued = (options: Parameters<typeof certificate>[0] = {}) => clientCertificate({ name: 'strict-client', issuer: authority, ...options })
const byCertificate: StrictOptions = {
  client: { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=strict-client' }, features: { mTLS: mutualTls('CN=strict-client') }, authorities: [root]
}
const ca = serverCertificate.cert

for (const dpop of [false, true]) {
  t.test(`mutual TLS by an authority: every call that is proven goes to the aliases (RFC 8705 §2.1, §5)${dpop ? ', with DPoP' : ''}`, async t => {
    const strict = await startStrictProvider(t, byCertificate)
    await journey(t, strict, { clientAuthMethod: 'tls_client_auth', clientCertificate: { ...issued(), ca }, pushedAuthorizationRequests: true, dpop }, dpop ? 'DPoP' : 'Bearer')
    t.same(strict.requests.filter(request => request.includes('POST')), ['alias POST /request', 'alias POST /token', 'alias POST /token', 'alias POST /token/revocation'])
    for (const request of ['plain GET /.well-known/openid-configuration', 'plain GET /jwks', 'alias GET /me']) t.ok(strict.requests.includes(request), request)
  })
}

t.test('mutual TLS by a certificate of one\'s own (RFC 8705 §2.2)', async t => {
  const own = clientCertificate({ name: 'self-signed client' })
  const x5c = own.cert.split('\n').slice(1, -2).join('')
  const key = { ...rsaKey('client').publicKey.export({ format: 'jwk' }), use: 'sig', kid: 'certificate', x5c: [x5c] }
  const strict = await startStrictProvider(t, { ...byCertificate, client: { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [key] } as never } })
  await journey(t, strict, { clientAuthMethod: 'self_signed_tls_client_auth', clientCertificate: { cert: Buffer.from(own.cert), key: Buffer.from(own.key), ca: [Buffer.from(ca)] } })
})

t.test('the certificate may be shown by a fetch of one\'s own', async t => {
  const own = createCertifiedFetch({ ...issued(), ca: [ca] })
  await journey(t, await startStrictProvider(t, byCertificate), { clientAuthMethod: 'tls_client_auth', fetch: (input, init) => own(String(input), init ?? {}) })
})

const strangers: Array<[name: string, clientCertificate: Auth0Options['clientCertificate'] | undefined, statusCode: number, reason: RegExp]> = [
  ['no certificate', undefined, 502, /invalid_client/],
  ['a certificate of another authority', { ...issued({ issuer: { name: 'authority', key: rsaKey('other authority') } }), ca }, 502, /invalid_client/],
  ['a certificate for somebody else', { ...issued({ name: 'other-client' }), ca }, 502, /invalid_client/],
  ['a provider that nobody vouches for', issued(), 503, /SELF_SIGNED|self.signed/i]
]
const fetchWithout = createCertifiedFetch({ ca: [ca] } as never)
for (const [name, clientCertificate, statusCode, reason] of strangers) {
  t.test(`mutual TLS with ${name} logs nobody in`, async t => {
    const strict = await startStrictProvider(t, byCertificate)
    const { browser, log } = await startApp(t, strict, { clientAuthMethod: 'tls_client_auth', clientCertificate, ...clientCertificate === undefined && { fetch: (input, init) => fetchWithout(String(input), init ?? {}) } })
    t.match(await browser.navigate('/login?returnTo=/me'), { statusCode })
    t.match(log.join(), reason)
    t.same((await browser.fetch('/me')).json(), { user: null })
  })
}

/** What oidc-provider refused. */
function listen ({ provider }: StrictProvider): { failures: unknown[] } {
  const failures: unknown[] = []
  const keep = (_ctx: unknown, error: unknown) => failures.push(error)
  for (const event of ['authorization.error', 'grant.error', 'pushed_authorization_request.error', 'revocation.error', 'userinfo.error']) provider.on(event as 'server_error', keep)
  return { failures }
}

async function startApp (t: Test, { issuer, clientId, appBaseUrl }: StrictProvider, options: Auth0Options) {
  const log: string[] = []
  const app = Fastify({ forceCloseConnections: true, logger: { level: 'trace', stream: { write: line => { log.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(auth0, {
    issuer, clientId, appBaseUrl, secret: 'a-secret-of-thirty-two-characters-or-more', userInfo: 'always', authorizationParams: { scope: SCOPE, prompt: 'consent' }, ...options
  })
  app.get('/me', async ({ auth0: { user } }) => ({ user }))
  app.get('/refresh', async ({ auth0 }) => auth0.getTokenSet({ forceRefresh: true }))
  await app.listen({ port: Number(new URL(appBaseUrl).port), host: 'localhost' })
  return { app, log, browser: new Browser({ baseUrl: appBaseUrl }) }
}

/** A login, a refresh and a logout. */
async function journey (t: Test, strict: StrictProvider, options: Auth0Options, tokenType = 'Bearer'): Promise<void> {
  const { browser, log } = await startApp(t, strict, options)
  const arrived = await browser.navigate('/login?returnTo=/me')
  const page = await submitByItself(browser, arrived)
  t.match([page.statusCode, page.body], [200, /"name":"Ada"/], log.filter(line => line.includes('"err"')).join())
  const refreshed = (await browser.fetch('/refresh')).json()
  t.match(refreshed, { tokenType, accessToken: String })
  t.equal((await browser.submit('/logout')).url.origin, strict.appBaseUrl)
  t.same((await browser.fetch('/me')).json(), { user: null })
}

/** A page of a `form_post` has a form that a script sends. */
async function submitByItself (browser: Browser, page: BrowserResponse): Promise<BrowserResponse> {
  const [, action, name, value] = /<form method="post" action="(.*?)">\s*<input type="hidden" name="(.*?)" value="(.*?)"/.exec(page.body) ?? []
  return action === undefined ? page : browser.submit(action, { [name!]: value! }, { site: 'same-site' })
}
