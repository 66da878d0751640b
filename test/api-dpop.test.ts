import { createHmac, generateKeyPairSync } from 'node:crypto'
import http from 'node:http'
import type { FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { ApiOptions, Auth0Options } from '../lib/index.ts'
import { PROOF_ALGORITHMS } from '../lib/verify/dpop-proof.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { buildApp } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { DpopClient, type ProofChange } from './helpers/dpop-client.ts'
import { encode } from './helpers/id-tokens.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { connected } from './helpers/stores.ts'

const URL_OF_API = 'https://app.example.com/api/messages'
const ALGS = `algs="${PROOF_ALGORITHMS.join(' ')}"`
const INVALID_TOKEN = 'error="invalid_token", error_description="The access token is not valid"'
const INVALID_PROOF = `DPoP realm="auth0", error="invalid_dpop_proof", error_description="The DPoP proof is not valid", ${ALGS}`

t.test('a bound token and a proof of having its key', async t => {
  const { call } = await build(t)
  t.same((await call()).json(), { via: 'bearer', sub: 'auth0|ada' })
  t.equal((await call({}, { method: 'POST' })).statusCode, 200)
})

t.test('K1 a bound token that comes as Bearer is refused, and one that is not bound as DPoP (RFC 9449 §7.2)', async t => {
  const { call, client, provider, send } = await build(t)
  for (const accessToken of [client.accessToken(provider), provider.accessToken({ claims: { cnf: { 'x5t#S256': 'x' } } }), provider.accessToken({ claims: { cnf: 'x' } })]) {
    const refused = await send({ authorization: `Bearer ${accessToken}` })
    t.same([refused.statusCode, refused.headers['www-authenticate']], [401, `Bearer realm="auth0", ${INVALID_TOKEN}`])
  }
  const unbound = await call({}, { accessToken: provider.accessToken() })
  t.same([unbound.statusCode, unbound.headers['www-authenticate']], [401, `DPoP realm="auth0", ${INVALID_TOKEN}, ${ALGS}`])
  t.equal((await send({ authorization: `Bearer ${provider.accessToken()}` })).statusCode, 200)
})

t.test('K2 no proof, two, or no JWT', async t => {
  const { client, provider, send } = await build(t)
  const accessToken = client.accessToken(provider)
  const proof = client.proof({ url: URL_OF_API, accessToken })
  const authorization = `DPoP ${accessToken}`
  for (const dpop of [undefined, '', 'x', 'a.b.c', `${proof}.x`, `${proof}, ${proof}`, [proof, proof], `${proof} `.repeat(20)]) {
    const response = await send({ authorization, ...dpop !== undefined && { dpop } })
    t.same([response.statusCode, response.headers['www-authenticate']], [401, INVALID_PROOF], `dpop: ${String(dpop).slice(0, 20)}`)
  }
  t.equal((await send({ authorization, dpop: proof })).statusCode, 200)
})

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
const other = new DpopClient()
const wrong: Record<string, Record<string, (client: DpopClient) => ProofChange>> = {
  K3: {
    'typ missing': () => ({ header: { typ: undefined } }),
    'typ jwt': () => ({ header: { typ: 'JWT' } }),
    'alg none': () => ({ header: { alg: 'none' } }),
    'alg HS256': () => ({ header: { alg: 'HS256' } }),
    'another algorithm than the key': () => ({ header: { alg: 'RS256' } }),
    'a private key': client => ({ header: { jwk: client.privateJwk } }),
    'a symmetric key': () => ({ header: { jwk: { kty: 'oct', k: 'AAAA' } } }),
    'no key': () => ({ header: { jwk: undefined } }),
    'a key that is none': () => ({ header: { jwk: 'x' } }),
    'the key of another, by whom it is not signed': () => ({ header: { jwk: other.jwk } }),
    'a key of another kind': () => ({ header: { jwk: rsa } }),
    'an extension': () => ({ header: { crit: ['x'], x: 1 } })
  },
  K4: {
    'another method': () => ({ claims: { htm: 'POST' } }),
    'the method in lower case': () => ({ claims: { htm: 'get' } }),
    'no method': () => ({ claims: { htm: undefined } }),
    'another host': () => ({ claims: { htu: URL_OF_API.replace('app.', 'other.') } }),
    'another path': () => ({ claims: { htu: `${URL_OF_API}/1` } }),
    'a slash behind': () => ({ claims: { htu: `${URL_OF_API}/` } }),
    'the path in capitals': () => ({ claims: { htu: URL_OF_API.replace('api/m', 'API/M') } }),
    http: () => ({ claims: { htu: URL_OF_API.replace('https', 'http') } }),
    'another port': () => ({ claims: { htu: URL_OF_API.replace('.com', '.com:8443') } }),
    'no address': () => ({ claims: { htu: '/api/messages' } }),
    'no htu': () => ({ claims: { htu: undefined } })
  },
  K5: {
    'made two minutes ago': () => ({ claims: { iat: seconds() - 120 } }),
    'made in two minutes': () => ({ claims: { iat: seconds() + 120 } }),
    'made at no time': () => ({ claims: { iat: undefined } }),
    'made at a time that is text': () => ({ claims: { iat: String(seconds()) } })
  },
  K6: {
    'for another token': () => ({ claims: { ath: encode('x') } }),
    'for no token': () => ({ claims: { ath: undefined } })
  },
  K7: {
    'without an id': () => ({ claims: { jti: undefined } }),
    'with an empty id': () => ({ claims: { jti: '' } }),
    'with a long id': () => ({ claims: { jti: 'x'.repeat(300) } })
  }
}
for (const [id, changes] of Object.entries(wrong)) {
  for (const [name, change] of Object.entries(changes)) {
    t.test(`${id} a proof with ${name} is refused`, async t => {
      const { call, client, logs } = await build(t)
      const response = await call(change(client))
      t.same([response.statusCode, response.headers['www-authenticate']], [401, INVALID_PROOF])
      t.match(logs.text, 'DPoP proof: ')
    })
  }
}

t.test('K3 an HMAC with the public key is no signature', async t => {
  const { client, provider, send } = await build(t)
  const accessToken = client.accessToken(provider)
  const [, claims = ''] = client.proof({ url: URL_OF_API, accessToken }).split('.')
  const input = `${encode({ typ: 'dpop+jwt', alg: 'HS256', jwk: client.jwk })}.${claims}`
  const dpop = `${input}.${createHmac('sha256', JSON.stringify(client.jwk)).update(input).digest('base64url')}`
  t.equal((await send({ authorization: `DPoP ${accessToken}`, dpop })).statusCode, 401)
})

t.test('K4 the same address in other words is the same (RFC 9449 §4.3; RFC 3986 §6.2)', async t => {
  const { call } = await build(t)
  for (const htu of ['https://APP.example.com/api/messages', 'https://app.example.com:443/api/messages', 'HTTPS://app.example.com/api/x/../messages', `${URL_OF_API}?a=b#c`, 'https://app.example.com/api/%6dessages']) {
    t.equal((await call({ claims: { htu } })).statusCode, 200, htu)
  }
  t.equal((await call({ claims: { htu: 'https://app.example.com/api/a%2fb' } }, { path: '/api/a%2Fb' })).statusCode, 200)
  t.equal((await call({ claims: { htu: 'https://app.example.com/api/a/b' } }, { path: '/api/a%2Fb' })).statusCode, 401)
})

t.test('K4 behind a proxy that takes a path away, and by the address of the API', async t => {
  const { call } = await build(t, { resource: 'https://api.example.com/api' }, { appBaseUrl: 'https://app.example.com/shop' })
  t.equal((await call({ claims: { htu: 'https://app.example.com/shop/api/messages' } })).statusCode, 200)
  t.equal((await call({ claims: { htu: 'https://api.example.com/api/messages' } })).statusCode, 200)
  t.equal((await call({ claims: { htu: 'https://app.example.com/api/messages' } })).statusCode, 401)
})

t.test('K9 where trustProxy is off, the addresses that proofs name are those of the options all the same, and no header is believed', async t => {
  const { call } = await build(t, {}, {}, { fastify: { trustProxy: false }, headers: { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'attacker.example', host: '10.0.0.1:3000' } })
  t.equal((await call()).statusCode, 200)
  for (const origin of ['http://10.0.0.1:3000', 'https://10.0.0.1:3000', 'https://attacker.example', 'http://app.example.com']) {
    t.equal((await call({ claims: { htu: `${origin}/api/messages` } })).statusCode, 401, origin)
  }
})

t.test('K4 the address is that which was called, also where the application writes it anew', async t => {
  const { call } = await build(t, {}, {}, { fastify: { rewriteUrl: ({ url = '' }) => url.replace('/v1/', '/api/') } })
  t.equal((await call({}, { path: '/v1/messages' })).statusCode, 200)
  t.equal((await call({ claims: { htu: URL_OF_API } }, { path: '/v1/messages' })).statusCode, 401)
})

t.test('K5 a clock that is a little off, and a proof that waited a moment', async t => {
  const { call } = await build(t)
  for (const offset of [-80, -60, 25]) t.equal((await call({ claims: { iat: seconds() + offset } })).statusCode, 200, `${offset} s`)
})

t.test('K6 a token that is bound to another key is refused', async t => {
  const { call, provider } = await build(t)
  const response = await call({}, { accessToken: other.accessToken(provider) })
  t.same([response.statusCode, response.headers['www-authenticate']], [401, INVALID_PROOF])
})

t.test('K7 a proof is good once', async t => {
  const { call, clock } = await build(t)
  const jti = 'the-same-id'
  t.equal((await call({ claims: { jti } })).statusCode, 200)
  t.equal((await call({ claims: { jti } })).statusCode, 401)
  t.equal((await call()).statusCode, 200)
  clock.advance(119)
  t.equal((await call({ claims: { jti } })).statusCode, 401, 'as long as one could be from before')
  clock.advance(3)
  t.equal((await call({ claims: { jti } })).statusCode, 200)
})

t.test('K7 a proof from the future is good once, too, to the end of its last second', async t => {
  const { send, client, provider, clock } = await build(t, {}, {}, { isFrozen: true })
  clock.advance(1 - Date.now() % 1000 / 1000) // a second begins
  const accessToken = client.accessToken(provider)
  const headers = { authorization: `DPoP ${accessToken}`, dpop: client.proof({ url: URL_OF_API, accessToken }, { claims: { iat: seconds() + 30 } }) }
  t.equal((await send(headers)).statusCode, 200)
  for (const later of [119.9, 0.6, 0.6]) {
    clock.advance(later)
    t.equal((await send(headers)).statusCode, 401, `${later} s later`)
  }
})

t.test('K4 the first line of a request may name the whole address (RFC 9112 §3.2.2)', async t => {
  const { app, client, provider } = await build(t)
  const accessToken = client.accessToken(provider)
  const { port } = new URL(await app.listen())
  const status = (path: string, method = 'GET') => new Promise(resolve => {
    const headers = { authorization: `DPoP ${accessToken}`, dpop: client.proof({ method, url: URL_OF_API, accessToken }) }
    http.request({ port, method, path, headers }, response => resolve(response.resume().statusCode)).end()
  })
  t.equal(await status('http://10.0.0.1/api/messages?a=b'), 200)
  t.equal(await status('http://10.0.0.1/api/others'), 401)
  t.equal(await status('http://[/api/messages'), 400)
  t.equal(await status('*', 'OPTIONS'), 401, 'of a whole server no proof can be')
})

t.test('the same id by another key is another proof, and one by the same key another id\'s', async t => {
  const { call, send, provider } = await build(t)
  t.equal((await call({ claims: { jti: 'one' } })).statusCode, 200)
  const accessToken = other.accessToken(provider)
  const ofOther = (jti: string) => send({ authorization: `DPoP ${accessToken}`, dpop: other.proof({ url: URL_OF_API, accessToken }, { claims: { jti } }) })
  t.same([(await ofOther('one')).statusCode, (await ofOther('two')).statusCode, (await ofOther('one')).statusCode], [200, 200, 401])
})

t.test('a token that is bound to something that is no thumbprint is bound to no key', async t => {
  const { call, provider } = await build(t)
  for (const cnf of [{ jkt: 7 }, { jkt: [] }, [], null]) {
    const response = await call({}, { accessToken: provider.accessToken({ claims: { cnf } }) })
    t.same([response.statusCode, response.json().code], [401, 'FST_AUTH0_ACCESS_TOKEN_INVALID'])
  }
})

t.test('K7 of twenty at once one passes', async t => {
  const { client, provider, send } = await build(t)
  const accessToken = client.accessToken(provider)
  const headers = { authorization: `DPoP ${accessToken}`, dpop: client.proof({ url: URL_OF_API, accessToken }) }
  const codes = (await Promise.all(Array.from({ length: 20 }, () => send(headers)))).map(({ statusCode }) => statusCode)
  t.same(codes.sort(), [200, ...Array.from({ length: 19 }, () => 401)])
})

t.test('K7 nor on another host, where both have the same Redis', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const auth0 of [{ revocations: { redis: redis.url } }, { session: { redis: redis.url } }]) {
    const provider = new Provider()
    const [one, two] = [await build(t, {}, { ...auth0 }, { provider }), await build(t, {}, { ...auth0 }, { provider })]
    const accessToken = one.client.accessToken(provider)
    const headers = { authorization: `DPoP ${accessToken}`, dpop: one.client.proof({ url: URL_OF_API, accessToken }) }
    t.equal((await one.send(headers)).statusCode, 200)
    t.equal((await two.send(headers)).statusCode, 401)
  }
  const provider = new Provider()
  const site = await build(t, {}, { revocations: { redis: redis.url } }, { provider })
  await redis.stop()
  const accessToken = site.client.accessToken(provider)
  const headers = { authorization: `DPoP ${accessToken}`, dpop: site.client.proof({ url: URL_OF_API, accessToken }) }
  t.same([(await site.send(headers)).statusCode, (await site.send(headers)).statusCode], [200, 401], 'while it is away this process remembers')
})

