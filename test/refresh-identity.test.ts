import t, { type Test } from 'tap'
import { signDraft, type Json } from './helpers/id-tokens.ts'
import type { Forgery } from './helpers/id-token-forgeries.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { API, buildTokenSite, LIFETIME, SCOPE, sessionKinds } from './helpers/token-site.ts'

const REFUSED = { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_REFUSED' }
const now = () => Math.floor(Date.now() / 1000)
const changed = (claims: () => Json): Forgery => draft => signDraft({ ...draft, claims: { ...draft.claims, ...claims() } })

/** Of another login: the session ends. */
const strangers: Record<string, [forgery: Forgery, reason: RegExp]> = {
  'another sub': [{ claims: { sub: 'auth0|mallory' } }, /is of another person/],
  'another iss': ['iss of another', /of another issuer, or for another client/],
  'iss in capitals': ['iss in capitals', /of another issuer, or for another client/],
  'another aud': ['aud of another', /of another issuer, or for another client/],
  'an aud without us': ['aud array without us', /of another issuer, or for another client/],
  'an iat before that of the login': [changed(() => ({ iat: now() - LIFETIME - 120, exp: now() + 60 })), /is older than the one before/],
  'another auth_time': [changed(() => ({ auth_time: now() - LIFETIME - 600 })), /tells of another login/]
}

/** Not to be believed, so that they say nothing about the login: the session goes on, without what came with them. */
const noise: Record<string, Forgery> = {
  'a wrong signature': 'a signature of another token',
  'no signature': 'alg none',
  'an unknown key': 'kid unknown',
  'the key of an attacker': 'jwk of the attacker',
  'an access token for one': 'typ at+jwt',
  'at_hash of another access token': 'at_hash of another token',
  'no sub': 'sub missing',
  'no exp': 'exp missing',
  'an exp that is past': changed(() => ({ exp: now() - 60 })),
  'an iat to come': 'iat to come',
  'members that stand there twice': 'sub twice'
}

t.test('ID tokens that come with a refresh', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options } of sessionKinds(redis)) {
    const build = async (t: Test, auth0 = {}) => {
      await redis.command('FLUSHALL')
      return buildTokenSite(t, { auth0: { authorizationParams: { scope: SCOPE, audience: API, max_age: 86_400 }, ...options(), ...auth0 } })
    }

    t.test(name, async t => {
      for (const [stranger, [forgery, reason]] of Object.entries(strangers)) {
        t.test(`C21 ${stranger} ends the session (OpenID Connect Core 1.0 §12.2)`, async t => {
          const { ask, provider, clock, cookie, send, isLoggedIn, logs } = await build(t)
          const copy = cookie()
          clock.advance(LIFETIME - 30) // the token that is there is still good
          provider.forge('idToken', forgery)
          t.match((await ask()).json(), REFUSED)
          t.match(logs.text, reason)
          t.notOk(await isLoggedIn())
          t.notOk((await send('/me', copy)).json().isAuthenticated)
          provider.heal()
          t.match((await send('/token', copy)).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' })
        })
      }

      t.test('C21 one that does not verify brings no token, and ends nothing', async t => {
        const { ask, provider, clock, isLoggedIn, browser, logs } = await build(t)
        for (const [what, forgery] of Object.entries(noise)) {
          const first = (await ask({ forceRefresh: true })).json().accessToken
          provider.forge('idToken', forgery)
          clock.advance(LIFETIME - 30)
          t.equal((await ask()).json().accessToken, first, what)
          clock.advance(60)
          t.match((await ask()).json(), { statusCode: 503, code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' }, what)
          t.ok(await isLoggedIn(), what)
          t.match((await browser.get('/me')).json().user, { sub: 'auth0|ada' })
          provider.heal()
          clock.advance(2)
          const { accessToken } = (await ask()).json()
          t.not(accessToken, first)
          t.match(provider.tokenInfo(accessToken), { sub: 'auth0|ada' })
        }
        t.equal(provider.reuses, 0, 'the next refresh token is kept')
        t.same([...provider.secrets].filter(secret => logs.text.includes(secret)), [], 'D15')
      })

      t.test('C21 the right one renews the claims, but for what onLogin said better and what it does not name', async t => {
        const { provider, clock, ask, browser } = await build(t, {
          onLogin: ({ user: { email: _email, ...user } }: { user: Json }) => ({ ...user, nickname: 'countess', roles: ['admin'] })
        })
        provider.forgeNext('idToken', { claims: { amr: ['pwd', 'mfa'], acr: 'urn:example:high' } })
        const idTokens: string[] = []
        await browser.login('/login?returnTo=/me')
        provider.forge('idToken', draft => {
          idTokens.push(signDraft(draft))
          return idTokens.at(-1) as string
        })
        Object.assign(provider.user, { name: 'Ada King', nickname: 'ada2', email: 'king@example.com', roles: ['user'], 'https://example.com/plan': 'gold' })
        t.match((await browser.get('/me')).json().user, { name: 'Ada Lovelace' }, 'not yet')
        clock.advance(LIFETIME)
        t.equal((await ask()).statusCode, 200)
        const { user, session } = (await browser.get('/me')).json()
        t.match(user, { sub: 'auth0|ada', name: 'Ada King', nickname: 'countess', roles: ['admin'], 'https://example.com/plan': 'gold', amr: ['pwd', 'mfa'], acr: 'urn:example:high' })
        t.notOk('email' in user)
        t.notOk('aud' in user || 'iat' in user || 'at_hash' in user || 'nonce' in user)
        t.ok(session.createdAt < clock.now() - LIFETIME + 60, 'it is the same session')
        provider.user.name = 'Ada Byron'
        clock.advance(LIFETIME)
        await ask()
        t.match((await browser.get('/me')).json().user, { name: 'Ada Byron', nickname: 'countess', roles: ['admin'] })
        await browser.submit('/logout')
        t.equal(idTokens.length, 2)
        t.equal(provider.logouts.at(-1)!.get('id_token_hint'), idTokens.at(-1), 'I3 the newest one is the hint')
      })

      t.test('C21 later ones are compared with the newest; one that is not there changes nothing', async t => {
        const { provider, clock, ask, browser, isLoggedIn } = await build(t)
        provider.idTokenOnRefresh = false
        provider.user.name = 'Ada King'
        clock.advance(LIFETIME)
        t.equal((await ask()).statusCode, 200)
        t.match((await browser.get('/me')).json().user, { name: 'Ada Lovelace' })
        provider.idTokenOnRefresh = true
        provider.rotateKeys({ keepOld: false }) // F7 just before it signs
        const issuedAt = clock.now()
        clock.advance(300)
        provider.forgeNext('idToken', { claims: { auth_time: undefined } }, changed(() => ({ iat: issuedAt })))
        t.equal((await ask({ forceRefresh: true })).statusCode, 200, 'auth_time may be left out')
        t.match((await browser.get('/me')).json().user, { name: 'Ada King' })
        t.match((await ask({ forceRefresh: true })).json(), REFUSED, 'older than the one before, though not than the login')
        t.notOk(await isLoggedIn())
      })
    })
  }
})

t.test('C21 auth_time that the login did not tell may come with a refresh', async t => {
  const { provider, ask } = await buildTokenSite(t)
  provider.forgeNext('idToken', changed(() => ({ auth_time: now() - 100 })))
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
})

t.test('an ID token too long for a URL is no hint at the logout', async t => {
  const { provider, ask, browser } = await buildTokenSite(t, { auth0: { onLogin: ({ user }) => ({ ...user, long: 'x' }) } })
  provider.forge('idToken', { claims: { long: 'x'.repeat(4000) } })
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
  await browser.submit('/logout')
  t.equal(provider.logouts.at(-1)!.get('id_token_hint'), null)
})

t.test('C21 an iat that is older by no more than the clock tolerance is of a provider with several clocks', async t => {
  const { provider, ask, isLoggedIn, clock } = await buildTokenSite(t, { isFrozen: true, auth0: { clockTolerance: 10 } })
  for (const seconds of [2, 10]) {
    provider.forgeNext('idToken', changed(() => ({ iat: now() - seconds })))
    t.equal((await ask({ forceRefresh: true })).statusCode, 200, `${seconds} seconds`)
  }
  clock.advance(1)
  provider.forgeNext('idToken', changed(() => ({ iat: now() - 12 })))
  t.match((await ask({ forceRefresh: true })).json(), REFUSED, 'than the newest that was seen')
  t.notOk(await isLoggedIn())
})

t.test('the refresh token beside an ID token that is not to be believed, and names somebody else, is not kept', async t => {
  const { provider, ask, clock, isLoggedIn } = await buildTokenSite(t)
  provider.reuseLeeway = Infinity
  const before = () => provider.refreshes.at(-1)!.params.get('refresh_token')
  provider.forgeNext('idToken', draft => signDraft({ ...draft, claims: { ...draft.claims, sub: 'auth0|mallory', exp: 1 } }))
  t.equal((await ask({ forceRefresh: true })).statusCode, 503)
  const used = before()
  clock.advance(2)
  t.ok(await isLoggedIn())
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
  t.equal(before(), used)
})
