import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { verifyLogoutToken, type LogoutTokenExpectation } from '../lib/verify/logout-token.ts'
import { travelInTime } from './helpers/clock.ts'
import { forgeries, type Forgery } from './helpers/id-token-forgeries.ts'
import { encode, publicJwk, rsaKey, signJwt, type Draft, type Json } from './helpers/id-tokens.ts'
import { LOGOUT_EVENT } from './helpers/logout-tokens.ts'
import { Provider } from './helpers/provider.ts'

// The error's cause must say why a token was refused: else a test could pass for a wrong reason.

const now = () => Math.floor(Date.now() / 1000)
const provider = new Provider({ keys: [rsaKey('key-1'), rsaKey('key-2')] })
const keysOf = (jwks: Json[]) => ({ current: async () => ({ keys: jwks }), renewed: async () => ({ keys: jwks }) })
const strict: LogoutTokenExpectation = {
  issuer: provider.issuer,
  clientId: provider.clientId,
  algorithms: ['RS256'],
  keys: keysOf(provider.jwks),
  clockTolerance: 30,
  mustBeTyped: true
}
const lenient = { ...strict, mustBeTyped: false }
const byOneKey = { ...strict, keys: keysOf([publicJwk(rsaKey('key-1'))]) }

const unsafe = { ...strict, algorithms: ['none', 'HS256', 'RS256', 7, null] }

const member = (value: unknown): Forgery => ({ claims: { events: { [LOGOUT_EVENT]: value } } })
const raw = (changed: (claims: string) => string): Forgery => ({ header, claims, key }) => signJwt({ header, key, payload: changed(JSON.stringify(claims)) })
const ofHeader = (header: Json): Forgery => ({ header })

// What is accepted

const accepted: Array<[name: string, forgery: Forgery, expected?: LogoutTokenExpectation]> = [
  ['as it is', {}],
  ['I18 with sid only', { claims: { sid: 's', sub: undefined } }],
  ['I18 with sid and sub', { claims: { sid: 's' } }],
  ['with a sub of 255 characters', { claims: { sub: 's'.repeat(255) } }],
  ['with aud as an array', { claims: { aud: [provider.clientId] } }],
  ['whose event says more, and is not the only one', { claims: { events: { [LOGOUT_EVENT]: { reason: 'x' }, 'https://other.example/event': {} } } }],
  ['with claims of the provider\'s own', { claims: { trace_id: 'x', typ: 'Logout' } }],
  ['issued between two seconds', { claims: { iat: now() - 0.5 } }],
  ['without kid, where one key fits', { header: { kid: undefined } }, byOneKey],
  ['signed with the second key', ({ header, ...draft }) => signJwt({ payload: draft.claims, header: { ...header, kid: 'key-2' }, key: rsaKey('key-2') })],
  ['with header members that nobody asks for', { header: { jku: 'https://attacker.example/jwks.json', cty: 'x' } }],
  ['of a provider that advertises nonsense, too', {}, { ...strict, algorithms: [7, null, ['RS256'], {}, 'RS256'] }],
  ['O2 with as many spaces as fit', raw(claims => claims.replace('{', `{${' '.repeat(11_000)}`))],
  ['I15 with typ in capitals', { header: { typ: 'LOGOUT+JWT' } }],
  ['I15 with typ as a whole media type (RFC 7515 §4.1.9)', { header: { typ: 'application/logout+jwt' } }],
  ['I15 that is typed where it need not be', {}, lenient],
  ['I15 with typ JWT, where that will do', { header: { typ: 'JWT' } }, lenient],
  ['I15 with typ jwt, where that will do', { header: { typ: 'jwt' } }, lenient],
  ['I15 without typ, where that will do', { header: { typ: undefined } }, lenient]
]
for (const [name, forgery, expected = strict] of accepted) {
  t.test(`accepts a logout token ${name}`, async t => {
    const token = provider.logoutToken(forgery)
    const { jti, iat, exp, sub = null, sid = null } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
    t.same(await verifyLogoutToken(token, expected), { jti, iat, exp, sub, sid })
  })
}

