import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { ApiRequest } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
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
  const { call, calls, answers } = await build(t, 'openid')
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

t.test('an address where others could read the token is refused, and nobody asked', async t => {
  const { call, calls } = await build(t)
  for (const url of ['http://api.example.com/', 'ftp://api.example.com/', 'http://10.0.0.1/']) {
    t.match(await call({}, url), { code: 'FST_AUTH0_OPTIONS_INVALID' })
  }
  t.equal(calls.length, 0)
  for (const url of ['http://localhost:4000/', new URL('http://127.0.0.1:4000/')]) t.equal((await call({}, url)).status, 200)
})

interface ApiCall { url: string, method: string, body: string, headers: Record<string, string>, init: object }
interface Answer { status: number, headers?: Record<string, string>, body?: string }

function bearerOf ({ headers }: ApiCall): string {
  return headers.authorization!.replace('Bearer ', '')
}

/** Somebody logged in, on an application that calls an API, which answers as it is told, and else with what it was sent. */
async function build (t: Test, scope = 'openid offline_access') {
  const calls: ApiCall[] = []
  const answers: Answer[] = []
  const provider = new Provider()
  const fetch: typeof globalThis.fetch = async (input, init) => {
    if (String(input).startsWith(provider.issuer)) return provider.fetch(input, init)
    const request = new Request(input, init)
    const body = await request.text()
    calls.push({ url: request.url, method: request.method, body, headers: Object.fromEntries(request.headers), init: init as object })
    const { status, headers = {}, body: answer = body } = answers.shift() ?? { status: 200 }
    return new Response(answer, { status, headers })
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
      app.get('/token', async ({ auth0 }) => auth0.getAccessToken())
    }
  })
  await browser.login('/login?returnTo=/me')
  return {
    app,
    provider,
    calls,
    answers,
    token: async () => (await browser.get('/token')).body,
    call: async (init?: ApiRequest, url: string | URL = API) => {
      next = { init, url }
      return (await browser.fetch('/call')).json()
    }
  }
}