t.test('K8 with option api.dpopNonce proofs repeat a nonce of ours (RFC 9449 §9)', async t => {
  const { call, clock, send, provider, client } = await build(t, { dpopNonce: true })
  const asked = await call()
  t.match(asked.headers['www-authenticate'], /^DPoP realm="auth0", error="use_dpop_nonce"/)
  const nonce = asked.headers['dpop-nonce'] as string
  t.equal((await call({ claims: { nonce } })).statusCode, 200)
  t.equal((await call({ claims: { nonce: `${nonce}x` } })).statusCode, 401)
  t.equal((await call({ claims: { nonce: [nonce] } })).statusCode, 401)
  clock.advance(300)
  t.equal((await call({ claims: { nonce } })).statusCode, 200, 'the one before is good, too')
  clock.advance(300)
  const old = await call({ claims: { nonce } })
  t.equal(old.statusCode, 401)
  t.not(old.headers['dpop-nonce'], nonce)
  t.equal((await send({ authorization: `Bearer ${provider.accessToken()}` })).statusCode, 200, 'those that are not bound need none')

  const { call: elsewhere } = await build(t, { dpopNonce: true }, {}, { provider, client })
  t.equal((await elsewhere({ claims: { nonce: old.headers['dpop-nonce'] } })).statusCode, 200, 'another process with the same secret')
  const { call: rotated } = await build(t, { dpopNonce: true }, { secret: ['another-secret-of-the-tests-0123456789', '5f0d9c81e7b24a63f1c8d02e9a7b4c65d3e8f10a2b7c4d96'] }, { provider, client })
  t.equal((await rotated({ claims: { nonce: old.headers['dpop-nonce'] } })).statusCode, 200, 'and one whose secret was rotated')
})

