import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp, type BuildOptions, type Built } from './helpers/app.ts'
import type { Json } from './helpers/id-tokens.ts'
import { forgeFor, type Forgery } from './helpers/id-token-forgeries.ts'
import type { Fault } from './helpers/provider-faults.ts'

const FAILED = [502, 'FST_AUTH0_PROVIDER_FAILED'] as const
const UNAVAILABLE = [503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'] as const

// Who is asked

const asked: Array<[name: string, auth0: Auth0Options, missing: string[], isAsked: boolean]> = [
  ['a claim of a scope is missing', {}, ['name'], true],
  ['the e-mail address is missing', {}, ['email'], true],
  ['nothing is missing', {}, [], false],
  ['what is missing stands for no scope', {}, ['picture'], false],
  ['the scope of what is missing was not asked for', { authorizationParams: { scope: 'openid email' } }, ['name'], false],
  ['a scope was asked for that nobody knows', { authorizationParams: { scope: 'openid read:messages' } }, ['name', 'email'], false],
  ['the telephone number is missing', { authorizationParams: { scope: 'openid phone' } }, [], true],
  ['the policy is always', { userInfo: 'always' }, [], true],
  ['the policy is never, though a claim is missing', { userInfo: false }, ['name', 'email'], false]
]
for (const [name, auth0, missing, isAsked] of asked) {
  t.test(`UserInfo is ${isAsked ? '' : 'not '}asked when ${name} (OpenID Connect Core 1.0 §5.3, §5.4)`, async t => {
    const { browser, provider } = await buildWithout(t, missing, { auth0 })
    t.equal((await browser.navigate('/profile')).statusCode, 200)
    t.equal(provider.callsTo('userinfo').length, isAsked ? 1 : 0)
  })
}

t.test('a provider without UserInfo is not asked for what is missing, unless UserInfo is demanded', async t => {
  const provider = { metadata: { userinfo_endpoint: undefined } }
  const lenient = await buildWithout(t, ['name'], { provider })
  t.match((await lenient.browser.navigate('/profile')).json(), { sub: 'auth0|ada', email: 'ada@example.com' })
  const strict = await buildWithout(t, ['name'], { provider, auth0: { userInfo: 'always' } })
  await isRefused(t, strict, FAILED, /userinfo_endpoint/)
})

t.test('E5 UserInfo verifies no other e-mail address than that of the ID token', async t => {
  for (const [email, isVerified] of [['mallory@example.com', undefined], ['ada@example.com', true]] as const) {
    const { browser, provider } = await buildWithout(t, ['name', 'email_verified'])
    provider.fail('userinfo', { json: { email, email_verified: true } })
    t.match((await browser.navigate('/profile')).json(), { email: 'ada@example.com', email_verified: isVerified })
  }
})

t.test('UserInfo adds to what the ID token says, and changes nothing of it', async t => {
  const { browser, provider } = await buildWithout(t, ['name', 'picture'])
  provider.fail('userinfo', { json: { email: 'mallory@example.com', department: 'Analysis' } })
  t.match((await browser.navigate('/profile')).json(), { name: 'Ada Lovelace', picture: /ada\.png/, email: 'ada@example.com', department: 'Analysis' })
})

t.test('what is said of the login itself comes from the ID token alone', async t => {
  const { browser, provider } = await buildWithout(t, ['name'])
  provider.fail('userinfo', { json: { auth_time: 1, acr: 'urn:example:sure', amr: ['mfa'], sid: 'other', iss: 'https://attacker.example/' } })
  const user = (await browser.navigate('/profile')).json()
  t.match(user, { name: 'Ada Lovelace', iss: 'https://tenant.example.com/', sid: /^sid-/ })
  for (const claim of ['auth_time', 'acr', 'amr']) t.notOk(claim in user, claim)
})

t.test('E2 the access token goes in the Authorization header only (RFC 6750 §2.1)', async t => {
  const { browser, provider } = await buildWithout(t, ['name'])
  await browser.login()
  const { method, url, headers, body } = provider.callsTo('userinfo')[0]!
  t.equal(method, 'GET')
  t.equal(url.search, '')
  t.equal(body, '')
  t.match(headers.get('authorization'), /^Bearer access-token-/)
})

// What is refused, whatever the policy

const refusals: Array<[name: string, fault: Fault]> = [
  ['E1 another sub', 'other sub'],
  ['E1 no sub', 'no sub'],
  ['E1 a sub that is no text', { json: { sub: ['auth0|ada'] } }],
  ['E1 a sub in other letters', { json: { sub: 'AUTH0|ADA' } }],
  ['an array', 'array'],
  ['null', 'null']
]
for (const policy of ['missing', 'always'] as const) {
  for (const [name, fault] of refusals) {
    t.test(`${name} is refused, policy ${policy} (OpenID Connect Core 1.0 §5.3.2)`, async t => {
      const built = await buildWithout(t, ['name'], { auth0: { userInfo: policy } })
      built.provider.fail('userinfo', fault)
      await isRefused(t, built, FAILED, /UserInfo: /)
    })
  }
}

// What fails

const failures: Array<[fault: Fault, always: readonly [number, string]]> = [
  ['500', UNAVAILABLE],
  ['503', UNAVAILABLE],
  ['429', UNAVAILABLE],
  ['hang', UNAVAILABLE],
  ['trickle', UNAVAILABLE],
  ['connection reset', UNAVAILABLE],
  ['token refused', FAILED],
  ['404', FAILED],
  ['html', FAILED],
  ['invalid JSON', FAILED],
  ['deep JSON', FAILED],
  ['empty', FAILED],
  ['oversized', FAILED],
  ['redirect', FAILED]
]
for (const [fault, expected] of failures) {
  t.test(`E4 UserInfo fails with ${String(fault)}: the login goes on by default, and fails when UserInfo is demanded`, async t => {
    const lenient = await buildWithout(t, ['name', 'picture'], { auth0: { httpTimeout: 100 } })
    lenient.provider.fail('userinfo', fault)
    const user = (await lenient.browser.navigate('/profile')).json()
    t.match(user, { sub: 'auth0|ada', email: 'ada@example.com' })
    t.notOk('name' in user || 'picture' in user, 'no half of a profile')
    t.equal(lenient.logs.lines.filter(({ msg }) => msg === 'login goes on without UserInfo').length, 1)

    const strict = await buildWithout(t, ['name'], { auth0: { userInfo: 'always', httpTimeout: 100 } })
    strict.provider.fail('userinfo', fault)
    await isRefused(t, strict, expected, /UserInfo: /)
    t.equal(strict.provider.callsTo('attacker').length, 0)
  })
}

// UserInfo as a JWT

t.test('E3 UserInfo may be a signed JWT', async t => {
  const { browser, provider } = await buildWithout(t, ['name'])
  provider.userInfoAs = 'jwt'
  t.match((await browser.navigate('/profile')).json(), { name: 'Ada Lovelace' })
})

const forged: Array<[name: string, forgery: Forgery, reason: RegExp]> = [
  ['a foreign key', 'a foreign key under our kid', /signature verification failed/],
  ['no signature', 'no signature', /signature verification failed/],
  ['alg none', 'alg none', /unexpected JWT "alg"/],
  ['HS256', 'HS256 with the client secret', /"alg"|unsupported/],
  ['another issuer', 'iss of another', /"iss"/],
  ['another audience', 'aud of another', /"aud"/],
  ['another sub', { claims: { sub: 'another' } }, /"sub"/],
  ['an unknown kid', 'kid unknown', /no applicable keys/],
  ['an expiry in the past', 'exp past', /"exp"/],
  ['no JWT at all', 'not a token', /Invalid JWT/]
]
for (const [name, forgery, reason] of forged) {
  t.test(`E3 UserInfo as a JWT with ${name} is refused (OpenID Connect Core 1.0 §5.3.2)`, async t => {
    const built = await buildWithout(t, ['name'])
    built.provider.userInfoAs = 'jwt'
    built.provider.forge('userinfo', forgery)
    await isRefused(t, built, FAILED, reason)
  })
}

t.test('E3 UserInfo as a JWT that the provider does not advertise is refused', async t => {
  const built = await buildWithout(t, ['name'], { provider: { metadata: { userinfo_signing_alg_values_supported: undefined } } })
  built.provider.userInfoAs = 'jwt'
  await isRefused(t, built, FAILED, /"alg"/)
})

t.test('claims in a JWT that nest deeper than any are left out', async t => {
  const { browser, provider, logs } = await buildWithout(t, ['name'])
  provider.userInfoAs = 'jwt'
  provider.forge('userinfo', { claims: { deep: JSON.parse(`${'['.repeat(100)}${']'.repeat(100)}`) } })
  const user: Json = (await browser.navigate('/profile')).json()
  t.notOk('deep' in user)
  t.match(logs.lines.find(({ msg }) => msg === 'login goes on without UserInfo')?.err?.message, /nest too deep/)
})

t.test('E5 people are told apart by issuer and sub, not by an e-mail address', async t => {
  const { browser } = await buildApp(t)
  await browser.login('/profile', { authorize: { user: { sub: 'auth0|mallory', name: 'Mallory', email: 'ada@example.com', email_verified: false } } })
  t.match((await browser.get('/me')).json().user, { iss: 'https://tenant.example.com/', sub: 'auth0|mallory', email_verified: false })
})

t.test('keys that were rotated between token and UserInfo are found', async t => {
  const { browser, provider } = await buildWithout(t, ['name'])
  provider.userInfoAs = 'jwt'
  provider.forge('userinfo', draft => {
    const key = provider.rotateKeys()
    return forgeFor({ key, header: { kid: key.kid } })(draft)
  })
  t.match((await browser.navigate('/profile')).json(), { name: 'Ada Lovelace' })
  t.equal(provider.callsTo('jwks').length, 2)
})

/** An application whose provider keeps some claims out of ID tokens. */
async function buildWithout (t: Test, claims: string[], options?: BuildOptions): Promise<Built> {
  const built = await buildApp(t, options)
  built.provider.onlyInUserInfo = claims
  return built
}

/** The login ends at our page, with nobody logged in. */
async function isRefused (t: Test, { browser, logs }: Built, [statusCode, code]: readonly [number, string], reason: RegExp): Promise<void> {
  const response = await browser.navigate('/profile')
  t.equal(response.statusCode, statusCode)
  t.match(response.body, code)
  t.match(logs.lines.find(({ err }) => err)?.err, { code, message: reason })
  t.equal(browser.cookie('__Host-auth0'), null)
}
