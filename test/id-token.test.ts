import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import t, { type Test } from 'tap'
import { buildApp, type BuildOptions, type Built } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { forgeries, forgeFor, oddities, type Forgery } from './helpers/id-token-forgeries.ts'
import { encode, publicJwk, rsaKey, signJwt, type Json } from './helpers/id-tokens.ts'

// Every ID token here comes out of a whole login, and the log must say why it was refused: else a test could pass for a wrong reason.

const INVALID = [502, 'FST_AUTH0_ID_TOKEN_INVALID'] as const
const STEP_UP_FAILED = [403, 'FST_AUTH0_STEP_UP_FAILED'] as const
const WRONG_ORGANIZATION = [403, 'FST_AUTH0_ORGANIZATION_MISMATCH'] as const
const now = () => Math.floor(Date.now() / 1000)

const KEY_UNKNOWN = /no applicable keys found/
const SIGNATURE_WRONG = /signature verification failed/
const AUTH_TIME_WRONG = /"auth_time" is missing or older than "max_age"/

/** Why a forgery is refused: by its line of the checklist, or by its name where one line has several reasons. */
const reasons: Record<string, RegExp> = {
  C1: /"iss" \(issuer\) claim/,
  C2: /"aud" \(audience\) claim/,
  C3: /untrusted audiences|"aud" names another client, too/,
  C4: /"azp" is another client/,
  C5: /unexpected JWT "alg"/,
  'no signature': SIGNATURE_WRONG,
  'two parts': /Invalid JWT/,
  C6: /unsupported JWS algorithm/,
  C7: /unexpected JWT "alg"/,
  'HS256 with the client secret': /unsupported JWS algorithm/,
  PS256: KEY_UNKNOWN,
  C8: SIGNATURE_WRONG,
  'a signature in standard base64': /not base64url/,
  'a signature with padding': /not base64url/,
  'a signature with a line break': /not base64url/,
  'a dot at the end': /Invalid JWT/,
  'a fourth part': /Invalid JWT/,
  'not a token': /Invalid JWT/,
  C9: SIGNATURE_WRONG,
  'jku of the attacker': KEY_UNKNOWN,
  C10: KEY_UNKNOWN,
  C11: /"exp" \(expiration time\) claim|"exp" is no time/,
  C12: /"(iat|nbf)"/,
  C13: AUTH_TIME_WRONG,
  'auth_time as text': /must be a number/,
  'auth_time null': /must be a number/,
  C15: /"nonce"/,
  C16: /"sub"/,
  C17: /"at_hash" is of another access token/,
  C18: /no JWT "crit"/,
  C19: /another type of token/,
  'a logout token': /"nonce" \(nonce\) claim missing/,
  C20: /JWE decryption is not configured/,
  C23: /member appears twice|not UTF-8|top level object|failed to parse JWT/
}

const { C14, ...refused } = forgeries
for (const [id, group] of Object.entries(refused)) {
  for (const name of Object.keys(group)) {
    const isStepUp = reasons[name] === undefined && id === 'C13'
    const auth0 = id === 'C13' ? { authorizationParams: { max_age: 300 } } : {}
    t.test(`${id} refuses ${name} (OpenID Connect Core 1.0 §3.1.3.7)`, t =>
      refuses(t, name as Forgery, isStepUp ? STEP_UP_FAILED : INVALID, reasons[name] ?? reasons[id]!, { auth0 }))
  }
}