t.test('K10 the scheme in any case', async t => {
  const { client, provider, send } = await build(t)
  for (const scheme of ['dpop', 'DPOP', 'DPoP']) {
    const accessToken = client.accessToken(provider)
    t.equal((await send({ authorization: `${scheme} ${accessToken}`, dpop: client.proof({ url: URL_OF_API, accessToken }) })).statusCode, 200)
  }
})

t.test('required: tokens that are bound to no key are refused, and the challenge says how', async t => {
  const { call, provider, send } = await build(t, { dpop: 'required' })
  t.equal((await call()).statusCode, 200)
  t.equal((await send({})).headers['www-authenticate'], `DPoP realm="auth0", ${ALGS}`)
  const refused = await send({ authorization: `Bearer ${provider.accessToken()}` })
  t.same([refused.statusCode, refused.headers['www-authenticate']], [401, `DPoP realm="auth0", ${INVALID_TOKEN}, ${ALGS}`])
})

t.test('off: bound tokens are refused, since nobody could tell a thief', async t => {
  const { call, provider, send } = await build(t, { dpop: 'off' })
  t.equal((await call()).statusCode, 401)
  t.equal((await send({})).headers['www-authenticate'], 'Bearer realm="auth0"')
  t.equal((await send({ authorization: `Bearer ${provider.accessToken()}` })).statusCode, 200)
})

