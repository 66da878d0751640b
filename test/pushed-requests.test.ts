import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp, type Built } from './helpers/app.ts'
import type { FaultName } from './helpers/provider-faults.ts'

// OAuth 2.0 Pushed Authorization Requests (RFC 9126).

const pushing: Array<[name: string, auth0: Auth0Options, metadata: Record<string, unknown>]> = [
  ['A9 when the option says so', { pushedAuthorizationRequests: true }, {}],
  ['A10 by itself when the provider demands it', {}, { require_pushed_authorization_requests: true }]
]
for (const [name, auth0, metadata] of pushing) {
  t.test(`${name}: authenticated, and the browser carries a reference only (RFC 9126 §2.1, §4, §5)`, async t => {
    const { browser, provider } = await buildApp(t, { auth0, provider: { metadata } })
    const { location } = await browser.get('/login?login_hint=ada@example.com')
    t.same([...location!.searchParams.keys()].sort(), ['client_id', 'request_uri'])
    const [call, ...more] = provider.callsTo('par')
    t.equal(more.length, 0)
    t.match(Object.fromEntries(call!.params), {
      client_id: provider.clientId, client_secret: provider.clientSecret, login_hint: 'ada@example.com', state: String, nonce: String, code_challenge_method: 'S256'
    })
    t.equal((await browser.comeBack(provider.authorize(location!))).statusCode, 303)
    const again = await browser.get('/login')
    t.not(again.location!.searchParams.get('request_uri'), location!.searchParams.get('request_uri'), 'none is used twice (RFC 9126 §7.3)')
  })
}

t.test('A10 a provider that demands them and has no endpoint for them gets no plain request (RFC 9126 §5)', async t => {
  const { browser } = await buildApp(t, { provider: { metadata: { require_pushed_authorization_requests: true, pushed_authorization_request_endpoint: undefined } } })
  await refusesToStart(t, browser, 502, 'FST_AUTH0_PROVIDER_FAILED')
})

const failures: Array<[fault: FaultName, statusCode: number, code: string]> = [
  ['500', 503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'],
  ['429', 503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'],
  ['hang', 503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'],
  ['connection reset', 503, 'FST_AUTH0_PROVIDER_UNAVAILABLE'],
  ['invalid_client', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['redirect', 502, 'FST_AUTH0_PROVIDER_FAILED'],
  ['html', 502, 'FST_AUTH0_PROVIDER_FAILED']
]
for (const [fault, statusCode, code] of failures) {
  t.test(`A11 ${fault} at their endpoint is ${statusCode}, and nothing goes by the browser instead (RFC 9126 §1)`, async t => {
    const { browser, provider } = await buildApp(t, { auth0: { pushedAuthorizationRequests: true, httpTimeout: fault.startsWith('hang') ? 150 : 5000 } })
    provider.fail('par', fault)
    await refusesToStart(t, browser, statusCode, code)
  })
}

async function refusesToStart (t: Test, browser: Built['browser'], statusCode: number, code: string): Promise<void> {
  const response = await browser.fetch('/login')
  t.match(response, { statusCode, location: null, setCookies: [] })
  t.equal(response.json().code, code)
}
