import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildApp, type Built } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Json } from './helpers/id-tokens.ts'
import type { Fault } from './helpers/provider-faults.ts'
import { createProvider } from './helpers/provider.ts'

const FAILED = [502, 'FST_AUTH0_PROVIDER_FAILED'] as const
const UNAVAILABLE = [503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'] as const

// When

t.test('the metadata are fetched in the background when the application is ready', async t => {
  const { app, browser, provider } = await buildApp(t)
  t.equal(provider.calls.length, 0)
  await app.ready()
  await until(() => provider.callsTo('discovery').length === 1)
  await browser.login()
  t.equal(provider.callsTo('discovery').length, 1, 'and serve the first login')
})

t.test('one discovery, however many wait', async t => {
  const { provider, newBrowser } = await buildApp(t)
  provider.fail('discovery', 'slow')
  const answers = await Promise.all(Array.from({ length: 30 }, () => newBrowser().get('/login')))
  t.ok(answers.every(({ statusCode }) => statusCode === 302))
  t.equal(provider.callsTo('discovery').length, 1)
})

for (const fault of ['hang', 'connection refused', '500', 'other issuer'] as const) {
  t.test(`promise 10: the application boots and serves its public pages while discovery fails with ${fault}, and recovers by itself`, async t => {
    const provider = createProvider()
    provider.fail('discovery', fault)
    const { app, browser, logs } = await buildApp(t, { provider, auth0: { httpTimeout: 100 } })
    await app.ready()
    t.equal((await browser.get('/')).body, 'Hello stranger')
    t.equal((await browser.get('/profile')).statusCode, 302)
    await until(() => logs.lines.some(({ msg }) => msg?.startsWith('provider not ready')))
    t.ok((await browser.get('/login')).statusCode >= 502)
    provider.heal()
    t.match((await browser.login()).json(), { name: 'Ada Lovelace' })
    t.equal(logs.lines.filter(({ msg }) => msg?.startsWith('provider not ready')).length, 1, 'the background says it once')
  })
}

t.test('a discovery that failed is tried again at every visit, and at no other time', async t => {
  const { browser, provider, logs } = await buildApp(t)
  provider.fail('discovery', 'connection refused')
  await browser.get('/')
  await until(() => logs.lines.some(({ msg }) => msg?.startsWith('provider not ready')))
  for (const calls of [2, 3, 4]) {
    t.equal((await browser.get('/login')).statusCode, 503)
    t.equal(provider.callsTo('discovery').length, calls)
  }
})

t.test('metadata are renewed after ten minutes, while the old ones serve', async t => {
  const clock = travelInTime(t)
  const { browser, provider } = await buildApp(t)
  await browser.login()
  provider.metadata = { authorization_endpoint: 'https://tenant.example.com/authorize/v2' }
  clock.advance(590)
  t.equal((await browser.get('/login')).location!.pathname, '/authorize')
  t.equal(provider.callsTo('discovery').length, 1)
  clock.advance(11)
  provider.failNext('discovery', 'slow')
  for (let visit = 0; visit < 5; visit++) t.equal((await browser.get('/login')).location!.pathname, '/authorize', 'nobody waits')
  t.equal(provider.callsTo('discovery').length, 2)
  await until(async () => (await browser.get('/login')).location!.pathname === '/authorize/v2')
  t.equal(provider.callsTo('discovery').length, 2)
})

for (const fault of ['connection refused', '500', 'html', 'other issuer', 'http endpoints', 'no endpoints', 'oversized'] as const) {
  t.test(`metadata that cannot be renewed (${fault}) serve on, without a try for every visit`, async t => {
    const clock = travelInTime(t)
    const { browser, provider, logs } = await buildApp(t)
    await browser.login()
    provider.fail('discovery', fault)
    const warnings = () => logs.lines.filter(({ msg }) => msg === 'provider metadata not renewed')
    for (const tries of [1, 2]) {
      clock.advance(600)
      for (let visit = 0; visit < 10; visit++) t.equal((await browser.get('/login')).statusCode, 302)
      await until(() => warnings().length === tries)
      t.equal(provider.callsTo('discovery').length, tries + 1)
      t.match(warnings()[0], { level: 40, err: { message: /discovery: / } })
    }
    provider.heal()
    clock.advance(30)
    await browser.login('/login?returnTo=/profile')
    await until(() => provider.callsTo('discovery').length === 4)
    t.equal(warnings().length, 2)
  })
}

// What

const documents: Array<[name: string, fault: Fault, reason: RegExp]> = [
  ['F1 another issuer', 'other issuer', /are of issuer "https:\/\/attacker\.example\/" and not of "https:\/\/tenant\.example\.com\/"/],
  ['F1 no issuer', 'no issuer', /of issuer "undefined"/],
  ['F1 the issuer with a path', { json: { issuer: 'https://tenant.example.com/other' } }, /metadata are of issuer/],
  ['F1 the issuer on another port', { json: { issuer: 'https://tenant.example.com:444/' } }, /metadata are of issuer/],
  ['F1 an issuer in an array', { json: { issuer: ['https://tenant.example.com/'] } }, /metadata are of issuer/],
  ['F1 an issuer that is no URL', { json: { issuer: 'tenant' } }, /of issuer "tenant"/],
  ['F3 http endpoints', 'http endpoints', /not https: http:\/\/tenant\.example\.com/],
  ...['authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'jwks_uri', 'end_session_endpoint', 'pushed_authorization_request_endpoint'].flatMap(name => [
    [`F3 ${name} over http`, { json: { [name]: 'http://tenant.example.com/x' } }, /not https: http:/],
    [`F3 ${name} of a script`, { json: { [name]: 'javascript:alert(1)' } }, /not https: javascript:/],
    [`${name} that is no URL`, { json: { [name]: '/x' } }, new RegExp(`"${name}" in the metadata is no URL`)],
    [`${name} that is no text`, { json: { [name]: 7 } }, new RegExp(`"${name}" in the metadata is no URL`)]
  ] as Array<[string, Fault, RegExp]>),
  ['F4 an endpoint at a link-local address', { json: { token_endpoint: 'http://169.254.169.254/token' } }, /not https/],
  ...['authorization_endpoint', 'token_endpoint', 'jwks_uri'].map(name =>
    [`no ${name}`, { json: { [name]: undefined } }, new RegExp(`the metadata lack "${name}"`)] as [string, Fault, RegExp]),
  ['F5 4 MB', 'oversized', /more than 524288 bytes/],
  ['F5 deep JSON', 'deep JSON', /nests too deep/],
  ['F4 a redirect', 'redirect', /redirect/],
  ['a page', 'html', /not JSON/],
  ['an array', 'array', /no JSON object/],
  ['null', 'null', /no JSON object/],
  ['a 404', '404', /status 404/]
]
for (const [name, fault, reason] of documents) {
  t.test(`metadata with ${name} are refused (OpenID Connect Discovery 1.0 §4.3, RFC 9700 §2.6)`, async t => {
    const built = await buildApp(t)
    built.provider.fail('discovery', fault)
    await failsToStart(t, built, FAILED, reason)
    built.provider.heal()
    t.equal((await built.browser.get('/login')).statusCode, 302, 'the next visit is well')
  })
}

