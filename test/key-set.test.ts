import { generateKeyPairSync, sign } from 'node:crypto'
import t from 'tap'
import { createKeySet } from '../lib/provider/key-set.ts'
import { buildApp, type Built } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { encode, publicJwk, rsaKey, type Draft, type Json, type SigningKey } from './helpers/id-tokens.ts'
import { forgeFor } from './helpers/id-token-forgeries.ts'
import type { Fault } from './helpers/provider-faults.ts'

// When keys are asked for

t.test('keys are asked for once, however many logins wait for them', async t => {
  const { provider, newBrowser } = await buildApp(t)
  provider.fail('jwks', 'slow')
  const answers = await Promise.all(Array.from({ length: 20 }, () => newBrowser().navigate('/profile')))
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
  t.equal(provider.callsTo('jwks').length, 1)
  await newBrowser().login()
  t.equal(provider.callsTo('jwks').length, 1, 'and serve those who come later')
})

t.test('F7 a key that was rotated a moment ago is found at once (OpenID Connect Core 1.0 §10.1.1)', async t => {
  const { provider, newBrowser } = await buildApp(t)
  await newBrowser().login()
  provider.rotateKeys()
  await newBrowser().login()
  t.equal(provider.callsTo('jwks').length, 2)
})

t.test('F7 a key that was rotated between redirect and callback is found', async t => {
  const { browser, provider } = await buildApp(t)
  const callback = await browser.leave()
  provider.rotateKeys({ keepOld: false })
  t.equal((await browser.comeBack(callback)).statusCode, 303)
})

t.test('F7 keys that are rotated again and again within a moment are found', async t => {
  travelInTime(t, { isFrozen: true })
  const { provider, newBrowser } = await buildApp(t)
  await newBrowser().login()
  for (let rotation = 1; rotation <= 3; rotation++) {
    provider.rotateKeys({ keepOld: false })
    await newBrowser().login()
    t.equal(provider.callsTo('jwks').length, 1 + rotation)
  }
})

t.test('F6 unknown keys are asked for twice a minute, whatever comes', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const built = await buildApp(t)
  const { provider, newBrowser } = built
  await newBrowser().login()
  let tokens = 0
  provider.forge('idToken', draft => forgeFor({ header: { kid: `unknown-${tokens++}` } })(draft))
  const flood = () => Promise.all(Array.from({ length: 50 }, async () => (await newBrowser().navigate('/profile')).statusCode))
  t.ok((await flood()).every(statusCode => statusCode === 502))
  t.equal(provider.callsTo('jwks').length, 2, 'once for all that came')
  clock.advance(29)
  await flood()
  t.equal(provider.callsTo('jwks').length, 2)
  clock.advance(1)
  await flood()
  t.equal(provider.callsTo('jwks').length, 3)
  t.equal(tokens, 150)
  provider.heal()
  await newBrowser().login()
  t.equal(provider.callsTo('jwks').length, 3, 'and known keys need no asking')
})

t.test('F9 a key that the provider withdrew counts five minutes more, at most', async t => {
  const clock = travelInTime(t)
  const { provider, newBrowser } = await buildApp(t)
  const withdrawn = provider.key
  await newBrowser().login()
  provider.rotateKeys({ keepOld: false })
  provider.forge('idToken', forgeFor({ key: withdrawn, header: { kid: withdrawn.kid } }))
  clock.advance(290)
  t.equal((await newBrowser().navigate('/profile')).statusCode, 200)
  clock.advance(11)
  t.equal((await newBrowser().navigate('/profile')).statusCode, 502)
})

t.test('F9 a key that the provider withdrew is gone as soon as others were asked for', async t => {
  const { provider, newBrowser } = await buildApp(t)
  const withdrawn = provider.key
  await newBrowser().login()
  provider.rotateKeys({ keepOld: false })
  await newBrowser().login()
  provider.forge('idToken', forgeFor({ key: withdrawn, header: { kid: withdrawn.kid } }))
  t.equal((await newBrowser().navigate('/profile')).statusCode, 502)
})

// When they cannot be had