const ed25519 = generateKeyPairSync('ed25519')
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const algorithms: Array<[alg: string, hash: string | null, key: { privateKey: KeyObject, publicKey: KeyObject }]> = [
  ['RS512', 'sha512', rsaKey('key-1')], ['ES256', 'sha256', p256], ['EdDSA', null, ed25519], ['Ed25519', null, ed25519]
]
for (const [alg, hash, { privateKey, publicKey }] of algorithms) {
  const keys = keysOf([{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }])
  const forge = ({ header, claims }: Draft) => {
    const input = `${encode({ ...header, alg, kid: 'k' })}.${encode(claims)}`
    return `${input}.${sign(hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  t.test(`I10 accepts ${alg} when the provider signs ID tokens with it, and only then`, async t => {
    t.match(await verifyLogoutToken(provider.logoutToken(forge), { ...strict, keys, algorithms: [alg] }), { sub: 'auth0|ada' })
    await refuses(t, provider.logoutToken(forge), /"alg".* not allowed/, { ...strict, keys })
  })
}

// What is refused

const SIGNATURE_WRONG = /signature verification failed/
const KEY_UNKNOWN = /no key of the provider fits/
const ALGORITHM_WRONG = /"alg" \(Algorithm\) Header Parameter value not allowed/
const NOT_BASE64URL = /not base64url/
const NOT_THREE_PARTS = /not three parts/
const TYPE_WRONG = /another type of token/
const NO_EVENT = /not the event of a logout/
const EXTENDED = /an extension that nobody here understands/
const NO_JSON = /not a JSON object/

/** Why what is forged in an ID token is refused in a logout token: by its line of the requirements, or by its name. */
const reasons: Record<string, RegExp> = {
  C1: /"iss" claim/,
  C2: /"aud" claim/,
  C3: /"aud" names another client, too/,
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
  'kid of 100 KB': /too long/,
  C11: /"exp" claim/,
  'exp missing': /required "exp" claim/,
  'exp past': /"exp" claim timestamp/,
  'exp beyond all times': /"exp" is no time/,
  'exp infinite': /"exp" is no time/,
  C12: /"(iat|nbf)" claim/,
  C16: /"sub" is no id/,
  'sub missing': /neither "sub" nor "sid"/,
  C18: EXTENDED,
  C20: NOT_THREE_PARTS,
  C23: /member appears twice|not UTF-8/,
  'claims in an array': NO_JSON,
  'claims null': NO_JSON,
  'claims that are no JSON': NO_JSON,
  'a header that is no JSON': NO_JSON
}
const ids: Record<string, string> = { C1: 'I11', C2: 'I11', C3: 'I11', C11: 'I11', C12: 'I11', C16: 'I14', C23: 'C23' }

const { C1, C2, C3, C5, C6, C7, C8, C9, C10, C11, C12, C16, C18, C20, C23 } = forgeries
for (const [id, group] of Object.entries({ C1, C2, C3, C5, C6, C7, C8, C9, C10, C11, C12, C16, C18, C20, C23 })) {
  for (const name of Object.keys(group)) {
    const expected = ['x5u of the attacker', 'jwk of the attacker', 'x5c of the attacker'].includes(name) ? byOneKey : strict
    t.test(`${ids[id] ?? 'I10'} refuses ${name} (OpenID Connect Back-Channel Logout 1.0 §2.6)`, async t =>
      refuses(t, provider.logoutToken(name as Forgery), reasons[name] ?? reasons[id]!, expected))
  }
}

const refused: Array<[name: string, forgery: Forgery, reason: RegExp, expected?: LogoutTokenExpectation]> = [
  ['I10 alg none of a provider that advertises it', 'alg none', ALGORITHM_WRONG, unsafe],
  ['I10 HS256 of a provider that advertises it', 'HS256 with the public key as PEM', ALGORITHM_WRONG, unsafe],
  ['I10 HS256 with the client secret, of a provider that advertises it', 'HS256 with the client secret', ALGORITHM_WRONG, unsafe],
  ['I10 HS256 by a symmetric key among those that are published', 'HS256 with an empty secret', ALGORITHM_WRONG, { ...unsafe, keys: keysOf([{ kty: 'oct', kid: 'key-1', k: '' }]) }],
  ['I10 alg in other letters', ofHeader({ alg: 'rs256' }), ALGORITHM_WRONG],
  ['I10 alg in a list', ofHeader({ alg: ['RS256'] }), /"alg"/],
  ['I10 the kid of another key', ofHeader({ kid: 'key-2' }), SIGNATURE_WRONG],
  ['I10 no kid, where two keys fit', ofHeader({ kid: undefined }), /multiple matching keys/],
  ['I10 a key that may not verify', {}, KEY_UNKNOWN, { ...strict, keys: keysOf([publicJwk(rsaKey('key-1'), { use: 'enc' })]) }],
  ['I10 a key of 1024 bits', {}, /2048 bits/, { ...strict, keys: keysOf([publicJwk({ kid: 'key-1', ...generateKeyPairSync('rsa', { modulusLength: 1024 }) })]) }],
  ['I10 a key whose numbers are none', {}, /logout token: /, { ...strict, keys: keysOf([publicJwk(rsaKey('key-1'), { n: '!', e: 7 })]) }],
  ['I10 a key with its private half', {}, /must be public/, { ...strict, keys: keysOf([{ ...publicJwk(rsaKey('key-1')), ...rsaKey('key-1').privateKey.export({ format: 'jwk' }) }]) }],
  ['I10 a token when the provider has no key', {}, KEY_UNKNOWN, { ...strict, keys: keysOf([]) }],
  ['I10 an unencoded payload without crit (RFC 7797 §6)', ofHeader({ b64: true }), EXTENDED],
  ['I10 an extension that our library knows', ofHeader({ b64: true, crit: ['b64'] }), EXTENDED],
  ['I10 a header in an array', ({ claims, key }) => signJwt({ header: [], payload: claims, key }), NO_JSON],

  ['I11 an audience twice over, nested', { claims: { aud: [['client-id']] } }, /"aud" claim/],
  ['I11 an issue six minutes ago, before the end', { claims: { iat: now() - 360, exp: now() + 3600 } }, /"iat" claim timestamp/],
  ['I11 an issue before all times', { claims: { iat: -1e300 } }, /"iat" claim timestamp/],
  ['I11 an issue that is null', { claims: { iat: null } }, /"iat" claim must be a number/],
  ['I11 an issue in endless time', raw(claims => claims.replace(/"iat":\d+/, '"iat":1e999')), /"iat" claim timestamp/],

  ['I12 no events', { claims: { events: undefined } }, NO_EVENT],
  ['I12 events that are null', { claims: { events: null } }, NO_EVENT],
  ['I12 events in an array', { claims: { events: [LOGOUT_EVENT] } }, NO_EVENT],
  ['I12 events as text', { claims: { events: LOGOUT_EVENT } }, NO_EVENT],
  ['I12 no event', { claims: { events: {} } }, NO_EVENT],
  ['I12 another event', { claims: { events: { 'http://schemas.openid.net/event/backchannel-logou': {} } } }, NO_EVENT],
  ['I12 an event over https', { claims: { events: { [LOGOUT_EVENT.replace('http:', 'https:')]: {} } } }, NO_EVENT],
  ['I12 an event with a slash behind', { claims: { events: { [`${LOGOUT_EVENT}/`]: {} } } }, NO_EVENT],
  ['I12 an event in letters that look alike', { claims: { events: { [LOGOUT_EVENT.replace('o', 'о')]: {} } } }, NO_EVENT],
  ['I12 an event that is null', member(null), NO_EVENT],
  ['I12 an event that is true', member(true), NO_EVENT],
  ['I12 an event as text', member('{}'), NO_EVENT],
  ['I12 an event in an array', member([{}]), NO_EVENT],
  ['I12 an event by way of __proto__', raw(claims => claims.replace('"events":', '"events":{"__proto__":').replace(/}$/, '}}')), NO_EVENT],

  ['I13 a nonce', { claims: { nonce: 'n' } }, /"nonce"/],
  ['I13 an empty nonce', { claims: { nonce: '' } }, /"nonce"/],
  ['I13 a nonce that is null', { claims: { nonce: null } }, /"nonce"/],

  ['I14 neither sub nor sid', { claims: { sub: undefined } }, /neither "sub" nor "sid"/],
  ['I14 sub by way of __proto__', raw(claims => claims.replace('"sub":', '"__proto__":{"sub":').replace(/("sub":"[^"]*")/, '$1}')), /neither "sub" nor "sid"/],
  ['I14 a sub that is null', { claims: { sub: null, sid: 's' } }, /"sub" is no id/],
  ['I14 a sub in an array', { claims: { sub: ['auth0|ada'], sid: 's' } }, /"sub" is no id/],
  ['I14 a sid that is a number', { claims: { sid: 7 } }, /"sid" is no id/],
  ['I14 a sid that is null', { claims: { sid: null } }, /"sid" is no id/],
  ['I14 an empty sid', { claims: { sid: '' } }, /"sid" is no id/],
  ['I14 a sid that is an object', { claims: { sid: { length: 3 } } }, /"sid" is no id/],
  ['I14 a sid of kilobytes', { claims: { sid: 's'.repeat(1025) } }, /"sid" is no id/],

  ['I15 no typ', ofHeader({ typ: undefined }), TYPE_WRONG],
  ['I15 typ JWT', ofHeader({ typ: 'JWT' }), TYPE_WRONG],
  ['I15 typ logout+jwt with a space', ofHeader({ typ: 'logout+jwt ' }), TYPE_WRONG],
  ['I15 typ logout+jwt in a list', ofHeader({ typ: ['logout+jwt'] }), TYPE_WRONG],
  ['I15 typ of two media types', ofHeader({ typ: 'application/application/logout+jwt' }), TYPE_WRONG],
  ['I15 an empty typ, where none will do', ofHeader({ typ: '' }), TYPE_WRONG, lenient],
  ['I15 typ null, where none will do', ofHeader({ typ: null }), TYPE_WRONG, lenient],
  ['I15 typ secevent+jwt, where JWT will do', ofHeader({ typ: 'secevent+jwt' }), TYPE_WRONG, lenient],

  ['I16 an ID token', { header: { typ: 'JWT' }, claims: { events: undefined, jti: undefined, nonce: 'n', at_hash: 'h' } }, TYPE_WRONG],
  ['I16 an ID token, where typ JWT will do', { header: { typ: 'JWT' }, claims: { events: undefined, nonce: 'n' } }, NO_EVENT, lenient],
  ['I16 an ID token without nonce, where typ JWT will do', { header: { typ: 'JWT' }, claims: { events: undefined } }, NO_EVENT, lenient],
  ['I16 an access token, where typ JWT will do', { header: { typ: 'at+jwt' } }, TYPE_WRONG, lenient],
  ['I16 an access token by its whole media type, where typ JWT will do', { header: { typ: 'application/at+jwt' } }, TYPE_WRONG, lenient],

  ['I17 no jti', { claims: { jti: undefined } }, /no "jti"/],
  ['I17 an empty jti', { claims: { jti: '' } }, /"jti" is no id/],
  ['I17 a jti that is a number', { claims: { jti: 7 } }, /"jti" is no id/],
  ['I17 a jti of kilobytes', { claims: { jti: 'j'.repeat(1025) } }, /"jti" is no id/],

  ['C23 a claim twice, once escaped', raw(claims => `{"\\u0073ub":"mallory",${claims.slice(1)}`), /twice/],
  ['C23 a mark before the claims', raw(claims => `\uFEFF${claims}`), NO_JSON],
  ['a space before it', draft => ` ${provider.logoutToken({ claims: draft.claims })}`, NOT_BASE64URL],
  ['a line break behind it', draft => `${provider.logoutToken({ claims: draft.claims })}\n`, NOT_BASE64URL],
  ['nothing', () => '', NOT_THREE_PARTS],
  ['dots', () => '..', NO_JSON],

  ['O2 100 KB', { claims: { x: 'x'.repeat(100_000) } }, /too long/],
  ['O2 10 MB', () => 'x'.repeat(10_000_000), /too long/],
  ['O2 a million spaces', raw(claims => claims.replace('{', `{${' '.repeat(1_000_000)}`)), /too long/],
  ['O2 1000 nested arrays', raw(claims => `{"x":${'['.repeat(1000)}${']'.repeat(1000)},${claims.slice(1)}`), /nested too deep/],
  ['O2 nesting in the header', ofHeader({ x: JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`) }), /nested too deep/],
  ['O2 as many dots as fit', () => '.'.repeat(16_384), NOT_THREE_PARTS]
]
for (const [name, forgery, reason, expected] of refused) {
  t.test(`${name}: refused`, async t => refuses(t, provider.logoutToken(forgery), reason, expected))
}