const deep = () => JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`)
const bare = { provider: { metadata: { id_token_signing_alg_values_supported: undefined } } }
const unsafe = { provider: { metadata: { id_token_signing_alg_values_supported: ['none', 'HS256', 'RS256'] } } }

const more: Array<[name: string, forgery: Forgery, reason: RegExp, options?: BuildOptions]> = [
  ['C3 an audience twice over, nested', { claims: { aud: [['client-id']] } }, /"aud" \(audience\)/],
  ['C5 alg none of a provider that advertises it', 'alg none', /unsupported JWS "alg"/, unsafe],
  ['C6 HS256 of a provider that advertises nothing', 'HS256 with the public key as PEM', /unexpected JWT "alg"/, bare],
  ['C7 RS384 of a provider that advertises nothing: RS256 is the default', 'RS384', /unexpected JWT "alg"/, bare],
  ['C12 an issue long before the login, when the token has not expired', { claims: { iat: now() - 700 } }, /long before this login/],
  ['C13 an authentication that is yet to come, without max_age too', { claims: { auth_time: now() + 3600 } }, /"auth_time" is in the future/],
  ['C17 an at_hash of no text', { claims: { at_hash: null } }, /"at_hash"/],
  ['C18 b64 without crit (RFC 7797 §6)', { header: { b64: true } }, /unencoded payload/],
  ['C19 a logout token that calls itself JWT and has our nonce', { claims: { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } } }, /security event/],
  ['C19 a typ that is no text', { header: { typ: ['JWT'] } }, /another type of token/],
  ['C23 a claim twice, once escaped', ({ header, claims, key }) => signJwt({ header, key, payload: `{"\\u0073ub":"mallory",${JSON.stringify(claims).slice(1)}` }), /twice/],
  ['C23 a member twice, far within', ({ header, claims, key }) => signJwt({ header, key, payload: `{"a":[{"b":{"c":1, "c" :2}}],${JSON.stringify(claims).slice(1)}` }), /twice/],
  ['C23 claims that nest deeper than any', { claims: { deep: deep() } }, /nested too deep/]
]
for (const [name, forgery, reason, options] of more) {
  t.test(`${name} is refused`, t => refuses(t, forgery, INVALID, reason, options))
}

for (const name of Object.keys(oddities) as Array<keyof typeof oddities>) {
  t.test(`what is odd but right is accepted: ${name}${name === 'no kid' ? ' (C22)' : ''}`, t => accepts(t, oddities[name]))
}

t.test('a name that looks like JSON is no member twice (C23)', t => accepts(t, { claims: { name: '"sub":"x","sub":', 'a"b': [{}, [], '\\', { c: null }] } }))

t.test('C9 the addresses of keys in a token are never asked', async t => {
  for (const name of ['jku of the attacker', 'x5u of the attacker'] as const) {
    const { provider } = await refuses(t, name, INVALID, /ID token/)
    t.equal(provider.callsTo('attacker').length, 0)
  }
})

t.test('C14 acr_values that do not come back end at a page, not in a circle', async t => {
  for (const forge of Object.values(C14)) {
    const { browser, provider, logs } = await buildApp(t, {
      routes: app => app.get('/sure', { preHandler: app.requireAuth({ acr: 'urn:example:sure' }) }, async () => 'sure')
    })
    provider.forge('idToken', forge)
    const response = await browser.navigate('/sure')
    t.equal(response.statusCode, STEP_UP_FAILED[0])
    t.match(logs.lines.find(({ err }) => err)?.err, { code: STEP_UP_FAILED[1] })
    t.equal(provider.authorizations.length, 1)
  }
})

const maxAges: Array<[name: string, authTime: number, isRefused: boolean]> = [
  ['just old enough', 300, false],
  ['older, within the tolerance', 325, false],
  ['older', 340, true],
  ['from the other side of midnight, within the tolerance', -25, false]
]
for (const [name, age, isRefused] of maxAges) {
  t.test(`C13 an authentication that is ${name} is ${isRefused ? 'refused' : 'accepted'}`, t => {
    const forgery: Forgery = draft => forgeFor({ claims: { auth_time: now() - age } })(draft)
    const options = { auth0: { authorizationParams: { max_age: 300 } } }
    return isRefused ? refuses(t, forgery, STEP_UP_FAILED, AUTH_TIME_WRONG, options) : accepts(t, forgery, options)
  })
}

t.test('C13 whoever authenticated in this very login did so recently enough, however long it took', async t => {
  const clock = travelInTime(t)
  const { browser, provider } = await buildApp(t)
  const callback = await browser.leave('/login?max_age=60')
  clock.advance(500)
  t.equal((await browser.comeBack(callback)).statusCode, 303)
  t.equal(provider.authorizations[0]!.get('max_age'), '60')
})

const organizations: Array<[name: string, asked: string, claims: Json, isRefused: boolean]> = [
  ['the id that was asked for', 'org_7', {}, false],
  ['another id', 'org_7', { org_id: 'org_8' }, true],
  ['an id in other letters', 'org_7', { org_id: 'ORG_7' }, true],
  ['no id', 'org_7', { org_id: undefined }, true],
  ['the id as a name only', 'org_7', { org_id: undefined, org_name: 'org_7' }, true],
  ['the name that was asked for', 'acme', {}, false],
  ['the name, asked for in capitals', 'Acme', {}, false],
  ['another name', 'acme', { org_name: 'evil' }, true],
  ['no name', 'acme', { org_name: undefined }, true],
  ['the name as an id only', 'acme', { org_name: undefined, org_id: 'acme' }, true]
]
for (const [name, organization, claims, isRefused] of organizations) {
  t.test(`an organization, and back comes ${name}: ${isRefused ? 'refused' : 'accepted'}`, t => {
    const options = { auth0: { authorizationParams: { organization } } }
    return isRefused ? refuses(t, { claims }, WRONG_ORGANIZATION, /another organization/, options) : accepts(t, { claims }, options)
  })
}

const ed25519 = generateKeyPairSync('ed25519')
const algorithms: Array<[alg: string, hash: string | null, atHash: string, key: KeyObject]> = [
  ['RS384', 'sha384', 'sha384', rsaKey('key-1').privateKey],
  ['RS512', 'sha512', 'sha512', rsaKey('key-1').privateKey],
  ['EdDSA', null, 'sha512', ed25519.privateKey],
  ['Ed25519', null, 'sha512', ed25519.privateKey]
]
for (const [alg, hash, atHash, key] of algorithms) {
  t.test(`C17 at_hash is checked by the hash of ${alg} (OpenID Connect Core 1.0 §3.1.3.6)`, async t => {
    for (const [hashed, statusCode] of [['access-token-1', 200], ['access-token-2', 502]] as const) {
      const { browser, provider } = await buildApp(t, { provider: { metadata: { id_token_signing_alg_values_supported: [alg] } } })
      provider.jwks = [publicJwk(rsaKey('key-1'), { alg: undefined }), { ...ed25519.publicKey.export({ format: 'jwk' }), kid: 'ed' }]
      provider.fail('token', { json: { access_token: 'access-token-1' } })
      provider.forge('idToken', ({ header, claims }) => {
        const input = `${encode({ ...header, alg, kid: hash === null ? 'ed' : 'key-1' })}.${encode({ ...claims, at_hash: halfHash(atHash, hashed) })}`
        return `${input}.${sign(hash, Buffer.from(input), key).toString('base64url')}`
      })
      t.equal((await browser.navigate('/profile')).statusCode, statusCode)
    }
  })
}

t.test('C22 no kid: a key must be the only one that fits', async t => {
  const [one, two] = [rsaKey('key-1'), rsaKey('key-2')]
  const sets: Array<[name: string, jwks: Json[], isRefused: boolean]> = [
    ['two that fit', [publicJwk(one), publicJwk(two)], true],
    ['one for encryption beside it', [publicJwk(one), publicJwk(two, { use: 'enc' })], false],
    ['one of another algorithm beside it', [publicJwk(two, { alg: 'RS512' }), publicJwk(one)], false],
    ['one that may not verify beside it', [publicJwk(two, { key_ops: ['encrypt'] }), publicJwk(one)], false]
  ]
  for (const [name, jwks, isRefused] of sets) {
    const built = await buildApp(t)
    built.provider.jwks = jwks
    const forgery = { header: { kid: undefined } }
    await t.test(name, t => isRefused ? refuses(t, forgery, INVALID, /multiple applicable keys/, {}, built) : accepts(t, forgery, {}, built))
  }
})

t.test('the claims of a session are those of the person, without what protects the token', async t => {
  const { browser } = await buildApp(t)
  await browser.login()
  const { user } = (await browser.get('/me')).json()
  t.match(user, { iss: 'https://tenant.example.com/', sub: 'auth0|ada', name: 'Ada Lovelace' })
  for (const claim of ['aud', 'exp', 'iat', 'nonce', 'at_hash']) t.notOk(claim in user, claim)
})

/** A login with this ID token ends at our page, with nobody logged in. */
async function refuses (t: Test, forgery: Forgery, [statusCode, code]: readonly [number, string], reason: RegExp, options?: BuildOptions, built?: Built): Promise<Built> {
  const { browser, provider, logs, ...rest } = built ?? await buildApp(t, options)
  provider.forge('idToken', forgery)
  const response = await browser.navigate('/profile')
  t.equal(response.url.pathname, '/callback')
  t.equal(response.statusCode, statusCode)
  t.match(response.body, code)
  t.match(logs.lines.find(({ err }) => err)?.err, { code, message: reason })
  t.same(browser.cookieNames(), [], 'no session, and no login under way')
  t.equal(provider.callsTo('userinfo').length, 0)
  t.equal((await browser.get('/')).body, 'Hello stranger')
  return { browser, provider, logs, ...rest }
}

async function accepts (t: Test, forgery: Forgery, options?: BuildOptions, built?: Built): Promise<void> {
  const { browser, provider } = built ?? await buildApp(t, options)
  provider.forge('idToken', forgery)
  t.equal((await browser.navigate('/profile')).statusCode, 200)
}

function halfHash (hash: string, token: string): string {
  const digest = createHash(hash).update(token).digest()
  return digest.subarray(0, digest.length / 2).toString('base64url')
}
