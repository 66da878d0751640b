import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options, type EventMessages } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'

const NAMES: Array<keyof EventMessages> = ['login', 'refresh', 'logout', 'backchannel-logout', 'refusal']
const API = 'https://api.example.com'
const ada = { instance: 'auth0', iss: 'https://tenant.example.com/', sub: 'auth0|ada' }

t.test('login, refresh and logout are published, with a line in the log each, and nothing that is secret (D15)', async t => {
  const { browser, provider, seen, clock, logs } = await build(t)
  await browser.login('/login?returnTo=/me')
  clock.advance(100_000)
  await browser.get('/token')
  await browser.get('/token')
  provider.failNext('token', '503')
  clock.advance(100_000)
  await browser.fetch('/token')
  await browser.post('/logout')
  t.match(seen, [
    ['login', { ...ada, requestId: 'req-2' }],
    ['refresh', { ...ada, audience: API, scope: 'offline_access openid', code: null, requestId: /^req-/, milliseconds: Number }],
    ['refresh', { ...ada, audience: API, code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' }],
    ['logout', { ...ada, requestId: /^req-/ }]
  ])
  t.equal(seen.length, 4)
  t.same(logs.lines.filter(({ msg = '' }) => /^logged|renewed$/.test(msg)).map(({ msg, level, sub }) => [msg, level, sub]),
    [['logged in', 30, ada.sub], ['access token renewed', 20, ada.sub], ['logged out', 30, ada.sub]])
  for (const secret of provider.secrets) t.notOk(JSON.stringify(seen).includes(secret))
})

t.test('back-channel logout is published', async t => {
  const { browser, provider, seen, app } = await build(t, { session: { store: new MemoryStore() } })
  await browser.login('/login?returnTo=/me')
  await app.auth0.handleBackchannelLogout(provider.logoutToken())
  t.same(seen.at(-1), ['backchannel-logout', { instance: 'auth0', sessions: 1 }])
})

t.test('refusals are published: of guards, of callbacks, and where a browser is sent to log in', async t => {
  const { browser, seen } = await build(t)
  await browser.fetch('/profile')
  await browser.get('/profile')
  await browser.navigate('/callback?state=x&code=y')
  t.match(seen.map(([name, message]) => [name, (message as EventMessages['refusal']).code, (message as EventMessages['refusal']).statusCode]), [
    ['refusal', 'FST_AUTH0_LOGIN_REQUIRED', 401],
    ['refusal', 'FST_AUTH0_LOGIN_REQUIRED', 401],
    ['refusal', 'FST_AUTH0_LOGIN_EXPIRED', 400]
  ])
})

t.test('onRefresh enriches the user; what it throws costs nobody the token', async t => {
  const calls: unknown[] = []
  let outcome: () => unknown = () => {}
  const { browser, clock, logs } = await build(t, {
    onLogin: ({ user }) => { user.plan = 'free' },
    onRefresh: ({ user, audience, tokens }, request) => {
      calls.push([user.plan, audience, typeof tokens.accessToken, request.url])
      user.plan = 'pro'
      return outcome() as undefined
    }
  })
  await browser.login('/login?returnTo=/me')
  const refresh = async () => {
    clock.advance(100_000)
    await browser.get('/token')
    return (await browser.get('/me')).json().user.plan
  }
  t.equal(await refresh(), 'pro')
  t.same(calls, [['free', API, 'string', '/token']])
  for (const [wrong, message] of [[() => { throw new Error('no account') }, 'no account'], [() => ({ sub: 'mallory' }), 'A hook must return a user']] as const) {
    outcome = wrong
    t.equal(await refresh(), 'pro')
    t.match(logs.lines.find(({ msg, err }) => msg === 'onRefresh failed' && err?.message.startsWith(message)), { level: 50 })
  }
  outcome = () => ({ ...ada, plan: 'gold' })
  t.equal(await refresh(), 'gold')
})

/** An application whose events are written down. */
async function build (t: Test, auth0: Auth0Options = {}) {
  const clock = travelInTime(t)
  const seen: Array<[name: string, message: unknown]> = []
  for (const name of NAMES) {
    const see = (message: unknown) => { seen.push([name, message]) }
    subscribe(`fastify-auth0:${name}`, see)
    t.teardown(() => unsubscribe(`fastify-auth0:${name}`, see))
  }
  const built = await buildApp(t, {
    auth0: { session: { idleTimeout: 1e7, absoluteTimeout: 1e7, ...auth0.session }, authorizationParams: { scope: 'openid offline_access', audience: API }, ...auth0 },
    routes: app => app.get('/token', async ({ auth0 }) => auth0.getTokenSet())
  })
  return { ...built, seen, clock }
}