t.test('what is no text is refused: an application may hand over what a form had', async t => {
  for (const value of [undefined, null, 7, {}, ['a', 'b']]) await refuses(t, value as unknown as string, /not text/)
})

const edges: Array<[name: string, claims: (now: number) => Json, reason: RegExp | null]> = [
  ['I11 issued five minutes and the tolerance ago', now => ({ iat: now - 330 }), null],
  ['I11 issued a second before', now => ({ iat: now - 331 }), /"iat"/],
  ['I11 issued as far ahead as clocks may differ', now => ({ iat: now + 30 }), null],
  ['I11 issued a second later', now => ({ iat: now + 31 }), /"iat"/],
  ['I11 that ended as long ago as clocks may differ', now => ({ exp: now - 29 }), null],
  ['I11 that ended a second before', now => ({ exp: now - 30 }), /"exp"/],
  ['I11 that begins as far ahead as clocks may differ', now => ({ nbf: now + 30 }), null],
  ['I11 that begins a second later', now => ({ nbf: now + 31 }), /"nbf"/]
]
for (const [name, claims, reason] of edges) {
  t.test(`${name}: ${reason === null ? 'accepted' : 'refused'}`, async t => {
    const clock = travelInTime(t, { isFrozen: true })
    const token = provider.logoutToken({ claims: claims(clock.now()) })
    if (reason !== null) return refuses(t, token, reason)
    t.match(await verifyLogoutToken(token, strict), { sub: 'auth0|ada' })
  })
}

