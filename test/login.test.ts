import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { appBaseUrl, buildApp, type Built } from './helpers/app.ts'

const asked = async ({ browser }: Pick<Built, 'browser'>, address = '/login') => (await browser.get(address)).location!.searchParams

t.test('A1 asks the discovered endpoint for a code, with the registered redirect_uri and S256 (RFC 9700 §2.1.1, RFC 7636 §4.2)', async t => {
  const { browser, provider } = await buildApp(t, {
    provider: { redirectUris: [`${appBaseUrl}/callback`], metadata: { authorization_endpoint: 'https://tenant.example.com/elsewhere/authorize' } }
  })
  const { statusCode, location } = await browser.get('/login')
  t.equal(statusCode, 302)
  t.equal(location!.origin + location!.pathname, 'https://tenant.example.com/elsewhere/authorize')
  t.match(Object.fromEntries(location!.searchParams), {
    client_id: provider.clientId,
    response_type: 'code',
    redirect_uri: `${appBaseUrl}/callback`,
    code_challenge_method: 'S256',
    code_challenge: /^[\w-]{43}$/
  })
})

t.test('A1 keeps what the metadata put into the query of the endpoint', async t => {
  const app = await buildApp(t, { provider: { metadata: { authorization_endpoint: 'https://tenant.example.com/authorize?p=policy' } } })
  t.match(Object.fromEntries(await asked(app)), { p: 'policy', response_type: 'code' })
})

t.test('A2 makes every state, nonce and code_verifier anew, with 128 bits or more (RFC 7636 §4.1, §7.1)', async t => {
  const { app, browser, provider } = await buildApp(t)
  const seen = new Set<string>()
  for (let login = 0; login < 300; login++) {
    const { headers } = await app.inject({ url: '/login', headers: { host: 'app.example.com', 'x-forwarded-proto': 'https' } })
    const { searchParams } = new URL(headers.location!)
    for (const name of ['state', 'nonce', 'code_challenge']) seen.add(searchParams.get(name)!)
  }
  t.equal(seen.size, 900)
  for (let login = 0; login < 5; login++) await browser.comeBack(await browser.leave())
  const verifiers = provider.callsTo('token').map(({ params }) => params.get('code_verifier'))
  t.equal(new Set(verifiers).size, 5)
  for (const value of [...seen, ...verifiers]) t.match(value, /^[\w-]{43}$/, 'base64url of 256 bits')
})

