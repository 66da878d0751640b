import t from 'tap'
import { buildApp, type BuildOptions } from './helpers/app.ts'

const HOME = 'https://app.example.com'
const END_SESSION = 'https://tenant.example.com/oidc/logout'
const V2 = 'https://tenant.example.com/v2/logout'
const ID_TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/
const SID = /^sid-/

const issuer = 'https://tenant.example.com/'
const byDomain: BuildOptions = {}
const byIssuer: BuildOptions = { auth0: { issuer } }
const without = (options: BuildOptions): BuildOptions => ({ ...options, provider: { metadata: { end_session_endpoint: undefined } } })

type Expected = Record<string, string | RegExp> | null

// Where a logout leads, with which parameters; `null`: home.
const logouts: Array<[name: string, options: BuildOptions, path: string, address: string, expected: Expected]> = [
  ['Auth0', byDomain, '/logout', END_SESSION, { id_token_hint: ID_TOKEN, client_id: 'client-id', post_logout_redirect_uri: HOME, logout_hint: SID }],
  ['Auth0 without end_session_endpoint', without(byDomain), '/logout', V2, { client_id: 'client-id', returnTo: HOME }],
  ['Auth0, federated', byDomain, '/logout?federated', END_SESSION, { id_token_hint: ID_TOKEN, client_id: 'client-id', post_logout_redirect_uri: HOME, logout_hint: SID, federated: 'true' }],
  ['Auth0 without end_session_endpoint, federated', without(byDomain), '/logout?federated', V2, { client_id: 'client-id', returnTo: HOME, federated: 'true' }],
  ['Auth0, to another page', byDomain, '/logout?returnTo=/public', END_SESSION, { id_token_hint: ID_TOKEN, client_id: 'client-id', post_logout_redirect_uri: `${HOME}/public`, logout_hint: SID }],
  ['Auth0 without end_session_endpoint, to another page', without(byDomain), '/logout?returnTo=/public', V2, { client_id: 'client-id', returnTo: `${HOME}/public` }],
  ['another provider', byIssuer, '/logout', END_SESSION, { id_token_hint: ID_TOKEN, client_id: 'client-id', post_logout_redirect_uri: HOME }],
  ['another provider, federated', byIssuer, '/logout?federated', END_SESSION, { id_token_hint: ID_TOKEN, client_id: 'client-id', post_logout_redirect_uri: HOME }],
  ['another provider without end_session_endpoint', without(byIssuer), '/logout', `${HOME}/`, null]
]
for (const [name, options, path, address, expected] of logouts) {
  t.test(`I3 I5 logging out at ${name} (RP-Initiated Logout 1.0 §2)`, async t => {
    const { browser } = await buildApp(t, options)
    await browser.login()
    const { statusCode, location } = await browser.get(path, { site: 'same-origin' })
    t.equal(statusCode, 303)
    t.equal(location!.origin + location!.pathname, address)
    const actual = Object.fromEntries(location!.searchParams)
    t.same(Object.keys(actual).sort(), Object.keys(expected ?? {}).sort())
    t.match(actual, expected ?? {})
  })
}

t.test('who has no session here is logged out at the provider all the same, without hints', async t => {
  const { browser } = await buildApp(t)
  const { location } = await browser.get('/logout', { site: 'same-origin' })
  t.same(Object.fromEntries(location!.searchParams), { client_id: 'client-id', post_logout_redirect_uri: HOME })
})

t.test('a sid that is no text is no hint', async t => {
  const { browser, provider } = await buildApp(t)
  provider.forge('idToken', { claims: { sid: ['x'] } })
  await browser.login()
  t.notOk((await browser.get('/logout', { site: 'same-origin' })).location!.searchParams.has('logout_hint'))
})

t.test('an end_session_endpoint keeps the parameters that it has', async t => {
  const { browser } = await buildApp(t, { provider: { metadata: { end_session_endpoint: `${END_SESSION}?tenant=a&client_id=other` } } })
  await browser.login()
  const { searchParams } = (await browser.get('/logout', { site: 'same-origin' })).location!
  t.equal(searchParams.get('tenant'), 'a')
  t.same(searchParams.getAll('client_id'), ['client-id'])
})

for (const fault of ['hang', 'connection refused', '500', 'html', 'numeric endpoints'] as const) {
  t.test(`I6 logging out works while the provider fails with ${fault}, whether it was known or not`, async t => {
    const { browser, provider, logs, newBrowser } = await buildApp(t, { auth0: { httpTimeout: 50 } })
    await browser.login()
    provider.fail('discovery', fault)
    t.equal((await browser.get('/logout', { site: 'same-origin' })).location!.pathname, '/oidc/logout')
    t.equal((await browser.get('/')).body, 'Hello stranger')

    const restarted = await buildApp(t, { provider, auth0: { httpTimeout: 50 } })
    const { location } = await restarted.browser.get('/logout', { site: 'same-origin' })
    t.equal(location!.href, `${HOME}/`)
    t.equal(restarted.logs.lines.filter(({ msg }) => msg === 'logged out here, not at the provider').length, 1)
    t.equal(logs.lines.filter(({ level }) => level >= 40).length, 0)
    t.equal((await newBrowser().get('/')).statusCode, 200)
  })
}

const domains: Array<[domain: string, issuer: string]> = [
  ['tenant.eu.auth0.com', 'https://tenant.eu.auth0.com/'],
  ['TENANT.eu.auth0.com', 'https://tenant.eu.auth0.com/'],
  ['login.example.com:8443', 'https://login.example.com:8443/'],
  ['localhost:4000', 'http://localhost:4000/'],
  ['127.0.0.1:4000', 'http://127.0.0.1:4000/'],
  ['tenant.localhost:4000', 'http://tenant.localhost:4000/']
]
for (const [domain, issuer] of domains) {
  t.test(`domain ${domain} means issuer ${issuer}`, async t => {
    const { browser, provider } = await buildApp(t, { provider: { issuer }, auth0: { domain } })
    t.equal((await browser.login()).json().iss, issuer)
    t.equal(provider.callsTo('discovery')[0]!.url.origin + '/', issuer)
  })
}
