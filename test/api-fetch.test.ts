import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ApiRequest } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { Provider } from './helpers/provider.ts'

const API = 'https://api.example.com/messages'
const invalid = { status: 401, headers: { 'www-authenticate': 'Bearer realm="api", error="invalid_token", error_description="expired"' } }

t.test('an API is called with the access token, and what was asked for', async t => {
  const { call, calls, token } = await build(t)
  const response = await call({ method: 'PUT', body: 'hello', headers: { 'content-type': 'text/plain', authorization: 'mine' } })
  t.same(response, { status: 200, body: 'hello' })
  t.match(calls, [{ url: API, method: 'PUT', body: 'hello', headers: { authorization: `Bearer ${await token()}`, 'content-type': 'text/plain' } }])
  t.equal(calls.length, 1)
})

t.test('a token for another API, where that is said', async t => {
  const { call, calls, provider } = await build(t)
  await call({ accessToken: { audience: 'https://other.example.com', scope: 'read:a' } })
  t.match(provider.tokenInfo(bearerOf(calls[0]!)), { audience: 'https://other.example.com' })
  t.notOk('accessToken' in calls[0]!.init)
})

t.test('when the API takes the token no more, once more with a new one (RFC 6750 §3.1)', async t => {
  const repeatable: Array<ApiRequest['body']> = ['text', new URLSearchParams('a=b'), Buffer.from('bytes'), new Blob(['blob']), new Uint8Array([65]).buffer]
  for (const body of [undefined, ...repeatable]) {
    const { call, calls, answers, provider } = await build(t)
    answers.push(invalid)
    const response = await call(body === undefined ? {} : { method: 'POST', body: body as NonNullable<typeof body> })
    t.equal(response.status, 200)
    t.equal(calls.length, 2)
    t.equal(calls[0]!.body, calls[1]!.body)
    t.not(bearerOf(calls[0]!), bearerOf(calls[1]!))
    t.equal(provider.refreshes.length, 1)
  }
})