t.test('with any one character changed, left out or doubled it is refused', async () => {
  const token = provider.logoutToken()
  const alphabet = fc.constantFrom(...'Aaz09-_.=+/ \n%é\u0000')
  const edits = [(at: number, by: string) => token.slice(0, at) + by + token.slice(at + 1), (at: number, by: string) => token.slice(0, at) + by + token.slice(at), (at: number) => token.slice(0, at) + token.slice(at + 1)]
  await fc.assert(fc.asyncProperty(fc.nat(token.length - 1), alphabet, fc.constantFrom(...edits), async (at, by, edit) => {
    const forged = edit(at, by)
    if (forged !== token) await codeOf(forged, strict).then(code => { if (code !== 'FST_AUTH0_LOGOUT_TOKEN_INVALID') throw new Error(`${code}: ${forged}`) })
  }), { numRuns: 500 })
})

t.test('claims and header of any kind are accepted or refused, and no fault of ours', async () => {
  const json = fc.jsonValue({ maxDepth: 3 })
  const someOf = (names: string[]) => fc.dictionary(fc.constantFrom(...names), json, { maxKeys: 4 })
  await fc.assert(fc.asyncProperty(someOf(['typ', 'alg', 'kid', 'crit', 'b64', '__proto__']), someOf(['iss', 'aud', 'iat', 'exp', 'sub', 'sid', 'jti', 'events', 'nonce', '__proto__', 'constructor']), async (header, claims) => {
    const code = await codeOf(provider.logoutToken({ header, claims }), lenient)
    if (code !== null && code !== 'FST_AUTH0_LOGOUT_TOKEN_INVALID') throw new Error(code)
  }), { numRuns: 300 })
})

