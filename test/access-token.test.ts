import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseAccessToken, verifyAccessToken, type AccessTokenExpectation, type VerifiedClaims } from '../lib/verify/access-token.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { travelInTime } from './helpers/clock.ts'
import { forgeries, type Forge, type Forgery } from './helpers/id-token-forgeries.ts'
import { encode, publicJwk, rsaKey, signJwt, type Json } from './helpers/id-tokens.ts'
import { LOGOUT_EVENT } from './helpers/logout-tokens.ts'
import { Provider } from './helpers/provider.ts'

// The error's cause must say why a token was refused: else a test could pass for a wrong reason.

const now = () => Math.floor(Date.now() / 1000)
const provider = new Provider({ keys: [rsaKey('key-1'), rsaKey('key-2')] })
const keysOf = (jwks: Json[]) => ({ current: async () => ({ keys: jwks }), renewed: async () => ({ keys: jwks }) })
const strict: AccessTokenExpectation = {
  issuer: provider.issuer,
  audience: [AUDIENCE],
  algorithms: ['RS256'],
  keys: keysOf(provider.jwks),
  clockTolerance: 30,
  mustBeTyped: true
}
const lenient = { ...strict, mustBeTyped: false }
/** Without what only access tokens have. */
const bare = { client_id: undefined, scope: undefined }
const byOneKey = { ...strict, keys: keysOf([publicJwk(rsaKey('key-1'))]) }