for (const fault of ['connection refused', 'hang', '500', '429', 'trickle'] as const) {
  t.test(`F8 keys that cannot be had (${fault}) are a 503 that costs no code: the same callback works later (when something fails)`, async t => {
    const { browser, provider, logs } = await buildApp(t, { auth0: { httpTimeout: 100 } })
    const callback = await browser.leave('/login?returnTo=/me')
    provider.fail('jwks', fault)
    const response = await browser.comeBack(callback)
    t.equal(response.statusCode, 503)
    t.match(response.headers['retry-after'], /^\d+$/)
    t.match(logs.lines.find(({ err }) => err)?.err, { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE', message: /keys: / })
    t.equal(provider.callsTo('token').length, 0)
    provider.heal()
    t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/me' } })
  })
}

t.test('F8 known keys serve on while they are fresh, though their endpoint is down; then logins are a 503, and sessions go on', async t => {
  const clock = travelInTime(t)
  const { browser, provider, newBrowser } = await buildApp(t)
  await browser.login()
  provider.fail('jwks', 'connection refused')
  clock.advance(200)
  await newBrowser().login()
  clock.advance(200)
  t.equal((await newBrowser().navigate('/profile')).statusCode, 503)
  t.equal((await browser.get('/profile')).statusCode, 200)
})

t.test('an unknown key while the endpoint is down is a 503', async t => {
  const { browser, provider, newBrowser } = await buildApp(t)
  await newBrowser().login()
  provider.rotateKeys()
  provider.fail('jwks', 'connection refused')
  t.equal((await browser.navigate('/profile')).statusCode, 503)
  t.equal(browser.cookie('__Host-auth0'), null)
})

const unusable: Array<[name: string, fault: Fault, reason: RegExp]> = [
  ['F5 10,000 keys', '10,000 keys', /more than 524288 bytes/],
  ['F5 4 MB', 'oversized', /more than/],
  ['F5 deep JSON', 'deep JSON', /nests too deep/],
  ['F4 a redirect', 'redirect', /redirect/],
  ['a page', 'html', /not JSON/],
  ['an array', 'array', /no JSON object/],
  ['keys that are no array', 'keys that are no array', /no key set/],
  ['a key that is no object', { json: { keys: [null] } }, /no key set/],
  ['a 404', '404', /status 404/],
  ['no content', () => new Response(null, { status: 204 }), /not JSON/],
  ['JSON, but not a 200', () => Response.json({ keys: [publicJwk(rsaKey('key-1'))] }, { status: 203 }), /status 203/]
]
for (const [name, fault, reason] of unusable) {
  t.test(`a key set of ${name} is refused before the code is spent`, async t => {
    const { browser, provider, logs } = await buildApp(t)
    provider.fail('jwks', fault)
    t.equal((await browser.navigate('/profile')).statusCode, 502)
    t.match(logs.lines.find(({ err }) => err)?.err, { code: 'FST_AUTH0_PROVIDER_FAILED', message: reason })
    t.equal(provider.callsTo('token').length, 0)
    t.equal(provider.callsTo('attacker').length, 0)
  })
}

// Which keys verify

const weak = (): SigningKey => ({ kid: 'key-1', ...generateKeyPairSync('rsa', { modulusLength: 1024 }) })
const ours = rsaKey('key-1')
const unfit: Array<[name: string, keys: (built: Built) => Json[]]> = [
  ['F10 for encryption', () => [publicJwk(ours, { use: 'enc' })]],
  ['F10 that may not verify', () => [publicJwk(ours, { key_ops: ['encrypt'] })]],
  ['F10 with its private half', () => [{ ...publicJwk(ours), ...ours.privateKey.export({ format: 'jwk' }) }]],
  ['F10 for another algorithm', () => [publicJwk(ours, { alg: 'RS512' })]],
  ['F10 of another type', () => [publicJwk(ours, { kty: 'EC', crv: 'P-256' })]],
  ['F10 that is symmetric', () => [{ kty: 'oct', kid: 'key-1', k: encode('k'.repeat(32)) }]],
  ['F10 with 1024 bits', ({ provider }) => {
    provider.key = weak()
    return [publicJwk(provider.key)]
  }],
  ['F10 whose numbers are none', () => [publicJwk(ours, { n: 'AQAB' })]],
  ['whose operations are no list', () => [publicJwk(ours, { key_ops: 7 })]],
  ['that are there twice', () => [publicJwk(ours), publicJwk(ours)]],
  ['that are none', () => []]
]
for (const [name, keysOf] of unfit) {
  t.test(`keys ${name} verify nothing`, async t => {
    const built = await buildApp(t)
    const { browser, provider, logs } = built
    provider.jwks = keysOf(built)
    t.equal((await browser.navigate('/profile')).statusCode, 502)
    t.match(logs.lines.find(({ err }) => err)?.err, { code: 'FST_AUTH0_ID_TOKEN_INVALID', message: /ID token: / })
    t.equal(browser.cookie('__Host-auth0'), null)
  })
}

t.test('F10 unfit keys do not stand in the way of a fit one', async t => {
  const { browser, provider } = await buildApp(t)
  provider.jwks = [{ kty: 'oct', kid: 'key-1', k: 'AAAA' }, {}, publicJwk(weak(), { kid: 'weak' }), publicJwk(ours, { use: 'enc' }), publicJwk(ours)]
  await browser.login()
})

const P256 = { namedCurve: 'P-256' }
const es256 = (key: SigningKey) => ({ header, claims }: Draft) => {
  const input = `${encode({ ...header, alg: 'ES256' })}.${encode(claims)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}
for (const [name, changes, statusCode] of [['on its curve', {}, 200], ['that is not on its curve', { y: encode(Buffer.alloc(32, 1)) }, 502]] as Array<[string, Json, number]>) {
  t.test(`F10 an elliptic key ${name}`, async t => {
    const { browser, provider } = await buildApp(t, { provider: { metadata: { id_token_signing_alg_values_supported: ['ES256'] } } })
    const key = { kid: 'key-1', ...generateKeyPairSync('ec', P256) }
    provider.jwks = [publicJwk(key, { alg: 'ES256', ...changes })]
    provider.forge('idToken', es256(key))
    t.equal((await browser.navigate('/profile')).statusCode, statusCode)
  })
}

t.test('a key that comes with the request under way needs none of its own', async t => {
  let [calls, answer] = [0, (_response: Response) => {}]
  const keySet = createKeySet(async () => {
    calls++
    return new Promise<Response>(resolve => { answer = resolve })
  }, 'https://id.example.com/keys')
  const [current, renewed] = [keySet.current(), keySet.renewed('b')]
  answer(Response.json({ keys: [{ kty: 'RSA', kid: 'b' }] }))
  t.equal(await renewed, await current)
  t.equal(calls, 1)
})
