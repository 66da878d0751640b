import t, { type Test } from 'tap'
import { buildApp, type Built } from './helpers/app.ts'
import type { AuthorizeOptions, Callback } from './helpers/provider.ts'

// What no provider sends: refused before anything is asked of anybody.

const ISSUER = 'https://tenant.example.com/'
const LOGIN = '__Host-auth0.login.'

type Changes = NonNullable<AuthorizeOptions['callback']>

const invalid: Array<[name: string, changes: Changes]> = [
  ['B3 no state (RFC 6749 §10.12)', { state: undefined }],
  ['B3 an empty state', { state: '' }],
  ['B3 two states', { state: ['a', 'b'] }],
  ['B10 both a code and an error', { code: 'c', error: 'access_denied' }],
  ['B10 neither a code nor an error', { code: undefined }],
  ['B10 an empty code', { code: '' }],
  ['B10 two codes (RFC 6749 §3.1)', { code: ['a', 'b'] }],
  ['B10 two codes, one of them empty', { code: ['a', ''] }],
  ['B10 a code of 10 KB', { code: 'c'.repeat(10_000) }],
  ['B10 a state of 10 KB', { state: 's'.repeat(10_000) }],
  ['B10 two issuers', { iss: [ISSUER, ISSUER] }],
  ['an access token, as in the implicit grant', { access_token: 'x' }],
  ['an ID token, as in the hybrid grant', { id_token: 'x' }],
  ['a JWT, as in JARM', { response: 'x' }]
]

for (const mode of ['query', 'form_post'] as const) {
  const build = (t: Test) => buildApp(t, { auth0: { authorizationParams: { response_mode: mode } } })

  for (const [name, callback] of invalid) {
    t.test(`${name} is refused, by ${mode}`, async t => {
      const built = await build(t)
      await isRefused(t, built, await built.browser.leave('/login', { authorize: { callback } }))
      t.equal(built.browser.cookieNames(LOGIN).length, 1, 'and ends no login: whoever made it up may not know one')
    })
  }

  t.test(`B10 the other way of answering than by ${mode} is refused`, async t => {
    const built = await build(t)
    const callback = await built.browser.leave()
    await isRefused(t, built, otherWay(callback))
    t.equal((await built.browser.comeBack(callback)).statusCode, 303)
  })
}

const bodies: Array<[name: string, type: string, body: string]> = [
  ['JSON', 'application/json', '{"code":"c","state":"s"}'],
  ['JSON of odd objects', 'application/json', '{"code":{"toString":1,"valueOf":1},"state":{"__proto__":1}}'],
  ['broken JSON', 'application/json', '{'],
  ['deep JSON', 'application/json', '['.repeat(30_000)],
  ['text', 'text/plain', 'code=c&state=s'],
  ['multipart', 'multipart/form-data; boundary=x', '--x\r\nContent-Disposition: form-data; name="code"\r\n\r\nc\r\n--x--'],
  ['an unknown type', 'a/b', 'x'],
  ['no type that is one', ';;;', 'x'],
  ['an empty form', 'application/x-www-form-urlencoded', ''],
  ['a form of odd names', 'application/x-www-form-urlencoded', '__proto__=x&constructor=y&code[]=z&&&=&%E0%A4%A=1']
]
for (const [name, type, body] of bodies) {
  t.test(`a body of ${name} is no answer of a provider, and no 500 (promise 6)`, async t => {
    const { app, provider } = await buildApp(t, { auth0: { authorizationParams: { response_mode: 'form_post' } } })
    const response = await app.inject({ method: 'POST', url: '/callback', headers: { 'content-type': type }, payload: body })
    t.ok(response.statusCode >= 400 && response.statusCode < 500, String(response.statusCode))
    t.equal(provider.callsTo('token').length, 0)
  })
}

t.test('the right answer as JSON is none, and as a form it is one, whatever parsers the application has', async t => {
  const { browser, provider } = await buildApp(t, {
    auth0: { authorizationParams: { response_mode: 'form_post' } },
    before: app => app.addContentTypeParser(['application/x-www-form-urlencoded', '*'], async () => ({ code: 'of the application' }))
  })
  const callback = await browser.leave()
  const json = Object.fromEntries(callback.parameters)
  t.equal((await browser.fetch('/callback', { method: 'POST', json })).json().code, 'FST_AUTH0_CALLBACK_INVALID')
  t.equal(provider.callsTo('token').length, 0)
  t.equal((await browser.comeBack(callback)).statusCode, 303)
})

t.test('a body of 100 KB is too large', async t => {
  const { browser } = await buildApp(t, { auth0: { authorizationParams: { response_mode: 'form_post' } } })
  t.equal((await browser.post('/callback', { code: 'x'.repeat(100_000) })).statusCode, 413)
})

/** The same parameters by POST instead of GET, or the other way round; in the address, and in the body where there is one. */
function otherWay ({ method, url, parameters, request }: Callback): Callback {
  return { method: method === 'GET' ? 'POST' : 'GET', url: new URL(`?${parameters}`, url), parameters, request }
}

/** 400 for a browser and for a script, no token request, no session. */
async function isRefused (t: Test, { browser, provider }: Built, callback: Callback): Promise<void> {
  const page = await browser.comeBack(callback)
  t.equal(page.statusCode, 400)
  t.match(page.body, 'FST_AUTH0_CALLBACK_INVALID')
  t.match(page.body, /href="\/(login)?"/, 'with a way on')
  const response = await browser.comeBack(callback, { headers: { 'sec-fetch-mode': 'cors', accept: '*/*' } })
  t.equal(response.statusCode, 400)
  t.equal(response.json().code, 'FST_AUTH0_CALLBACK_INVALID')
  t.equal(provider.callsTo('token').length, 0)
  t.equal((await browser.get('/')).body, 'Hello stranger')
}