t.test('A3, A4 binds state and nonce to a sealed cookie of this one login (ASVS 5.0 §3.3.1 to §3.3.4, OpenID Connect Core §15.5.2)', async t => {
  const app = await buildApp(t)
  const { setCookies, location } = await app.browser.get('/login')
  t.equal(setCookies.length, 1)
  t.match(setCookies[0], /^__Host-auth0\.login\.[\w-]{16}=[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+; Max-Age=900; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  for (const name of ['state', 'nonce']) t.notMatch(setCookies[0], location!.searchParams.get(name)!)
  t.notSame((await app.browser.get('/login')).setCookies[0], setCookies[0])
})

t.test('A4 on http the cookie has no prefix and is not Secure', async t => {
  const { browser } = await buildApp(t, { auth0: { appBaseUrl: 'http://localhost:3000' } })
  t.match((await browser.get('/login')).setCookies, [/^auth0\.login\.[\w-]{16}=[\w.-]+; Max-Age=900; Path=\/; HttpOnly; SameSite=Lax$/])
})

t.test('A6 passes on what it knows (RFC 9700 §2.1)', async t => {
  const forwarded = {
    login_hint: 'ada@example.com',
    prompt: 'login',
    ui_locales: 'de en',
    screen_hint: 'signup',
    acr_values: 'urn:a urn:b',
    max_age: '300',
    organization: 'org_1',
    invitation: 'ticket',
    connection: 'google-oauth2'
  }
  t.match(Object.fromEntries(await asked(await buildApp(t), `/login?${new URLSearchParams(forwarded)}`)), forwarded)
})

const ignored: Array<[name: string, query: string]> = [
  ['a weaker challenge method', 'code_challenge_method=plain'],
  ['a code_challenge', 'code_challenge=x'],
  ['another redirect_uri', 'redirect_uri=https://evil.example'],
  ['another client', 'client_id=x'],
  ['a state', 'state=x'],
  ['a nonce', 'nonce=x'],
  ['another response_type', 'response_type=token'],
  ['another response_mode', 'response_mode=fragment'],
  ['more scopes', 'scope=openid+admin'],
  ['another audience', 'audience=https://api.example'],
  ['a request object', 'request=x&request_uri=x'],
  ['what nobody knows', '__proto__=x&constructor=y&foo=z'],
  ['a repeated parameter', 'login_hint=a&login_hint=b'],
  ['an empty parameter', 'login_hint='],
  ['a max_age that is no number', 'max_age=soon'],
  ['a negative max_age', 'max_age=-1'],
  ['an endless login_hint', `login_hint=${'x'.repeat(1100)}`],
  ['an endless organization', `organization=${'x'.repeat(300)}`],
  ['acr_values that would fill the cookie', `acr_values=${'%00'.repeat(100)}`]
]
for (const [name, query] of ignored) {
  t.test(`A6 ignores ${name} in the query (RFC 9700 §2.1; ASVS 5.0 §10.2.3)`, async t => {
    const app = await buildApp(t)
    t.same(shape(await asked(app, `/login?${query}`)), shape(await asked(app)))
  })
}

t.test('A6 a link cannot choose another way to log in than the options do', async t => {
  const app = await buildApp(t, { auth0: { authorizationParams: { connection: 'staff-only', prompt: 'login' } } })
  t.match(Object.fromEntries(await asked(app, '/login?connection=anybody&prompt=none')), { connection: 'staff-only', prompt: 'login' })
})

t.test('A6 a link cannot choose another organization, or make an older authentication do', async t => {
  const app = await buildApp(t, { auth0: { authorizationParams: { organization: 'org_ours', max_age: 300 } } })
  t.match(Object.fromEntries(await asked(app, '/login?organization=org_theirs&max_age=999999')), { organization: 'org_ours', max_age: '300' })
  t.match(Object.fromEntries(await asked(app, '/login?max_age=60')), { max_age: '60' }, 'a younger one it can ask for')
})

t.test('A8 sends a code_challenge, and state, to a provider that does not say it knows PKCE (RFC 9700 §2.1.1, §4.8.2)', async t => {
  const app = await buildApp(t, { provider: { metadata: { code_challenge_methods_supported: undefined } } })
  t.match(Object.fromEntries(await asked(app)), { code_challenge_method: 'S256', code_challenge: String, state: String })
})

t.test('A12 asks for the max_age of a guard, or of the options (OpenID Connect Core §3.1.2.1)', async t => {
  const app = await buildApp(t, { routes: app => app.get('/vault', { preHandler: app.requireAuth({ maxAge: 300 }) }, async () => 'open') })
  await app.browser.login()
  const login = await app.browser.get('/vault')
  t.equal((await app.browser.get(login.location!)).location!.searchParams.get('max_age'), '300')
  t.equal((await asked(await buildApp(t, { auth0: { authorizationParams: { max_age: 60 } } }))).get('max_age'), '60')
})

const grants: Array<[name: string, authorizationParams: NonNullable<Auth0Options['authorizationParams']>, option: string]> = [
  ['the implicit grant', { response_type: 'token' }, 'response_type'],
  ['tokens in the front channel', { response_type: 'id_token token' }, 'response_type'],
  ['the password grant', { grant_type: 'password' }, 'grant_type']
]
for (const [name, authorizationParams, option] of grants) {
  t.test(`A13 does not boot when ${name} is asked for (RFC 9700 §2.1.2, §2.4)`, async t => {
    await t.rejects(buildApp(t, { auth0: { authorizationParams } }), { code: 'FST_AUTH0_OPTIONS_INVALID', message: `"authorizationParams.${option}"` })
  })
}

t.test('A14 asks for exactly the configured scopes (ASVS 5.0 §10.2.3)', async t => {
  t.equal((await asked(await buildApp(t))).get('scope'), 'openid profile email')
  t.equal((await asked(await buildApp(t, { auth0: { authorizationParams: { scope: 'openid', audience: 'https://api.example' } } }))).get('scope'), 'openid')
})

t.test('N14 HEAD, prefetch and prerender do nothing (promise 12)', async t => {
  const { browser } = await buildApp(t)
  const head = await browser.get('/login', { method: 'HEAD' })
  t.match(head, { statusCode: 405, headers: { allow: 'GET' }, location: null, setCookies: [], body: '' })
  const purposes = [{ 'sec-purpose': 'prefetch' }, { 'sec-purpose': 'prefetch;prerender' }, { purpose: 'prefetch' }, { 'x-purpose': 'preview' }, { 'x-moz': 'prefetch' }]
  for (const headers of purposes) {
    t.match(await browser.get('/login', { headers }), { statusCode: 403, location: null, setCookies: [] })
    t.equal((await browser.fetch('/login', { headers })).json().code, 'FST_AUTH0_PREFETCH_REFUSED')
  }
  t.equal((await browser.get('/login', { headers: { 'sec-purpose': 'something else' } })).statusCode, 302)
})

t.test('N14 a page that embeds the login as an image begins none', async t => {
  const { browser } = await buildApp(t)
  for (const destination of ['image', 'script', 'style']) {
    t.match(await browser.get('/login', { site: 'cross-site', headers: { 'sec-fetch-dest': destination } }), { statusCode: 403, setCookies: [] })
  }
})

const heads: Array<[address: string, methods: string]> = [['/callback?code=c&state=s', 'GET, POST'], ['/logout', 'GET, POST']]
for (const [address, methods] of heads) {
  t.test(`N14 HEAD ${address} does nothing (promise 12)`, async t => {
    const { browser, provider } = await buildApp(t)
    await browser.login()
    t.match(await browser.get(address, { method: 'HEAD' }), { statusCode: 405, headers: { allow: methods }, setCookies: [] })
    t.equal(provider.callsTo('token').length, 1)
    t.equal((await browser.get('/')).body, 'Hello Ada Lovelace')
  })
}

t.test('response_mode=form_post is asked for, and its cookie comes along with a POST from the provider\'s site (Form Post Response Mode §2)', async t => {
  const { browser } = await buildApp(t, { auth0: { authorizationParams: { response_mode: 'form_post' } } })
  const { location, setCookies } = await browser.get('/login')
  t.equal(location!.searchParams.get('response_mode'), 'form_post')
  t.match(setCookies, [/; HttpOnly; Secure; SameSite=None$/])
})

t.test('response_mode=form_post works on http, too, while that is this machine', async t => {
  const { browser } = await buildApp(t, { auth0: { appBaseUrl: 'http://localhost:3000', authorizationParams: { response_mode: 'form_post' } } })
  t.match((await browser.login('/login?returnTo=/me')).json(), { isAuthenticated: true })
})

t.test('M4 a long returnTo gives way to the home page, and fails no login', async t => {
  const { browser } = await buildApp(t)
  for (const [query, path] of [['a'.repeat(2000), `/${'a'.repeat(2000)}`], ['a'.repeat(3000), '/'], ['%C3%A9'.repeat(1000), '/'], ['x&returnTo=/y', '/']] as const) {
    t.equal((await browser.comeBack(await browser.leave(`/login?returnTo=/${query}`))).location?.pathname, path, query.slice(0, 20))
  }
})

t.test('M4 also one that is short enough, where the rest of the login is long', async t => {
  const scope = `openid ${'read:everything '.repeat(60)}`.trim()
  const { browser } = await buildApp(t, { auth0: { authorizationParams: { scope } } })
  t.equal((await browser.comeBack(await browser.leave(`/login?returnTo=/${'a'.repeat(200)}`))).location?.pathname, `/${'a'.repeat(200)}`)
  t.equal((await browser.comeBack(await browser.leave(`/login?returnTo=/${'a'.repeat(2000)}`))).location?.pathname, '/')
})

t.test('N9, B14 answers are stored by nobody, open to no other origin, and tell no Referer (promise 11)', async t => {
  const { browser } = await buildApp(t, { browser: { refusedCookies: 'note' } })
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    const { headers } = await browser.fetch('/login', { method, site: 'cross-site', headers: { origin: 'https://elsewhere.example' } })
    t.notOk(Object.keys(headers).some(name => name.startsWith('access-control-')), method)
    if (method !== 'OPTIONS') t.match(headers, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }, method)
  }
})

