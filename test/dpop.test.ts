import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { ApiRequest, Auth0Options, TokenSet } from '../lib/index.ts'
import { createDpopProofs } from '../lib/provider/dpop.ts'
import { createApiFetch } from '../lib/tokens/api-fetch.ts'
import { OAuthError } from './helpers/authorizations.ts'
import { DpopProofs } from './helpers/dpop-proofs.ts'
import { startExample } from './helpers/example.ts'
import { Browser } from './helpers/browser.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildTokenSite, LIFETIME, sessionKinds, type TokenSiteOptions } from './helpers/token-site.ts'

// Access tokens that are bound to a key (RFC 9449): in memory, with an API that checks each proof, and with oidc-provider.

const MESSAGES = 'https://api.example.com/messages'

t.test('the tokens of a login are bound to a key of its own, as long as it lasts (RFC 9449 §5)', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options } of sessionKinds(redis)) {
    await t.test(name, async t => {
      const { provider, ask, call, calls, clock, newBrowser, logs } = await build(t, { auth0: options() })
      const first = (await ask()).json()
      t.equal(first.tokenType, 'DPoP')
      const { jkt } = provider.tokenInfo(first.accessToken)!
      t.type(jkt, 'string')

      t.same(await call({ method: 'POST', body: 'hello' }), { status: 200, body: 'hello' })
      clock.advance(LIFETIME)
      t.match(await call(), { status: 200 })
      t.same(calls.map(call => call.jkt), [jkt, jkt])
      t.not(calls[0]!.accessToken, calls[1]!.accessToken)
      t.equal(provider.refreshes.length, 1)
      t.equal(provider.tokenInfo(calls[1]!.accessToken)!.jkt, jkt)

      const other = newBrowser()
      await other.login('/login?returnTo=/me')
      t.not(provider.tokenInfo((await other.fetch('/token')).json().accessToken)!.jkt, jkt)
      t.notMatch(logs.text, /"d":|dpop"/i, 'neither key nor proof is in the log')
    })
  }
})

t.test('K8 a provider that wants a nonce gets it, and is asked twice only when it has a new one (RFC 9449 §8)', async t => {
  const provider = new Provider()
  provider.proofs.nonce = 'nonce-1'
  const { ask } = await build(t, { provider })
  t.equal(provider.callsTo('token').length, 2, 'the login')
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
  t.equal(provider.callsTo('token').length, 3)
  provider.proofs.nonce = 'nonce-2'
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
  t.equal(provider.callsTo('token').length, 5)
  t.equal(provider.reuses, 0)
})

t.test('K8 an API that wants a nonce gets it, each its own (RFC 9449 §9)', async t => {
  const { call, calls, proofs, unread } = await build(t)
  proofs.nonce = 'nonce-of-the-api'
  t.match(await call({ method: 'POST', body: 'hello' }), { status: 200, body: 'hello' })
  t.equal(unread.length, 0, 'the connection is free')
  t.match(await call(), { status: 200 })
  t.equal(calls.length, 2, 'one was refused, and is not counted')
  t.match(await call({}, 'https://other.example.com/'), { status: 200 })
})

t.test('K8 a nonce that is never right is no reason to go on asking', async t => {
  const { call, proofs, refused } = await build(t)
  Object.defineProperty(proofs, 'nonce', { get: () => `nonce-${Math.random()}` })
  t.match(await call(), { status: 401 })
  t.equal(refused.length, 2)
})

t.test('a stream is sent once: what the API said to it is the answer', async t => {
  for (const body of [() => new Blob(['x']).stream(), () => Readable.from(['x'])]) {
    const { call, calls, proofs, refused } = await build(t)
    proofs.nonce = 'nonce-of-the-api'
    const init = () => ({ method: 'POST', body: body(), duplex: 'half' }) as unknown as ApiRequest
    t.match(await call(init()), { status: 401 })
    t.same([refused.length, calls.length], [1, 0])
    t.match(await call(init()), { status: 200 }, 'the nonce is known by now')
  }
})

