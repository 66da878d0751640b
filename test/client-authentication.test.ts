import t from 'tap'
import { buildApp } from './helpers/app.ts'
import { createProvider, Provider } from './helpers/provider.ts'

// The provider of these tests refuses two ways at once, and a secret that is not quite right.

const odd: Array<[name: string, clientId: string, clientSecret: string]> = [
  ['plain ones', 'client-id', 'client-secret'],
  ['a colon', 'a:b', 'c:d'],
  ['a percent sign', '100%', '%41%zz'],
  ['blanks and plus signs', 'my client', 'a b+c'],
  ['characters of forms', 'a&b=c', '&client_id=other;x=?#'],
  ['characters of all scripts', 'zoë', 'ü李𝒪'],
  ['what encodeURIComponent leaves alone', "-_.!~*'()", "'(*)!~._-"],
  ['quotes and slashes', '"a\\b"', '</script>"\\']
]
for (const clientAuthMethod of ['client_secret_post', 'client_secret_basic'] as const) {
  for (const [name, clientId, clientSecret] of odd) {
    t.test(`D1 D2 the client proves itself by ${clientAuthMethod} only, with ${name} (RFC 6749 §2.3.1)`, async t => {
      const { browser, provider } = await buildApp(t, { provider: { clientId, clientSecret }, auth0: { clientAuthMethod } })
      await browser.login()
      const [call] = provider.callsTo('token')
      t.equal(call!.params.get('client_secret'), clientAuthMethod === 'client_secret_post' ? clientSecret : null)
      t.match(call!.headers.get('authorization') ?? 'none', clientAuthMethod === 'client_secret_post' ? /^none$/ : /^Basic [\w+/]+=*$/)
    })
  }

  t.test(`D1 a pushed request is proven by ${clientAuthMethod} too (RFC 9126 §2)`, async t => {
    const { browser, provider } = await buildApp(t, { auth0: { clientAuthMethod, pushedAuthorizationRequests: true } })
    await browser.login()
    t.equal(provider.callsTo('par')[0]!.params.has('client_secret'), clientAuthMethod === 'client_secret_post')
  })
}

t.test('D1 the post body is the default, whatever the provider lists first', async t => {
  const { browser, provider } = await buildApp(t, { provider: { metadata: { token_endpoint_auth_methods_supported: ['client_secret_basic'] } } })
  await browser.login()
  t.equal(provider.callsTo('token')[0]!.params.get('client_secret'), provider.clientSecret)
})

t.test('D1 the code is exchanged with the verifier and the very redirect_uri of the request, and nothing else (RFC 6749 §4.1.3)', async t => {
  const { browser, provider } = await buildApp(t)
  await browser.login()
  const [call] = provider.callsTo('token')
  t.equal(call!.method, 'POST')
  t.equal(call!.url.search, '')
  t.same([...call!.params.keys()].sort(), ['client_id', 'client_secret', 'code', 'code_verifier', 'grant_type', 'redirect_uri'])
  t.equal(call!.params.get('redirect_uri'), provider.authorizations[0]!.get('redirect_uri'))
})

const redirectUris: Array<[name: string, auth0: Parameters<typeof buildApp>[1], redirectUri: string]> = [
  ['in capitals', { auth0: { appBaseUrl: 'https://APP.example.com' } }, 'https://app.example.com/callback'],
  ['with the default port', { auth0: { appBaseUrl: 'https://app.example.com:443' } }, 'https://app.example.com/callback'],
  ['with a prefix', { auth0: { prefix: '/app' }, routes: false }, 'https://app.example.com/app/callback'],
  ['with a path', { auth0: { appBaseUrl: 'https://app.example.com/shop' } }, 'https://app.example.com/shop/callback'],
  ['as one option', { auth0: { redirectUri: 'https://app.example.com/auth/back' } }, 'https://app.example.com/auth/back']
]
for (const [name, options, redirectUri] of redirectUris) {
  t.test(`D1 redirect_uri is the same in both requests, also ${name}`, async t => {
    const { browser, provider } = await buildApp(t, options)
    const prefix = options!.auth0!.prefix ?? ''
    const callback = await browser.leave(`${prefix}/login`)
    callback.url.pathname = callback.url.pathname.replace('/shop', '') // as the proxy does that the path is for
    await browser.comeBack(callback)
    t.equal(provider.authorizations[0]!.get('redirect_uri'), redirectUri)
    t.equal(provider.callsTo('token')[0]?.params.get('redirect_uri'), redirectUri)
  })
}

t.test('a wrong secret is a 502 that says so in the log, without it', async t => {
  const provider = createProvider()
  const { browser, logs } = await buildApp(t, { provider, auth0: { clientSecret: 'of another client' } })
  t.equal((await browser.navigate('/profile')).statusCode, 502)
  t.match(logs.lines.find(({ err }) => err)?.err?.message, /token endpoint: .*\(invalid_client\)/)
  t.notOk(logs.text.includes('of another client'))
})

// Mutual TLS: what is shown in the handshake is seen in client-journeys.test.ts.

const aliases = { token_endpoint: 'https://tenant.example.com/mtls/token', revocation_endpoint: 'https://tenant.example.com/mtls/revoke' }

t.test('D1 with mutual TLS nothing is sent but the client\'s id, to the alias where there is one (RFC 8705 §2, §5)', async t => {
  const provider = new Provider({ registration: { method: 'tls_client_auth' }, metadata: { mtls_endpoint_aliases: aliases } })
  const { browser } = await buildApp(t, { provider, auth0: { clientAuthMethod: 'tls_client_auth', pushedAuthorizationRequests: true, fetch: redirected(provider) } })
  await browser.login()
  t.same([...provider.callsTo('token')[0]!.params.keys()].sort(), ['client_id', 'code', 'code_verifier', 'grant_type', 'redirect_uri'])
  t.same(asked, ['/.well-known/openid-configuration', '/oauth/par', '/.well-known/jwks.json', '/mtls/token'])
})

for (const clientAuthMethod of ['client_secret_post', 'client_secret_basic'] as const) {
  t.test(`aliases are not for ${clientAuthMethod}: no secret goes there`, async t => {
    const provider = new Provider({ metadata: { mtls_endpoint_aliases: aliases } })
    const { browser } = await buildApp(t, { provider, auth0: { clientAuthMethod, fetch: redirected(provider) } })
    await browser.login()
    t.same(asked.filter(path => path.includes('mtls')), [])
  })
}

const unusable: Array<[name: string, alias: unknown]> = [['that others can read', 'http://tenant.example.com/mtls/token'], ['that is no URL', 'token'], ['that is no text', 5]]
for (const [name, alias] of unusable) {
  t.test(`F3 with mutual TLS an alias ${name} gets nothing, and is a 502`, async t => {
    const provider = new Provider({ registration: { method: 'tls_client_auth' }, metadata: { mtls_endpoint_aliases: { token_endpoint: alias } } })
    const { browser } = await buildApp(t, { provider, auth0: { clientAuthMethod: 'tls_client_auth', fetch: redirected(provider) } })
    t.equal((await browser.comeBack(await browser.leave())).statusCode, 502)
    t.same(asked.filter(path => path.includes('token')), [])
  })
}

let asked: string[] = []

/** The provider, with its aliases, and what was asked of it. */
function redirected (provider: Provider): typeof fetch {
  asked = []
  return (input, init) => {
    asked.push(new URL(String(input)).pathname)
    return provider.fetch(String(input).replace('/mtls/', '/oauth/'), init)
  }
}
