import t, { type Test } from 'tap'
import { FST_AUTH0_LOGIN_REFUSED, type Auth0Options, type LoginEvent, type User } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'

type OnLogin = NonNullable<Auth0Options['onLogin']>
const build = (t: Test, onLogin: OnLogin) => buildApp(t, { auth0: { onLogin } })

t.test('onLogin enriches a login', async t => {
  const ways: Array<[name: string, onLogin: OnLogin]> = [
    ['by changing the user', ({ user }) => { user.plan = 'gold' }],
    ['by returning another', ({ user }) => ({ ...user, plan: 'gold' })],
    ['later', async ({ user }) => ({ ...user, plan: 'gold' })]
  ]
  for (const [name, onLogin] of ways) {
    t.test(name, async t => {
      const { browser } = await build(t, onLogin)
      t.match((await browser.login()).json(), { sub: 'auth0|ada', name: 'Ada Lovelace', plan: 'gold' })
      t.match((await browser.get('/me')).json(), { user: { plan: 'gold' } })
    })
  }

  t.test('or leaves claims out', async t => {
    const { browser } = await build(t, ({ user: { iss, sub } }) => ({ iss, sub }))
    t.strictSame((await browser.login()).json(), { iss: 'https://tenant.example.com/', sub: 'auth0|ada' })
  })

  t.test('and sees tokens, appState and the request', async t => {
    const seen: Array<LoginEvent & { url: string }> = []
    const { browser, provider } = await build(t, (login, request) => { seen.push({ ...login, url: request.url }) })
    await browser.login()
    t.equal(seen.length, 1)
    const [{ tokens, appState, user, url }] = seen as [LoginEvent & { url: string }]
    t.match(tokens, { accessToken: /^access-token-/, idToken: /^ey/, refreshToken: null, scope: 'openid profile email', expiresIn: 86_400 })
    t.ok(provider.secrets.has(tokens.accessToken))
    t.equal(appState, undefined)
    t.match(url, /^\/callback\?/)
    t.notOk('nonce' in user || 'aud' in user, 'what protects the ID token is no claim of the person')
  })
})

const withStatus = (statusCode: number, code?: string) => Object.assign(new Error('Only for members'), { statusCode, ...code === undefined ? {} : { code } })
const refusals: Array<[name: string, error: Error, statusCode: number, code: string, text: string]> = [
  ['with FST_AUTH0_LOGIN_REFUSED', new FST_AUTH0_LOGIN_REFUSED('Ask <b>Grace</b> for an invitation'), 403, 'FST_AUTH0_LOGIN_REFUSED', 'Ask &lt;b&gt;Grace&lt;/b&gt; for an invitation'],
  ['with an error of its own', withStatus(403, 'NO_MEMBER'), 403, 'NO_MEMBER', 'Only for members'],
  ['with 400', withStatus(400), 400, 'FST_AUTH0_FAILED', 'Only for members'],
  ['with 402', withStatus(402), 402, 'FST_AUTH0_FAILED', 'Only for members'],
  ['with 429', withStatus(429), 429, 'FST_AUTH0_FAILED', 'Only for members'],
  ['with a 503 of its own database', withStatus(503), 503, 'FST_AUTH0_FAILED', 'Something went wrong'],
  ['by a bug', new TypeError('secret of the database'), 500, 'FST_AUTH0_FAILED', 'Something went wrong']
]
for (const [name, error, statusCode, code, text] of refusals) {
  t.test(`onLogin ends a login ${name}: ${statusCode}, no session, and the code is not used again`, async t => {
    const { browser, provider, logs } = await build(t, () => { throw error })
    const callback = await browser.leave('/login?returnTo=/me')
    const kept = browser.cookies.header(callback.url)
    const response = await browser.comeBack(callback)
    t.equal(response.statusCode, statusCode)
    t.match(response.body, code)
    t.match(response.body, text)
    if (statusCode >= 500) t.notMatch(response.body, error.message, 'what a bug says is for the log')
    t.ok(logs.lines.some(({ level, err }) => level === (statusCode < 500 ? 30 : 50) && err?.message === error.message))
    t.same(browser.cookieNames(), [])
    t.equal((await browser.comeBack(callback, { headers: { cookie: kept } })).statusCode, 400)
    t.equal(provider.callsTo('token').length, 1)
  })
}

t.test('onLogin may throw what is no error', async t => {
  const { browser } = await build(t, () => { throw null }) // eslint-disable-line no-throw-literal -- JavaScript can
  t.match(await browser.navigate('/login'), { statusCode: 500, body: /FST_AUTH0_FAILED/ })
})

t.test('a refused login leaves the session that was there before', async t => {
  const { browser } = await build(t, ({ user }) => { if (user.name === 'Grace') throw new FST_AUTH0_LOGIN_REFUSED('No') })
  await browser.login()
  t.equal((await browser.navigate('/login', { authorize: { user: { sub: 'auth0|grace', name: 'Grace' } } })).statusCode, 403)
  t.equal((await browser.get('/')).body, 'Hello Ada Lovelace')
})

const cyclic = (user: User) => Object.assign(user, { self: user })
const mistakes: Array<[name: string, onLogin: OnLogin, statusCode: number, code: string]> = [
  ['another sub', ({ user }) => { user.sub = 'auth0|root' }, 500, 'FST_AUTH0_USER_INVALID'],
  ['another iss', ({ user }) => ({ ...user, iss: 'https://evil.example/' }), 500, 'FST_AUTH0_USER_INVALID'],
  ['no user', () => ({}) as User, 500, 'FST_AUTH0_USER_INVALID'],
  ['text', () => 'gold' as unknown as User, 500, 'FST_AUTH0_USER_INVALID'],
  ['what is no JSON', ({ user }) => cyclic(user), 500, 'FST_AUTH0_SESSION_DATA_INVALID'],
  ['more than the cookies hold', ({ user }) => ({ ...user, blob: 'x'.repeat(20_000) }), 507, 'FST_AUTH0_SESSION_TOO_LARGE']
]
for (const [name, onLogin, statusCode, code] of mistakes) {
  t.test(`onLogin must not return ${name}`, async t => {
    const { browser } = await build(t, onLogin)
    const response = await browser.comeBack(await browser.leave())
    t.equal(response.statusCode, statusCode)
    t.match(response.body, code)
    t.same(browser.cookieNames(), [])
  })
}

t.test('a user that names the largest claim when it does not fit', async t => {
  const { browser, logs } = await build(t, ({ user }) => ({ ...user, blob: 'x'.repeat(20_000) }))
  await browser.comeBack(await browser.leave())
  t.match(logs.lines.find(({ err }) => err?.code === 'FST_AUTH0_SESSION_TOO_LARGE')?.err?.message, 'blob (20002)')
})