for (const fault of ['hang', 'hang after the headers', 'trickle', 'connection reset', 'reset while reading', 'unknown host', '500', '502', '503', '429'] as const) {
  t.test(`discovery that fails with ${fault} is a 503, and no wait`, async t => {
    const built = await buildApp(t, { auth0: { httpTimeout: 50 } })
    built.provider.fail('discovery', fault)
    await failsToStart(t, built, UNAVAILABLE, /discovery: /)
  })
}

const entra = 'https://login.microsoftonline.com'
const templates: Array<[name: string, issuer: string, actual: string]> = [
  ['all tenants of Entra ID', `${entra}/common/v2.0`, `${entra}/{tenantid}/v2.0`],
  ['another tenant of Entra ID', `${entra}/tenant-a/v2.0`, `${entra}/tenant-b/v2.0`],
  ['another policy of Azure AD B2C', 'https://a.b2clogin.com/a/v2.0', 'https://a.b2clogin.com/b/v2.0'],
]
for (const [name, issuer, actual] of templates) {
  t.test(`F2 the issuer is compared also for ${name}`, async t => {
    const { document } = createProvider({ issuer: actual })
    await failsToStart(t, await buildApp(t, { auth0: { issuer, fetch: async () => Response.json(document) } }), FAILED, /metadata are of issuer/)
  })
}