t.test('keys that cannot be had are no fault of the token', async t => {
  const failure = new Error('no keys')
  const fail = async () => { throw failure }
  await t.rejects(verifyLogoutToken(provider.logoutToken(), { ...strict, keys: { current: fail, renewed: fail } }), failure)
  await t.rejects(verifyLogoutToken(provider.logoutToken(), { ...strict, keys: { ...keysOf([]), renewed: fail } }), failure)
})

t.test('F6 other keys are asked for only when the one that is named is not there', async t => {
  let count = 0
  const keys = { current: async () => ({ keys: provider.jwks }), renewed: async () => ({ keys: count++ === 0 ? [publicJwk(rsaKey('key-3'))] : [] }) }
  await verifyLogoutToken(provider.logoutToken(), { ...strict, keys })
  await refuses(t, provider.logoutToken('a foreign key under our kid'), SIGNATURE_WRONG, { ...strict, keys })
  await refuses(t, provider.logoutToken('alg none'), ALGORITHM_WRONG, { ...strict, keys })
  t.equal(count, 0)
  await verifyLogoutToken(provider.logoutToken(({ header, claims }) => signJwt({ header: { ...header, kid: 'key-3' }, payload: claims, key: rsaKey('key-3') })), { ...strict, keys })
  t.equal(count, 1)
})

async function refuses (t: Test, token: string, reason: RegExp, expected = strict): Promise<void> {
  const began = performance.now()
  const error = await verifyLogoutToken(token, expected).then(() => null, error => error)
  t.match(error, { code: 'FST_AUTH0_LOGOUT_TOKEN_INVALID', statusCode: 400, cause: { name: 'ProviderFailure', message: reason } })
  t.ok(performance.now() - began < 5000, 'quickly')
  t.notOk(String(token).length > 100 && error.cause.message.includes(String(token).slice(0, 40)), 'and the token is not in the reason')
  t.ok(error.cause.message.length < 300)
}

async function codeOf (token: string, expected: LogoutTokenExpectation): Promise<string | null> {
  return verifyLogoutToken(token, expected).then(() => null, error => error.code ?? String(error))
}