function seconds (): number {
  return Math.floor(Date.now() / 1000)
}

/** An API, and a client of it that has a key. */
async function build (t: Test, api: Partial<ApiOptions> = {}, auth0: Auth0Options = {}, { provider = new Provider(), client = new DpopClient(), isFrozen = false, fastify = {} as FastifyServerOptions, headers: always = {} as Record<string, string> } = {}) {
  const clock = travelInTime(t, { isFrozen })
  const { app, logs } = await buildApp(t, {
    provider,
    fastify,
    auth0: { ...auth0, api: { audience: AUDIENCE, ...api } },
    routes: app => {
      app.route({
        method: ['GET', 'POST'],
        url: '/api/*',
        preHandler: app.requireAuth({ via: 'bearer' }),
        handler: async ({ auth0: { via, user } }) => ({ via, sub: user?.sub })
      })
      app.options('*', { preHandler: app.requireAuth({ via: 'bearer' }) }, async () => 'in')
    }
  })
  await connected(app)
  const send = (headers: Record<string, string | string[]>, { method = 'GET' as 'GET' | 'POST', path = '/api/messages' } = {}) =>
    app.inject({ method, url: path, headers: { ...always, ...headers } })
  return {
    app,
    clock,
    provider,
    client,
    send,
    logs,
    call: (change: ProofChange = {}, { method = 'GET' as 'GET' | 'POST', path = '/api/messages', accessToken = client.accessToken(provider) } = {}) => {
      const dpop = client.proof({ method, url: `https://app.example.com${path}`, accessToken }, change)
      return send({ authorization: `DPoP ${accessToken}`, dpop }, { method, path })
    }
  }
}