const issuers: Array<[issuer: string, discovery: string]> = [
  ['https://id.example.com/', 'https://id.example.com/.well-known/openid-configuration'],
  ['https://id.example.com', 'https://id.example.com/.well-known/openid-configuration'],
  ['https://id.example.com:8443/', 'https://id.example.com:8443/.well-known/openid-configuration'],
  ['https://id.example.com:8443/realms/a', 'https://id.example.com:8443/realms/a/.well-known/openid-configuration'],
  ['https://id.example.com/realms/a/', 'https://id.example.com/realms/a/.well-known/openid-configuration'],
  ['http://localhost:4000/realms/a', 'http://localhost:4000/realms/a/.well-known/openid-configuration']
]
for (const [issuer, discovery] of issuers) {
  t.test(`an issuer may be ${issuer}, and stays as the provider writes it`, async t => {
    const { browser, provider } = await buildApp(t, { provider: { issuer }, auth0: { issuer } })
    t.equal((await browser.login()).json().iss, issuer)
    t.equal(provider.callsTo('discovery')[0]!.url.href, discovery)
  })
}

const slashes: Array<[configured: string, actual: string]> = [
  ['https://id.example.com/realms/a', 'https://id.example.com/realms/a/'],
  ['https://id.example.com/realms/a/', 'https://id.example.com/realms/a']
]
for (const [issuer, actual] of slashes) {
  t.test(`F1 the issuer ${issuer} is not ${actual}`, async t => {
    await failsToStart(t, await buildApp(t, { provider: { issuer, metadata: { issuer: actual } }, auth0: { issuer } }), FAILED, /metadata are of issuer/)
  })
}

t.test('F11 an ID token of the same issuer in other letters is one of another issuer', async t => {
  for (const issuer of ['https://TENANT.example.com/', 'https://tenant.example.com', 'https://tenant.example.com:443/']) {
    const { browser, provider } = await buildApp(t)
    provider.forge('idToken', { claims: { iss: issuer } })
    t.equal((await browser.navigate('/profile')).statusCode, 502, issuer)
  }
})

t.test('metadata that are odd but right are taken', async t => {
  const odd: Json = { mtls_endpoint_aliases: { token_endpoint: 'http://attacker.example/' }, userinfo_endpoint: undefined, id_token_signing_alg_values_supported: 'RS256', toString: 'x' }
  const { browser } = await buildApp(t, { provider: { metadata: odd } })
  t.equal((await browser.login()).statusCode, 200)
})

/** A login ends at our page before it begins. */
async function failsToStart (t: Test, { browser, provider, logs }: Built, [statusCode, code]: readonly [number, string], reason: RegExp): Promise<void> {
  const response = await browser.get('/login')
  t.equal(response.statusCode, statusCode)
  t.match(response.body, code)
  t.match(logs.lines.findLast(({ err }) => err)?.err, { code, message: reason })
  t.same(browser.cookieNames(), [])
  t.equal(provider.callsTo('attacker').length, 0)
}

/** Waits for what happens in the background: at most a second. */
async function until (holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 1000
  while (!await holds()) {
    if (performance.now() > end) throw new Error('it never happened')
    await setImmediate()
  }
}