t.test('not a second time, not for another refusal, not for a stream', async t => {
  for (const [answers, init] of [
    [[invalid, invalid], {}],
    [[{ status: 401 }], {}],
    [[{ status: 401, headers: { 'www-authenticate': 'Bearer error="insufficient_scope"' } }], {}],
    [[{ status: 403, headers: invalid.headers }], {}],
    [[invalid], { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' }],
    [[invalid], { method: 'POST', body: Readable.from(['x']), duplex: 'half' }]
  ] as const) {
    const built = await build(t)
    built.answers.push(...answers)
    const { status } = await built.call(init as unknown as ApiRequest)
    t.equal(status, answers[0].status)
    t.equal(built.calls.length, answers.length)
  }
})

t.test('without a refresh token the API\'s answer is all there is', async t => {
  const { call, calls, answers } = await build(t, { scope: 'openid' })
  answers.push({ ...invalid, body: 'expired' })
  t.same(await call(), { status: 401, body: 'expired' })
  t.equal(calls.length, 1)
})

t.test('other failures of a refresh are told', async t => {
  const { call, answers, provider } = await build(t)
  answers.push(invalid)
  provider.fail('token', '503')
  t.match(await call(), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' })
})

t.test('then the answer that nobody reads is let go of, and one that broke off is none to fail for', async t => {
  for (const breaks of [false, true]) {
    const { call, answers, provider, unread, clock } = await build(t)
    answers.push({ ...invalid, body: unread.body(breaks) })
    t.match(await call(), { status: 200 })
    clock.advance(60)
    provider.fail('token', '503')
    answers.push({ ...invalid, body: unread.body(breaks) })
    t.match(await call(), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' })
    t.equal(unread.cancelled, breaks ? 0 : 2)
  }
})

t.test('calls that an API refuses with the same token share one refresh, at whatever time its answers come', async t => {
  const { provider, browser, respond, token } = await build(t)
  const old = `Bearer ${await token()}`
  let calls = 0
  respond(async ({ headers }) => {
    await delay(20 * (calls++ % 3))
    return headers.get('authorization') === old ? new Response(null, invalid) : new Response('fresh')
  })
  t.same((await browser.fetch('/many')).json(), Array.from({ length: 6 }, () => 200))
  t.equal(provider.refreshes.length, 1)
})

t.test('an API that takes no token does not have the provider asked each time: a token that was just received is not renewed', async t => {
  const { call, calls, provider, respond, clock } = await build(t, { isFrozen: true })
  respond(async () => new Response('no', invalid))
  for (let time = 0; time < 5; time++) t.same(await call(), { status: 401, body: 'no' })
  t.equal(provider.refreshes.length, 1)
  t.equal(calls.length, 6)
  clock.advance(9)
  await call()
  t.equal(provider.refreshes.length, 1)
  clock.advance(1)
  await call()
  t.equal(provider.refreshes.length, 2)
})

const challenges: Array<[header: string, isInvalidToken: boolean]> = [
  ['Bearer error=invalid_token', true],
  ['Bearer error = "invalid_token"', true],
  ['Bearer realm="api",\tERROR\t=\t"invalid_token"', true],
  ['Basic realm="a, \\"b\\"", Bearer scope="x", error="invalid_token", DPoP algs="ES256"', true],
  ['Negotiate dGVzdA==, Bearer error="invalid_token"', true],
  ['Bearer error="insufficient_scope", error_description="no error=invalid_token, but another"', false],
  ['Basic realm="error=\\"invalid_token\\""', false],
  ['Bearer error_description="invalid_token"', false],
  ['Bearer my-error="invalid_token"', false],
  ['Bearer error="invalid_token_or_not"', false],
  ['Bearer error="', false],
  ['???', false]
]
for (const [header, isInvalidToken] of challenges) {
  t.test(`a challenge is read by its grammar (RFC 9110 §11.2, §11.6.1): ${header.slice(0, 80)}`, async t => {
    const { call, calls, answers } = await build(t)
    answers.push({ status: 401, headers: { 'www-authenticate': header } })
    t.equal((await call()).status, isInvalidToken ? 200 : 401)
    t.equal(calls.length, isInvalidToken ? 2 : 1)
  })
}

t.test('a challenge without an end is read in no time', async t => {
  const { call, answers } = await build(t)
  answers.push({ status: 401, headers: { 'www-authenticate': `Bearer ${'x'.repeat(200_000)}` } })
  const startedAt = performance.now()
  t.match(await call(), { status: 401 })
  t.ok(performance.now() - startedAt < 2000)
})

t.test('a Request, and what is no address or no options, is refused with a remedy: nothing of it would be lost silently', async t => {
  const { call, calls } = await build(t)
  const request = new Request(API, { method: 'PUT', body: 'x' })
  for (const [url, init, message] of [
    [request, undefined, /the address must be a string or a URL. Of a Request give "url"/],
    [{ toString: () => API }, undefined, /the address must be a string or a URL/],
    [API, request, /options must be a plain object. Of a Request give "method"/],
    [API, 'PUT', /options must be a plain object/],
    [API, { accessToken: { audiance: 'https://other.example.com' } }, /auth0.fetch, "accessToken": option "audiance" is unknown. Did you mean "audience"\?/],
    [API, { accessToken: 'https://other.example.com' }, /auth0.fetch, "accessToken": takes a plain object with options: audience, scope, organization$/],
    [API, { accessToken: { forceRefresh: true } }, /option "forceRefresh" is unknown/]
  ] as unknown as Array<[string, ApiRequest, RegExp]>) {
    t.match(await call(init, url), { statusCode: 500, code: 'FST_AUTH0_OPTIONS_INVALID', message })
  }
  t.equal(calls.length, 0)
  t.match(await call(null as unknown as ApiRequest), { status: 200 }, 'as fetch takes it')
  const list = [['x-a', '1']] as Array<[string, string]>
  t.match(await call({ headers: list.values() as unknown as Array<[string, string]> }), { status: 200 })
  t.equal(calls.at(-1)!.headers['x-a'], '1')
})

t.test('an address where others could read the token is refused, and nobody asked', async t => {
  const { call, calls } = await build(t)
  for (const url of ['http://api.example.com/', 'ftp://api.example.com/', 'http://10.0.0.1/']) {
    t.match(await call({}, url), { code: 'FST_AUTH0_OPTIONS_INVALID' })
  }
  t.equal(calls.length, 0)
  for (const url of ['http://localhost:4000/', new URL('http://127.0.0.1:4000/')]) t.equal((await call({}, url)).status, 200)
  let looks = 0
  const changing = Object.defineProperty(new URL(API), 'toString', { value: () => looks++ === 0 ? API : 'http://api.example.com/' })
  await call({}, changing)
  t.equal(calls.at(-1)!.url, API, 'the address that was looked at is the one that is called')
})

interface ApiCall { url: string, method: string, body: string, headers: Record<string, string>, init: object }
interface Answer { status: number, headers?: Record<string, string>, body?: string | ReadableStream }

function bearerOf ({ headers }: ApiCall): string {
  return headers.authorization!.replace('Bearer ', '')
}

/** Bodies of which it is known whether somebody let go of them. */
class UnreadBodies {
  cancelled = 0

  body (breaks = false): ReadableStream {
    return new ReadableStream({
      start: controller => { if (breaks) controller.error(new TypeError('terminated')) },
      cancel: () => { this.cancelled++ }
    })
  }
}

interface BuildOptions { scope?: string, isFrozen?: boolean }

/** Somebody logged in a minute ago, on an application that calls an API, which answers as it is told, and else with what it was sent. */
async function build (t: Test, { scope = 'openid offline_access', isFrozen = false }: BuildOptions = {}) {
  const clock = travelInTime(t, { isFrozen })
  const calls: ApiCall[] = []
  const answers: Answer[] = []
  const provider = new Provider()
  let answer: (request: Request) => Promise<Response> = async request => {
    const { status, headers = {}, body = await request.text() } = answers.shift() ?? { status: 200 }
    return new Response(body, { status, headers })
  }
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (String(input).startsWith(provider.issuer)) return provider.fetch(input, init)
    const request = new Request(input, init)
    calls.push({ url: request.url, method: request.method, body: await request.clone().text(), headers: Object.fromEntries(request.headers), init: init as object })
    return answer(request)
  }
  let next: { init: ApiRequest | undefined, url: string | URL }
  const { app, browser } = await buildApp(t, {
    provider,
    auth0: { fetch, authorizationParams: { scope } },
    routes: app => {
      app.get('/call', async request => {
        const response = await app.auth0.fetch(request, next.url, next.init)
        return { status: response.status, body: await response.text() }
      })
      app.get('/many', async request => {
        const responses = await Promise.all(Array.from({ length: 6 }, () => app.auth0.fetch(request, API)))
        return responses.map(({ status }) => status)
      })
      app.get('/token', async ({ auth0 }) => auth0.getAccessToken())
    }
  })
  await browser.login('/login?returnTo=/me')
  clock.advance(60)
  return {
    app,
    browser,
    provider,
    clock,
    calls,
    answers,
    unread: new UnreadBodies(),
    respond: (how: typeof answer) => { answer = how },
    token: async () => (await browser.get('/token')).body,
    call: async (init?: ApiRequest, url: string | URL = API) => {
      next = { init, url }
      return (await browser.fetch('/call')).json()
    }
  }
}