t.test('a provider that is down', async t => {
  for (const fault of ['connection refused', 'hang', '500', '429'] as const) {
    t.test(`${fault}: public pages are served, login says 503 with a way on, and works once the provider is back (promise 10)`, async t => {
      const { app, browser, provider } = await buildApp(t, { auth0: { httpTimeout: fault.startsWith('hang') ? 150 : 5000 } })
      provider.failAll(fault)
      await app.ready()
      t.equal((await browser.get('/')).body, 'Hello stranger')
      await refusesToStart(t, browser, 503, 'FST_AUTH0_PROVIDER_UNAVAILABLE')
      const page = await browser.get('/login?returnTo=/me?a=b')
      t.match(page, { statusCode: 503, headers: { 'retry-after': fault === '429' ? '7' : '10' } })
      t.match(page.body, 'href="/login?returnTo=%2Fme%3Fa%3Db"', 'which leads where the person wanted to go')
      provider.heal()
      t.match((await browser.login('/login?returnTo=/me?a=b')).url, { pathname: '/me', search: '?a=b' })
    })
  }
})

async function refusesToStart (t: Test, browser: Built['browser'], statusCode: number, code: string): Promise<void> {
  const response = await browser.fetch('/login')
  t.match(response, { statusCode, location: null, setCookies: [] })
  t.equal(response.json().code, code)
}

/** All but the values that differ from login to login. */
function shape (parameters: URLSearchParams): string[] {
  return [...parameters].filter(([name]) => !['state', 'nonce', 'code_challenge'].includes(name)).map(pair => pair.join('=')).concat([...parameters.keys()]).sort()
}
