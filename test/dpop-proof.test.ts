import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import t, { type Test } from 'tap'
import { PROOF_ALGORITHMS, verifyDpopProof, type DpopProof, type ProvenCall } from '../lib/verify/dpop-proof.ts'
import { travelInTime } from './helpers/clock.ts'
import { DpopClient, type ProofChange } from './helpers/dpop-client.ts'
import { encode } from './helpers/id-tokens.ts'

// The error's cause must say why a proof was refused: else a test could pass for a wrong reason.

const URL_OF_CALL = 'https://app.example.com/api'
const client = new DpopClient()
const call: ProvenCall = { method: 'GET', urls: [URL_OF_CALL], accessToken: 'token', thumbprint: client.thumbprint, clockTolerance: 30 }

t.test('each algorithm whose signatures nobody else can make, and no other', async t => {
  t.same(PROOF_ALGORITHMS, ['ES256', 'ES384', 'ES512', 'PS256', 'RS256', 'EdDSA', 'Ed25519'])
  for (const alg of ['HS256', 'none', 'ES256K', 'RS1']) await refuses(t, made({ header: { alg } }), /"alg" \(Algorithm\) Header Parameter value not allowed/)
})

t.test('extensions, by which a proof might mean something else', async t => {
  await refuses(t, made({ header: { crit: ['b64'], b64: true } }), /an extension/)
  await refuses(t, made({ header: { crit: [] } }), /an extension/)
  await refuses(t, made({ header: { b64: true } }), /an extension/)
})

t.test('a proof that two parsers could read in two ways', async t => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const header = encode({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.publicKey.export({ format: 'jwk' }) })
  const input = `${header}.${encode(`{"htm":"POST",${JSON.stringify({ htm: 'GET', htu: URL_OF_CALL }).slice(1)}`)}`
  await refuses(t, `${input}.${signature(input, key.privateKey)}`, /a member appears twice/)
})

t.test('no more than 8 KB of it are read', async t => {
  const padded = (length: number) => made({ claims: { pad: 'x'.repeat(length) } })
  const fitting = (length: number): string => {
    const proof = padded(length)
    return proof.length <= 8192 ? proof : fitting(length - 1)
  }
  const longest = fitting(6000)
  t.ok(longest.length > 8188)
  await t.resolves(verify(longest))
  await refuses(t, 'x'.repeat(8193), /too long/)
  await refuses(t, padded(6000), /too long/)
  await refuses(t, 'x'.repeat(8192), /not three parts|not base64url/)
})

t.test('an id of up to 256 characters', async t => {
  const jti = 'x'.repeat(256)
  t.match(await verify(made({ claims: { jti } })), { jti })
  for (const wrong of [`${jti}x`, '', 7, null, ['x']]) await refuses(t, made({ claims: { jti: wrong } }), /"jti" is no id/)
})

t.test('a proof counts for a minute, and clocks may differ by the tolerance, to the second', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  for (const [offset, isGood] of [[-91, false], [-90, true], [0, true], [30, true], [31, false]] as const) {
    const proof = made({ claims: { iat: clock.now() + offset } })
    if (isGood) await t.resolves(verify(proof), `${offset} s`)
    else await refuses(t, proof, /"iat"/)
  }
  for (const iat of [String(clock.now()), null, undefined, [clock.now()]]) await refuses(t, made({ claims: { iat } }), /"iat"|claim/)
})

t.test('an address that is none, or no text', async t => {
  for (const htu of [undefined, null, 7, [URL_OF_CALL], { href: URL_OF_CALL }, '', '/api', 'app.example.com/api']) await refuses(t, made({ claims: { htu } }), /"htu"/)
})

t.test('characters that need no escape, and the case of those that do (RFC 3986 §6.2.2)', async t => {
  const urls = ['https://app.example.com/%41-%2d.%2E_%5f~%7E%2f%c3']
  for (const [path, isGood] of [['/A--..__~~%2F%C3', true], ['/%41%2D%2D%2E%2E%5F%5F%7E%7E%2f%c3', true], ['/A--..__~~/%C3', false], ['/A--..__~~%2F%C4', false], ['/a--..__~~%2F%C3', false]] as const) {
    const proof = made({ claims: { htu: `https://app.example.com${path}` } })
    if (isGood) await t.resolves(verify(proof, { urls }), path)
    else await refuses(t, proof, /"htu"/, { urls })
  }
})

t.test('query and fragment are left out, on both sides', async t => {
  await t.resolves(verify(made({ claims: { htu: `${URL_OF_CALL}?a#b` } })))
  await t.resolves(verify(made(), { urls: [`${URL_OF_CALL}?c`] }))
  await refuses(t, made({ claims: { htu: URL_OF_CALL.replace('https', 'http') } }), /"htu"/)
})

t.test('the token and the key that it is bound to', async t => {
  for (const ath of [undefined, null, '', encode('token')]) await refuses(t, made({ claims: { ath } }), /"ath"/)
  await refuses(t, made(), /its key is not that of the token/, { thumbprint: new DpopClient().thumbprint })
  await refuses(t, made({ header: { jwk: new DpopClient().jwk } }), /its key is not that of the token/)
  await refuses(t, made().replace(/.{6}$/, 'AAAAAA'), /signature verification failed/)
})

t.test('the nonce, if there is one that is text', async t => {
  t.equal((await verify(made({ claims: { nonce: 'n' } }))).nonce, 'n')
  for (const nonce of [undefined, 7, ['n'], null]) t.equal((await verify(made({ claims: { nonce } }))).nonce, null)
})

function made (change: ProofChange = {}): string {
  return client.proof({ url: URL_OF_CALL, accessToken: 'token' }, change)
}

function signature (input: string, key: KeyObject): string {
  return sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')
}

async function verify (proof: string, change: Partial<ProvenCall> = {}): Promise<DpopProof> {
  return verifyDpopProof(proof, { ...call, ...change })
}

async function refuses (t: Test, proof: string, reason: RegExp, change: Partial<ProvenCall> = {}): Promise<void> {
  const error = await verify(proof, change).then(() => null, error => error)
  t.match(error, { code: 'FST_AUTH0_DPOP_PROOF_INVALID', statusCode: 401, cause: { name: 'ProviderFailure', message: reason } }, String(reason))
}