t.test('a token that the API takes no more is renewed, with the same key', async t => {
  const { call, calls, answers, provider, clock } = await build(t)
  clock.advance(60)
  answers.push(new Response(null, { status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token", algs="ES256"' } }))
  t.match(await call({ method: 'PUT', body: 'hello' }), { status: 200, body: 'hello' })
  t.equal(provider.refreshes.length, 1)
  t.equal(calls[0]!.jkt, calls[1]!.jkt)
  t.not(calls[0]!.accessToken, calls[1]!.accessToken)
})

t.test('answers with another challenge, and failures of fetch, arrive as they are', async t => {
  const { call, answers } = await build(t)
  answers.push(new Response('no', { status: 401, headers: { 'www-authenticate': 'DPoP error="insufficient_scope"' } }))
  t.same(await call(), { status: 401, body: 'no' })
  answers.push(new TypeError('fetch failed'))
  t.match(await call(), { message: 'fetch failed' })
  answers.push(new DOMException('This operation was aborted', 'AbortError'))
  t.match(await call(), { message: 'This operation was aborted' })
  for (const method of ['no method', 5 as never]) t.match(await call({ method }), { message: /method/i })
})

t.test('the same goes out as with a token that is bound to no key, but for the proof', async t => {
  const seen: Array<Record<string, string>> = []
  for (const dpop of [false, true]) {
    const { call, requests } = await build(t, { auth0: { dpop } })
    await call({ method: 'POST', body: 'hello', headers: { authorization: 'mine', dpop: 'mine', 'x-own': '1' } })
    await call({ headers: { 'user-agent': 'own' } })
    t.match(requests.map(({ headers }) => headers.get('authorization')), dpop ? [/^DPoP /, /^DPoP /] : [/^Bearer /, /^Bearer /])
    if (dpop) t.match(requests[0]!.headers.get('dpop'), /^ey[\w-]+\.[\w-]+\.[\w-]+$/)
    for (const { headers } of requests) {
      const { authorization, dpop, ...others } = Object.fromEntries(headers)
      seen.push(others)
    }
  }
  t.same(seen.slice(0, 2), seen.slice(2))
  t.match(seen, [{ 'x-own': '1', 'user-agent': undefined }, { 'user-agent': 'own' }])
})

t.test('a redirect is not followed: the proof is for one address (RFC 9449 §4.2), and nobody else\'s to see', async t => {
  const elsewhere: string[] = []
  const server = createServer((request, response) => {
    if (request.url === '/moved') return response.writeHead(307, { location: '/landed' }).end()
    elsewhere.push(request.url as string)
    response.end('landed')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { server.close() })
  const moved = `http://127.0.0.1:${(server.address() as AddressInfo).port}/moved`
  for (const [dpop, init, answer] of [
    [true, {}, { status: 307 }], [true, { redirect: 'follow' }, { status: 307 }], [true, { redirect: 'error' }, { message: /fetch failed/ }], [false, {}, { status: 200, body: 'landed' }]
  ] as Array<[boolean, ApiRequest, object]>) {
    const provider = new Provider()
    const { call } = await build(t, { provider, auth0: { dpop, fetch: (input, init) => String(input).startsWith(provider.issuer) ? provider.fetch(input, init) : fetch(input, init) } })
    t.match(await call(init, moved), answer)
  }
  t.same(elsewhere, ['/landed'], 'without a proof')
})

t.test('a logout beside a call: the call goes out with its proof, or not at all', async t => {
  const { browser, requests } = await build(t, {
    routes: app => app.post('/call-and-leave', async (request, reply) => {
      const results = await Promise.allSettled([app.auth0.fetch(request, MESSAGES), app.auth0.logout(request, reply)])
      return results.map(({ status }) => status)
    })
  })
  t.same((await browser.fetch('/call-and-leave', { method: 'POST' })).json(), ['fulfilled', 'fulfilled'])
  t.match(requests.map(({ headers }) => [headers.get('authorization'), headers.get('dpop')]), [[/^DPoP /, /^ey/]])
})

t.test('a token whose key is missing goes nowhere: without a proof it would be anybody\'s', async t => {
  const fetchFromApi = createApiFetch(() => t.fail('nothing is sent') as never, createDpopProofs())
  const tokenSet: TokenSet = { accessToken: 'abc', tokenType: 'DPoP', scope: null, audience: null, expiresAt: null }
  await t.rejects(fetchFromApi({ token: async () => ({ tokenSet, dpopKey: undefined }) }, MESSAGES), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
})

t.test('UserInfo is asked with a proof', async t => {
  const provider = new Provider()
  provider.onlyInUserInfo = ['email']
  const { browser } = await build(t, { provider, auth0: { userInfo: 'always' } })
  t.match((await browser.fetch('/me')).json(), { user: { email: provider.user.email as string } })
  t.match(provider.callsTo('userinfo')[0]!.headers.get('authorization'), /^DPoP /)
})

t.test('D4 a token that is bound to no key is refused, where that was wanted (RFC 9449 §5)', async t => {
  const provider = new Provider()
  provider.bindsTokens = false
  await t.rejects(build(t, { provider }), /502/)

  const { provider: later, clock, ask, isLoggedIn, logs } = await build(t)
  clock.advance(LIFETIME)
  later.failNext('token', { json: { token_type: 'Bearer' } })
  t.match((await ask()).json(), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' })
  t.match(logs.text, 'let the provider bind tokens to keys, or leave option \\"dpop\\" out')
  t.ok(await isLoggedIn())
})

t.test('without the option no proof is sent, and sessions stay as they began', async t => {
  const { provider, ask, cookie } = await buildTokenSite(t)
  t.match((await ask()).json(), { tokenType: 'Bearer' })
  t.same(provider.calls.filter(({ headers }) => headers.has('dpop')), [])

  const bound = await build(t, { provider })
  t.match((await bound.send('/token', cookie())).json(), { tokenType: 'Bearer' }, 'begun without')
  const wanted = encodeURIComponent(JSON.stringify({ forceRefresh: true }))
  t.match((await bound.send(`/token?options=${wanted}`, cookie())).json(), { tokenType: 'Bearer' })

  const unbound = await buildTokenSite(t, { provider })
  t.match((await unbound.send(`/token?options=${wanted}`, bound.cookie())).json(), { tokenType: 'DPoP' }, 'begun with')
})

for (const wantsDpopNonce of [false, true]) {
  t.test(`oidc-provider takes the proofs, ${wantsDpopNonce ? 'with' : 'without'} a nonce: at the login, at a refresh, at UserInfo`, async t => {
    let issuer = ''
    const auth0: Auth0Options = { dpop: true, userInfo: 'always', authorizationParams: { scope: 'openid profile email offline_access' } }
    const { url, tenant } = await startExample(t, {
      auth0,
      tenant: { wantsDpopNonce },
      routes: app => app.get('/call', async request => {
        const { tokenType } = await request.auth0.getTokenSet({ forceRefresh: true })
        const response = await app.auth0.fetch(request, `${issuer}userinfo`)
        const { accessToken } = await request.auth0.getTokenSet()
        const bearer = await fetch(`${issuer}userinfo`, { headers: { authorization: `Bearer ${accessToken}` } })
        return { tokenType, status: response.status, claims: await response.json(), asBearer: bearer.status }
      })
    })
    issuer = tenant.issuer
    const browser = new Browser({ baseUrl: url })
    const page = await browser.navigate('/profile')
    await browser.submit(page.url, { person: 'amara' })
    t.match((await browser.get('/call')).json(), { tokenType: 'DPoP', status: 200, claims: { email: /amara/ }, asBearer: 401 })
  })
}

interface ApiCall { jkt: string | null, accessToken: string }

/** Somebody logged in with bound tokens, on an application that calls an API, which checks the proofs, and answers with what it was sent, or as it is told. */
async function build (t: Test, { provider = new Provider(), auth0, ...options }: TokenSiteOptions & { provider?: Provider } = {}) {
  const proofs = new DpopProofs()
  const calls: ApiCall[] = []
  const refused: OAuthError[] = []
  const answers: Array<Response | Error> = []
  const unread: ReadableStream[] = []
  const requests: Request[] = []

  /** RFC 9449 §7.1. */
  async function api (request: Request): Promise<Response> {
    requests.push(request)
    const [scheme, accessToken = ''] = request.headers.get('authorization')?.split(' ') ?? []
    try {
      const jkt = proofs.check({ method: request.method, url: new URL(request.url), headers: request.headers, accessToken })
      if (scheme === 'Bearer') return new Response('as the bearer')
      if (scheme !== 'DPoP' || jkt === null || jkt !== provider.tokenInfo(accessToken)?.jkt) return new Response(null, { status: 401 })
      calls.push({ jkt, accessToken })
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      refused.push(error)
      const body = new ReadableStream({ cancel: () => { unread.splice(unread.indexOf(body), 1) } })
      unread.push(body)
      return new Response(body, { status: 401, headers: { 'www-authenticate': `DPoP error="${error.error}"`, 'dpop-nonce': String(proofs.nonce) } })
    }
    const answer = answers.shift() ?? new Response(await request.text())
    if (answer instanceof Error) throw answer
    return answer
  }

  let next: { init: ApiRequest | undefined, url: string }
  const site = await buildTokenSite(t, {
    ...options,
    provider,
    auth0: {
      dpop: true,
      fetch: async (input, init) => String(input).startsWith(provider.issuer) ? provider.fetch(input, init) : api(new Request(input, init)),
      ...auth0
    },
    routes: app => {
      app.get('/call', async request => {
        const response = await app.auth0.fetch(request, next.url, next.init)
        if (unread.length > 0) return { status: response.status, body: await response.body?.cancel() }
        return { status: response.status, body: await response.text() }
      })
      if (options.routes !== false) options.routes?.(app)
    }
  })
  return {
    ...site,
    proofs,
    calls,
    refused,
    requests,
    answers,
    unread,
    call: async (init?: ApiRequest, url = MESSAGES) => {
      next = { init, url }
      return (await site.browser.fetch('/call')).json()
    }
  }
}
