import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { MemoryStore, type AccessTokenOptions, type Auth0Options } from '../lib/index.ts'
import { buildApp, type BuildOptions } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { signDraft } from './helpers/id-tokens.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { connected } from './helpers/stores.ts'

const SCOPE = 'openid profile email offline_access'
const API = 'https://api.example.com'
const OTHER = 'https://other.example.com'

t.test('tokens that do not fit the cookie are told with a remedy, and serve while they can', async t => {
  const { token, provider, clock, logs } = await build(t, { auth0: { session: { cookie: { maxSize: 4000 } } } })
  const { accessToken } = await token()
  clock.advance(3600)
  provider.failNext('token', { json: { refresh_token: Buffer.alloc(4000, 7).toString('base64url') } })
  t.not((await token()).accessToken, accessToken)
  t.match(logs.lines.filter(({ level }) => level === 50), [{ err: { code: 'FST_AUTH0_SESSION_TOO_LARGE', message: /the refresh token \(\d+\).*session\.redis/ } }])
})

t.test('access tokens', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const kinds: Record<string, () => Auth0Options> = {
    'encrypted cookies': () => ({}),
    'encrypted cookies, with revocations in Redis': () => ({ revocations: { redis: redis.url } }),
    'a MemoryStore': () => ({ session: { store: new MemoryStore() } }),
    Redis: () => ({ session: { redis: redis.url } })
  }
  for (const [name, auth0] of Object.entries(kinds)) {
    t.test(name, async t => {
      t.test('the one that came with the login, while it is good', async t => {
        const { token, provider, app, last } = await build(t, { auth0: auth0() })
        const first = await token()
        t.match(provider.tokenInfo(first.accessToken), { sub: 'auth0|ada', audience: API })
        t.match(first, { tokenType: 'Bearer', audience: API, scope: SCOPE })
        t.ok(Math.abs(first.expiresAt - Date.now() / 1000 - 3600) < 10)
        t.same(await token(), first)
        t.equal(await app.auth0.getAccessToken(last()), first.accessToken)
        t.same(await app.auth0.getTokenSet(last()), first)
        t.equal(provider.refreshes.length, 0)
      })

      t.test('D12, D13 a new one when it is over, and the next refresh with the newest refresh token', async t => {
        const { token, provider, clock } = await build(t, { auth0: auth0() })
        const seen = [await token()]
        for (let time = 0; time < 3; time++) {
          clock.advance(3600)
          seen.push(await token())
          t.same(await token(), seen.at(-1), 'which is kept')
          t.equal(provider.refreshes.length, time + 1)
        }
        t.equal(new Set(seen.map(({ accessToken }) => accessToken)).size, 4)
        t.equal(new Set(provider.refreshes.map(({ params }) => params.get('refresh_token'))).size, 3)
        t.equal(provider.reuses, 0)
        t.notOk(provider.refreshes[0]!.params.has('scope'), 'what is not named is as at the login (RFC 6749 §6)')
        provider.rotation = false
        for (let time = 0; time < 2; time++) {
          clock.advance(3600)
          await token()
        }
        const [one, other] = provider.refreshes.slice(-2).map(({ params }) => params.get('refresh_token'))
        t.equal(one, other, 'D12 without rotation the old one stays')
      })

      t.test('D14 fifty requests at once make one refresh, and one of them sets the cookie', async t => {
        const { token, provider, clock, requestAtOnce } = await build(t, { auth0: auth0() })
        await token()
        clock.advance(3600)
        const answers = await requestAtOnce(50)
        t.same(answers.map(({ statusCode }) => statusCode), Array.from({ length: 50 }, () => 200))
        t.equal(new Set(answers.map(answer => answer.json().accessToken)).size, 1)
        t.equal(provider.refreshes.length, 1)
        const isInCookie = auth0().session === undefined
        t.equal(answers.filter(({ headers }) => headers['set-cookie'] !== undefined).length, isInCookie ? 1 : 0)
      })

      t.test('each API and scope has its own, from one refresh token', async t => {
        const { token, provider } = await build(t, { auth0: auth0() })
        const first = await token()
        const other = await token({ audience: OTHER, scope: 'write:b read:a' })
        t.match(provider.tokenInfo(other.accessToken), { audience: OTHER })
        t.match(other, { audience: OTHER, scope: 'read:a write:b' })
        t.same(await token({ audience: OTHER, scope: 'read:a  write:b' }), other, 'the order of the words is nothing')
        const narrow = await token({ scope: 'openid' })
        t.not(narrow.accessToken, first.accessToken)
        t.equal(narrow.audience, API)
        t.same([await token(), await token({ audience: API, scope: SCOPE }), await token({ scope: 'openid' })], [first, first, narrow])
        t.same(provider.refreshes.map(({ params }) => [params.get('audience'), params.get('scope')]), [[OTHER, 'read:a write:b'], [null, 'openid']])
        await token({ organization: 'org_1' })
        t.equal(provider.refreshes.at(-1)!.params.get('organization'), 'org_1')
      })

      t.test('a token that says that it is for another API than was asked for is not given', async t => {
        const { token, provider } = await build(t, { auth0: auth0() })
        provider.idTokenOnRefresh = false
        const says = (aud: unknown) => signDraft({ header: { alg: 'RS256' }, claims: { aud }, key: provider.key, clientSecret: '' })
        for (const [aud, isRight] of [[API, false], [[API, 'https://tenant.example.com/userinfo'], false], [OTHER, true], [[API, OTHER], true], [undefined, true]] as const) {
          provider.failNext('token', { json: { access_token: says(aud) } })
          const answer = await token({ audience: OTHER, forceRefresh: true })
          t.match(answer, isRight ? { audience: OTHER } : { statusCode: 403, code: 'FST_AUTH0_ACCESS_TOKEN_DENIED' })
          if (!isRight) t.match(await token({ audience: OTHER }), answer, 'nor the next time')
        }
        t.equal(provider.refreshes.length, 5, 'once for each')
        t.equal(provider.reuses, 0)
        provider.failNext('token', { json: { access_token: says('urn:known-here-as') } })
        t.match(await token({ forceRefresh: true }), { audience: API }, 'the API of the login may have two names')
      })

      t.test('D7 the scope that was granted is what is told', async t => {
        const { token, provider } = await build(t, { auth0: auth0() })
        provider.grantScope = () => 'read:a'
        t.equal((await token({ audience: OTHER, scope: 'read:a write:b' })).scope, 'read:a')
        t.equal((await token({ audience: OTHER, scope: 'read:a write:b' })).scope, 'read:a')
        t.equal(provider.refreshes.length, 1, 'it is kept by what was asked for')
      })

      t.test('minimumLifetime and forceRefresh', async t => {
        const { token, provider, clock } = await build(t, { auth0: auth0() })
        const first = await token()
        clock.advance(3000)
        t.same(await token({ minimumLifetime: 100 }), first)
        const second = await token({ minimumLifetime: 1000 })
        t.not(second.accessToken, first.accessToken)
        t.not((await token({ forceRefresh: true })).accessToken, second.accessToken)
        t.equal(provider.refreshes.length, 2)
      })

      t.test('tokens that live shorter than is asked for are renewed when half of their life is over', async t => {
        const { token, provider, clock } = await build(t, { auth0: auth0() }, 30)
        const first = await token()
        clock.advance(10)
        t.same(await token(), first)
        clock.advance(10)
        t.not((await token()).accessToken, first.accessToken)
        t.equal(provider.refreshes.length, 1)
      })

      t.test('D6 of a token whose lifetime is not told it is assumed that it is short; without a refresh token it goes on', async t => {
        const { token, clock } = await build(t, { auth0: auth0() }, null)
        const first = await token()
        t.equal(first.expiresAt, null)
        clock.advance(400)
        t.not((await token()).accessToken, first.accessToken)
        const { token: lone, clock: later } = await build(t, { auth0: { ...auth0(), authorizationParams: { scope: 'openid' } } }, null)
        const only = await lone()
        later.advance(4000)
        t.same(await lone(), only)
      })

      t.test('no refresh token: the error says what is missing', async t => {
        for (const [scope, advice] of [['openid', /add "offline_access" to "authorizationParams.scope"/], [SCOPE, /did not grant "offline_access": allow it/]] as const) {
          const { token, clock } = await build(t, { auth0: { ...auth0(), authorizationParams: { scope } } }, 3600, { grantsOffline: false })
          const first = await token()
          clock.advance(3590)
          t.same(await token(), first, 'it is used to its last second')
          clock.advance(20)
          t.match(await token(), { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_MISSING', message: advice })
          t.match(await token({ audience: OTHER }), { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_MISSING', message: /^Log in again: a new access token is needed, and/ })
        }
      })

      t.test('nobody logged in, or another site', async t => {
        const { app, browser } = await build(t, { auth0: auth0() })
        t.match((await app.inject('/token')).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' })
        const copy = { cookie: browser.cookies.header(new URL('https://app.example.com')), 'sec-fetch-site': 'cross-site', 'x-forwarded-proto': 'https' }
        t.match((await app.inject({ method: 'POST', url: '/token', headers: copy })).json(), { statusCode: 403, code: 'FST_AUTH0_CROSS_SITE_REQUEST' })
      })
    })
  }
})

const wrongOptions: Array<[options: unknown, message: RegExp]> = [
  ...[{ minimumLifetime: -1 }, { minimumLifetime: '1' }, { audience: '' }, { audience: ' ' }, { scope: 1 }, { organization: null }, { forceRefresh: 'yes' }]
    .map(options => [options, new RegExp(`option "${Object.keys(options)[0]}" must be`)] as [object, RegExp]),
  [{ audiance: OTHER }, /option "audiance" is unknown. Did you mean "audience"\?/],
  [{ scopes: 'read:a' }, /option "scopes" is unknown. Did you mean "scope"\?/],
  [{ somethingElse: undefined }, /"somethingElse" is unknown. Known are audience, scope, organization, minimumLifetime, forceRefresh$/],
  [{ constructor: 'x' }, /option "constructor" is unknown/],
  ...[OTHER, 5, null, ['x'], [], new URL(OTHER)].map(options => [options, /takes a plain object with options: audience, scope/] as [unknown, RegExp])
]

t.test('options that would do nothing, and so give another token than was meant, are refused, and the message names the method', async t => {
  let options: unknown
  const { browser, provider } = await build(t, {
    routes: app => {
      app.get('/set', async ({ auth0 }) => auth0.getTokenSet(options as AccessTokenOptions))
      app.get('/token-alone', async ({ auth0 }) => auth0.getAccessToken(options as AccessTokenOptions))
    }
  })
  for (const [wrong, message] of wrongOptions) {
    options = wrong
    for (const [url, method] of [['/set', 'getTokenSet'], ['/token-alone', 'getAccessToken']] as const) {
      const answer = (await browser.fetch(url)).json()
      t.match(answer, { statusCode: 500, code: 'FST_AUTH0_OPTIONS_INVALID', message })
      t.match(answer.message, `- ${method}: `)
    }
  }
  options = Object.assign(Object.create(null), { audience: undefined, forceRefresh: undefined })
  t.equal((await browser.fetch('/set')).statusCode, 200)
  t.equal(provider.refreshes.length, 0)
})

t.test('minimumLifetime is kept to by every token that lives that long; of one that does not, half of its life; and no token is renewed at each call', async t => {
  t.intercept(Math, 'random', { value: () => 0.999 }) // as early as a token may be renewed
  const { token, provider, clock } = await build(t, {}, 100, { isFrozen: true })
  for (const [minimumLifetime, keptAt, renewedAt] of [[undefined, 40, 41], [0, 90, 91], [50, 40, 41], [60, 30, 31], [90, 4, 5], [99, 0, 1], [100, 40, 41], [1000, 40, 41]] as const) {
    const { accessToken } = await token({ forceRefresh: true })
    const refreshes = provider.refreshes.length
    clock.advance(keptAt)
    t.equal((await token({ minimumLifetime })).accessToken, accessToken, `${minimumLifetime} s: kept`)
    clock.advance(renewedAt - keptAt)
    t.not((await token({ minimumLifetime })).accessToken, accessToken, `${minimumLifetime} s: renewed`)
    t.equal(provider.refreshes.length, refreshes + 1)
  }
})

const oddTokens: Array<[what: string, json: Record<string, string>, isRefused: boolean]> = [
  ['an access token with a line break (RFC 6749 §A.12)', { access_token: 'odd-token-0123456789\nmore' }, true],
  ['an access token with a letter beyond ASCII', { access_token: 'odd-token-0123456789\u0100' }, true],
  ['an access token with a space, which would end it in a header', { access_token: 'odd-token-0123456789 more' }, true],
  ['an access token with what RFC 6750 §2.1 does not know, and providers have', { access_token: 'odd-token-0123456789!|:~' }, false],
  ['a refresh token with a line break (RFC 6749 §A.17)', { refresh_token: 'odd-token-0123456789\n' }, true],
  ['a refresh token with a letter beyond ASCII', { refresh_token: 'odd-token-0123456789\u0100' }, true],
  ['a refresh token with a space', { refresh_token: 'odd-token-0123456789 more' }, false]
]
for (const [what, json, isRefused] of oddTokens) {
  t.test(`D15 ${what} is ${isRefused ? 'refused' : 'taken'}, and told to nobody`, async t => {
    const { token, provider, clock, logs } = await build(t, {})
    clock.advance(3600)
    provider.idTokenOnRefresh = false
    provider.failNext('token', { json })
    const answer = await token()
    t.match(answer, isRefused ? { statusCode: 503, code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' } : { tokenType: 'Bearer' })
    if (isRefused) t.match(logs.text, /token endpoint: \\"(access|refresh)_token\\" has characters/)
    if (isRefused) t.notMatch(JSON.stringify(answer), 'odd-token')
    t.notMatch(logs.text, 'odd-token')
  })
}

/** Somebody logged in, on an application that tells their tokens. */
async function build (t: Test, options: BuildOptions, lifetime: number | null = 3600, { isFrozen = false, ...more }: { grantsOffline?: boolean, isFrozen?: boolean } = {}) {
  const clock = travelInTime(t, { isFrozen })
  let last: Parameters<FastifyInstance['auth0']['getUser']>[0]
  const built = await buildApp(t, {
    ...options,
    auth0: { authorizationParams: { scope: SCOPE, audience: API }, ...options.auth0 },
    routes: app => {
      app.addHook('onRequest', async request => { last = request })
      app.route<{ Querystring: { options?: string } }>({
        method: ['GET', 'POST'],
        url: '/token',
        handler: async ({ auth0, query }) => auth0.getTokenSet(query.options === undefined ? undefined : JSON.parse(query.options))
      })
      if (options.routes !== false) options.routes?.(app)
    }
  })
  await connected(built.app)
  const { browser, provider } = built
  Object.assign(provider, { accessTokenLifetime: lifetime ?? undefined, ...more })
  await browser.login('/login?returnTo=/me')
  return {
    ...built,
    clock,
    last: () => last,
    token: async (wanted?: AccessTokenOptions) =>
      (await browser.fetch(`/token${wanted === undefined ? '' : `?options=${encodeURIComponent(JSON.stringify(wanted))}`}`)).json(),
    requestAtOnce: (count: number) => {
      const headers = { cookie: browser.cookies.header(new URL('https://app.example.com')), 'x-forwarded-proto': 'https' }
      return Promise.all(Array.from({ length: count }, () => built.app.inject({ url: '/token', headers })))
    }
  }
}