const SECRET = new TextEncoder().encode('0f9a3c7e5b1d2846f0e1d2c3b4a59687')
const shared = { ...strict, keys: SECRET, algorithms: ['HS256'] }
const hmac = (hash: string, secret: Uint8Array, more: Json = {}, change: Json = {}): Forge => ({ header, claims }) => {
  const input = `${encode({ ...header, alg: `HS${hash.slice(3)}`, kid: undefined, ...more })}.${encode({ ...claims, ...change })}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}

const raw = (changed: (claims: string) => string): Forgery => ({ header, claims, key }) => signJwt({ header, key, payload: changed(JSON.stringify(claims)) })
const ofHeader = (header: Json): Forgery => ({ header })
const ofClaims = (claims: Json): Forgery => ({ claims })

const NO_SIGN = /nothing says that it is an access token/

// What is accepted

const accepted: Array<[name: string, forgery: Forgery, expected?: AccessTokenExpectation]> = [
  ['as it is', {}],
  ['J7 with typ at+jwt, where that need not be', {}, lenient],
  ['J7 with typ in capitals', ofHeader({ typ: 'AT+JWT' })],
  ['J7 with typ as a whole media type (RFC 7515 §4.1.9)', ofHeader({ typ: 'application/at+jwt' })],
  ['J7 with typ JWT, where that will do', ofHeader({ typ: 'JWT' }), lenient],
  ['J7 with typ jwt, where that will do', ofHeader({ typ: 'jwt' }), lenient],
  ['J7 without typ, where that will do', ofHeader({ typ: undefined }), lenient],
  ['J9 whose aud is an array with us in it', ofClaims({ aud: ['https://other.example.com', AUDIENCE] })],
  ['J9 for the second of our audiences', ofClaims({ aud: 'urn:api' }), { ...strict, audience: [AUDIENCE, 'urn:api'] }],
  ['with a sub of 255 characters', ofClaims({ sub: 's'.repeat(255) })],
  ['without kid, where one key fits', ofHeader({ kid: undefined }), byOneKey],
  ['signed with the second key', ({ header, claims }) => signJwt({ payload: claims, header: { ...header, kid: 'key-2' }, key: rsaKey('key-2') })],
  ['with spaces of all kinds', raw(claims => claims.replaceAll('":', '" \t\r\n:\n '))],
  ['with quotes and colons in its texts', ofClaims({ note: 'a "b": \\"c\\": {"sub":"x"} \\', '"odd":name\\': 1 })],
  ['with header members that nobody asks for', ofHeader({ jku: 'https://attacker.example/jwks.json', cty: 'x' })],
  ['without iat and jti, as some providers make them', ofClaims({ iat: undefined, jti: undefined })],
  ['that says no more than for whom it is, where both have a secret', hmac('sha256', SECRET, { typ: 'JWT' }, bare), { ...shared, mustBeTyped: false }],
  ['signed with a secret that both have', hmac('sha256', SECRET), shared],
  ...['scope', 'scp', 'client_id', 'cid', 'appid', 'gty', 'permissions'].map((name): [string, Forgery, AccessTokenExpectation] =>
    [`without a type, that has ${name}`, { header: { typ: 'JWT' }, claims: { ...bare, [name]: 'x' } }, lenient]),
  ['without a type, that was made for another', { header: { typ: 'JWT' }, claims: { ...bare, azp: 'a client' } }, lenient],
  ['with a type, that has none of them', { claims: bare }],
  ['that says itself that it is one', { header: { typ: 'JWT' }, claims: { typ: 'Bearer', token_use: 'access' } }, lenient]
]
for (const [name, forgery, expected = strict] of accepted) {
  t.test(`accepts an access token ${name}`, async t => {
    const token = provider.accessToken(forgery)
    const { claims, jwks } = await verify(token, expected)
    t.same(claims, JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()))
    t.equal(jwks === null, expected.keys === SECRET, 'and says what it was verified with')
  })
}

const rsa = rsaKey('key-1')
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed25519 = generateKeyPairSync('ed25519')
const algorithms: Array<[alg: string, hash: string | null, key: { privateKey: KeyObject, publicKey: KeyObject }]> = [
  ['RS384', 'sha384', rsa], ['RS512', 'sha512', rsa], ['ES256', 'sha256', p256], ['EdDSA', null, ed25519], ['Ed25519', null, ed25519]
]
for (const [alg, hash, { privateKey, publicKey }] of algorithms) {
  const keys = keysOf([{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }])
  const forge: Forge = ({ header, claims }) => {
    const input = `${encode({ ...header, alg, kid: 'k' })}.${encode(claims)}`
    return `${input}.${sign(hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  t.test(`J8 accepts ${alg} where it is on the list, and only there`, async t => {
    t.match(await verify(provider.accessToken(forge), { ...strict, keys, algorithms: ['RS256', alg] }), { claims: { sub: 'auth0|ada' } })
    await refuses(t, provider.accessToken(forge), /"alg".* not allowed/, { ...strict, keys })
  })
}

// What is refused

const SIGNATURE_WRONG = /signature verification failed/
const KEY_UNKNOWN = /no key of the provider fits/
const ALGORITHM_WRONG = /"alg" \(Algorithm\) Header Parameter value not allowed/
const NOT_BASE64URL = /not base64url/
const NOT_THREE_PARTS = /not three parts/
const TYPE_WRONG = /another type of token/
const EXTENDED = /an extension that nobody here understands/
const NO_JSON = /not a JSON object/
const NOBODY = /"sub" is nobody/
const AUDIENCE_WRONG = /"aud" claim/

/** Why what is forged in an ID token is refused in an access token: by its line of the requirements, or by its name. */
const reasons: Record<string, RegExp> = {
  C1: /"iss" claim/,
  C2: AUDIENCE_WRONG,
  C5: ALGORITHM_WRONG,
  'alg missing': /"alg" \(Algorithm\) Header Parameter missing/,
  'no signature': SIGNATURE_WRONG,
  'two parts': NOT_THREE_PARTS,
  C6: ALGORITHM_WRONG,
  C7: ALGORITHM_WRONG,
  C8: SIGNATURE_WRONG,
  'a signature cut short': /signature verification failed|not base64url/, // as it happens to end
  'a signature in standard base64': NOT_BASE64URL,
  'a signature with padding': NOT_BASE64URL,
  'a signature with a line break': NOT_BASE64URL,
  'a dot at the end': NOT_THREE_PARTS,
  'a fourth part': NOT_THREE_PARTS,
  'not a token': NOT_BASE64URL,
  C9: SIGNATURE_WRONG,
  'jku of the attacker': KEY_UNKNOWN,
  C10: KEY_UNKNOWN,
  C11: /"exp" claim/,
  'exp missing': /required "exp" claim/,
  'exp beyond all times': /"exp" is no time/,
  'exp infinite': /"exp" is no time/,
  C16: NOBODY,
  C17: /"at_hash", as other tokens have/,
  C18: EXTENDED,
  C20: NOT_THREE_PARTS,
  C23: /member appears twice|not UTF-8/,
  'claims in an array': NO_JSON,
  'claims null': NO_JSON,
  'claims that are no JSON': NO_JSON,
  'a header that is no JSON': NO_JSON
}
const ids: Record<string, string> = { C2: 'J9', C5: 'J8', C6: 'J8', C7: 'J8', C11: 'J10', C17: 'J6', C23: 'C23' }

const { C1, C2, C5, C6, C7, C8, C9, C10, C11, C16, C17, C18, C20, C23 } = forgeries
for (const [id, group] of Object.entries({ C1, C2, C5, C6, C7, C8, C9, C10, C11, C16, C17, C18, C20, C23 })) {
  for (const name of Object.keys(group)) {
    const expected = ['x5u of the attacker', 'jwk of the attacker', 'x5c of the attacker'].includes(name) ? byOneKey : strict
    t.test(`${ids[id] ?? 'J2'} refuses ${name} (RFC 9068 §4)`, async t =>
      refuses(t, provider.accessToken(name as Forgery), reasons[name] ?? reasons[id]!, expected))
  }
}

const stranger = new Provider({ issuer: 'https://other.example.com/', keys: [rsaKey('other-1')] })
const signedBy = (key: string, header: Json = {}): Forge => draft => signJwt({ header: { ...draft.header, ...header }, payload: draft.claims, key: rsaKey(key) })
const idToken = { iss: provider.issuer, aud: provider.clientId, nonce: 'n' }

const refused: Array<[name: string, forgery: Forgery, reason: RegExp, expected?: AccessTokenExpectation]> = [
  ['J2 an issue as text', ofClaims({ iat: String(now()) }), /"iat" claim must be a number/],
  ['J2 a beginning to come', ofClaims({ nbf: now() + 600 }), /"nbf" claim timestamp/],
  ['J2 a sub that is null', ofClaims({ sub: null }), NOBODY],
  ['J2 a sub in an array', ofClaims({ sub: ['auth0|ada'] }), NOBODY],
  ['J2 a sub by way of __proto__', raw(claims => claims.replace(/"sub":("[^"]*")/, '"__proto__":{"sub":$1}')), NOBODY],
  ['J2 a secret of somebody else', hmac('sha256', new Uint8Array(32).fill(7)), SIGNATURE_WRONG, shared],

  ['J6 an ID token', { header: { typ: 'JWT' }, claims: idToken }, TYPE_WRONG],
  ['J6 an ID token, where typ JWT will do', { header: { typ: 'JWT' }, claims: idToken }, AUDIENCE_WRONG, lenient],
  ['J6 an ID token for an audience that is the client', { header: { typ: 'JWT' }, claims: idToken }, /"nonce", as other tokens have/, { ...lenient, audience: provider.clientId }],
  ['J6 an ID token with at_hash', ofClaims({ at_hash: 'x' }), /"at_hash"/],
  ['J6 an ID token with c_hash', ofClaims({ c_hash: 'x' }), /"c_hash"/],
  ['J6 an ID token with s_hash', ofClaims({ s_hash: null }), /"s_hash"/],
  ['J6 an ID token of a refresh, for an audience that is the client', { header: { typ: 'JWT' }, claims: { ...bare, aud: 'client', name: 'Ada' } }, NO_SIGN, { ...lenient, audience: 'client' }],
  ['J6 an ID token that names its client', { header: { typ: 'JWT' }, claims: { ...bare, aud: ['client'], azp: 'client' } }, NO_SIGN, { ...lenient, audience: 'client' }],
  ['J6 an ID token without typ', { header: { typ: undefined }, claims: { ...bare, aud: 'client' } }, NO_SIGN, { ...lenient, audience: 'client' }],
  ...[{ typ: 'ID' }, { typ: 'Refresh' }, { typ: 'Offline' }, { typ: 'Logout' }, { token_use: 'id' }, { token_use: 'refresh_token' }]
    .map((kind): [string, Forgery, RegExp, AccessTokenExpectation] => [`J6 a token that calls itself ${Object.values(kind)[0]}`, { header: { typ: 'JWT' }, claims: kind }, /its claims call it another token/, lenient]),
  ['J6 a logout token', { header: { typ: 'logout+jwt' }, claims: { events: { [LOGOUT_EVENT]: {} } } }, TYPE_WRONG, lenient],
  ['J6 a logout token, where typ JWT will do', { header: { typ: 'JWT' }, claims: { events: { [LOGOUT_EVENT]: {} } } }, /"events"/, lenient],

  ...[' ', '\t', '\n', '\r', ' \r\n\t'].map((space): [string, Forgery, RegExp] =>
    [`a sub that stands twice, ${JSON.stringify(space)} before a colon`, raw(claims => claims.replace(/"sub":/, `"sub"${space}:"auth0|root","sub"${space}:`)), /a member appears twice/]),

  ['J7 no typ', ofHeader({ typ: undefined }), TYPE_WRONG],
  ['J7 typ JWT', ofHeader({ typ: 'JWT' }), TYPE_WRONG],
  ['J7 typ at+jwt with a space', ofHeader({ typ: 'at+jwt ' }), TYPE_WRONG],
  ['J7 typ at+jwt in a list', ofHeader({ typ: ['at+jwt'] }), TYPE_WRONG, lenient],
  ['J7 typ of two media types', ofHeader({ typ: 'application/application/at+jwt' }), TYPE_WRONG],
  ['J7 an empty typ, where none will do', ofHeader({ typ: '' }), TYPE_WRONG, lenient],
  ['J7 typ null, where none will do', ofHeader({ typ: null }), TYPE_WRONG, lenient],
  ...['dpop+jwt', 'secevent+jwt', 'token-introspection+jwt', 'oauth-authz-req+jwt', 'vc+jwt']
    .map((typ): [string, Forgery, RegExp, AccessTokenExpectation] => [`J7 typ ${typ}, where JWT will do`, ofHeader({ typ }), TYPE_WRONG, lenient]),

  ['J8 alg in other letters', ofHeader({ alg: 'rs256' }), ALGORITHM_WRONG],
  ['J8 alg in a list', ofHeader({ alg: ['RS256'] }), /"alg"/],
  ['J8 alg none, signed with a secret', 'alg none', ALGORITHM_WRONG, shared],
  ['J8 HS512 where the secret is for HS256', hmac('sha512', SECRET), ALGORITHM_WRONG, shared],
  ['J8 RS256 where a secret is', {}, ALGORITHM_WRONG, shared],
  ['J8 a symmetric key among those that are published', 'HS256 with an empty secret', ALGORITHM_WRONG, { ...strict, keys: keysOf([{ kty: 'oct', kid: 'key-1', k: '' }]) }],
  ['J8 a key of 1024 bits', {}, /2048 bits/, { ...strict, keys: keysOf([publicJwk({ kid: 'key-1', ...generateKeyPairSync('rsa', { modulusLength: 1024 }) })]) }],
  ['J8 a key that may not verify', {}, KEY_UNKNOWN, { ...strict, keys: keysOf([publicJwk(rsa, { use: 'enc' })]) }],
  ['J8 a key whose numbers are none', {}, /access token: /, { ...strict, keys: keysOf([publicJwk(rsa, { n: '!', e: 7 })]) }],

  ['J9 a part of us', ofClaims({ aud: AUDIENCE.slice(8) }), AUDIENCE_WRONG],
  ['J9 what begins like us', ofClaims({ aud: `${AUDIENCE}/v2` }), AUDIENCE_WRONG],
  ['J9 what we begin like', ofClaims({ aud: AUDIENCE.slice(0, -1) }), AUDIENCE_WRONG],
  ['J9 us with a slash behind', ofClaims({ aud: `${AUDIENCE}/` }), AUDIENCE_WRONG],
  ['J9 us in capitals', ofClaims({ aud: AUDIENCE.toUpperCase() }), AUDIENCE_WRONG],
  ['J9 us among others, as one text', ofClaims({ aud: `${AUDIENCE} https://other.example.com` }), AUDIENCE_WRONG],
  ['J9 an array in an array', ofClaims({ aud: [[AUDIENCE]] }), AUDIENCE_WRONG],
  ['J9 an object', ofClaims({ aud: { 0: AUDIENCE } }), AUDIENCE_WRONG],

  ['J13 an issuer\'s token, signed by another', signedBy('other-1'), SIGNATURE_WRONG],
  ['J13 an issuer\'s token, with another\'s kid', signedBy('other-1', { kid: 'other-1' }), KEY_UNKNOWN],
  ['J13 another\'s token, signed by our issuer', ofClaims({ iss: stranger.issuer }), /"iss" claim/],

  ['the kid of another key', ofHeader({ kid: 'key-2' }), SIGNATURE_WRONG],
  ['no kid, where two keys fit', ofHeader({ kid: undefined }), /multiple matching keys/],
  ['an unencoded payload without crit (RFC 7797 §6)', ofHeader({ b64: true }), EXTENDED],
  ['a header in an array', ({ claims, key }) => signJwt({ header: [], payload: claims, key }), NO_JSON],
  ['C23 a claim twice, once escaped', raw(claims => `{"\\u0073ub":"mallory",${claims.slice(1)}`), /twice/],
  ['C23 a mark before the claims', raw(claims => `\uFEFF${claims}`), NO_JSON],
  ['a space before it', () => ` ${provider.accessToken()}`, NOT_BASE64URL],
  ['nothing', () => '', NOT_THREE_PARTS],
  ['dots', () => '..', NO_JSON],

  ['O2 1000 nested arrays', raw(claims => `{"x":${'['.repeat(1000)}${']'.repeat(1000)},${claims.slice(1)}`), /nested too deep/],
  ['O2 as many dots as fit', () => '.'.repeat(16_384), NOT_THREE_PARTS]
]
for (const [name, forgery, reason, expected] of refused) {
  t.test(`${name}: refused`, async t => refuses(t, provider.accessToken(forgery), reason, expected))
}

const edges: Array<[name: string, claims: (now: number) => Json, reason: RegExp | null]> = [
  ['J2 that ended as long ago as clocks may differ', now => ({ exp: now - 29 }), null],
  ['J2 that ended a second before', now => ({ exp: now - 30 }), /"exp"/],
  ['J2 that begins as far ahead as clocks may differ', now => ({ nbf: now + 30 }), null],
  ['J2 that begins a second later', now => ({ nbf: now + 31 }), /"nbf"/]
]
for (const [name, claims, reason] of edges) {
  t.test(`${name}: ${reason === null ? 'accepted' : 'refused'}`, async t => {
    const clock = travelInTime(t, { isFrozen: true })
    const token = provider.accessToken({ claims: claims(clock.now()) })
    if (reason !== null) return refuses(t, token, reason)
    t.match(await verify(token), { claims: { sub: 'auth0|ada' } })
  })
}

t.test('with any one character changed, left out or doubled it is refused', async () => {
  const token = provider.accessToken()
  const alphabet = fc.constantFrom(...'Aaz09-_.=+/ \n%é\u0000')
  const edits = [(at: number, by: string) => token.slice(0, at) + by + token.slice(at + 1), (at: number, by: string) => token.slice(0, at) + by + token.slice(at), (at: number) => token.slice(0, at) + token.slice(at + 1)]
  await fc.assert(fc.asyncProperty(fc.nat(token.length - 1), alphabet, fc.constantFrom(...edits), async (at, by, edit) => {
    const forged = edit(at, by)
    if (forged !== token) await codeOf(forged, strict).then(code => { if (code !== 'FST_AUTH0_ACCESS_TOKEN_INVALID') throw new Error(`${code}: ${forged}`) })
  }), { numRuns: 500 })
})

t.test('claims and header of any kind are accepted or refused, and no fault of ours', async () => {
  const json = fc.jsonValue({ maxDepth: 3 })
  const someOf = (names: string[]) => fc.dictionary(fc.constantFrom(...names), json, { maxKeys: 4 })
  await fc.assert(fc.asyncProperty(someOf(['typ', 'alg', 'kid', 'crit', 'b64', '__proto__']), someOf(['iss', 'aud', 'iat', 'exp', 'nbf', 'sub', 'scope', 'cnf', '__proto__', 'constructor']), async (header, claims) => {
    const code = await codeOf(provider.accessToken({ header, claims }), lenient)
    if (code !== null && code !== 'FST_AUTH0_ACCESS_TOKEN_INVALID') throw new Error(code)
  }), { numRuns: 300 })
})

t.test('keys that cannot be had are no fault of the token', async t => {
  const failure = new Error('no keys')
  const fail = async () => { throw failure }
  await t.rejects(verify(provider.accessToken(), { ...strict, keys: { current: fail, renewed: fail } }), failure)
  await t.rejects(verify(provider.accessToken(), { ...strict, keys: { ...keysOf([]), renewed: fail } }), failure)
})

t.test('a token that cannot be right asks for no keys at all', async t => {
  let count = 0
  const ask = async () => { count++; return { keys: provider.jwks } }
  const expected = { ...strict, keys: { current: ask, renewed: ask } }
  await refuses(t, provider.accessToken({ header: { typ: 'JWT' } }), TYPE_WRONG, expected)
  await refuses(t, provider.accessToken('crit empty'), EXTENDED, expected)
  t.equal(count, 0)
})

async function verify (token: string, expected = strict): Promise<VerifiedClaims> {
  return verifyAccessToken(token, parseAccessToken(token), expected)
}

async function refuses (t: Test, token: string, reason: RegExp, expected = strict): Promise<void> {
  const began = performance.now()
  const error = await verify(token, expected).then(() => null, error => error)
  t.match(error, { code: 'FST_AUTH0_ACCESS_TOKEN_INVALID', statusCode: 401, cause: { name: 'ProviderFailure', message: reason } })
  t.equal(error.message, 'The access token is not valid', 'and whoever sent it is told no reason')
  t.ok(performance.now() - began < 5000, 'quickly')
  t.notOk(token.length > 100 && error.cause.message.includes(token.slice(0, 40)), 'and the token is not in the reason')
  t.ok(error.cause.message.length < 300)
}

async function codeOf (token: string, expected: AccessTokenExpectation): Promise<string | null> {
  return verify(token, expected).then(() => null, error => error.code ?? String(error))
}
