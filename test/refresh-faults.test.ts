import t from 'tap'
import { buildTokenSite, LIFETIME, says, SCOPE, sessionKinds } from './helpers/token-site.ts'
import type { Fault } from './helpers/provider-faults.ts'
import type { Json } from './helpers/id-tokens.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'

const OUTAGE = { statusCode: 503, code: 'FST_AUTH0_PROVIDER_UNAVAILABLE', error: 'Service Unavailable' }
const SCOPE_IN_ORDER = SCOPE.split(' ').sort().join(' ')
const FRESH = 60 // seconds before its expiry a token is renewed

/** What goes wrong at the token endpoint, by the line that speaks of it. */
const faults: Record<string, Record<string, Fault>> = {
  D4: { 'no token type': 'no token type', 'token type mac': 'token type mac', 'token type DPoP, which was not asked for': { json: { token_type: 'DPoP' } } },
  D5: {
    'HTML with 200': 'html',
    'HTML that is called JSON': 'html called JSON',
    'broken JSON': 'invalid JSON',
    nothing: 'empty',
    'an array': 'array',
    null: 'null',
    'too much': 'oversized',
    'no access token': 'no access token',
    'a numeric access token': 'numeric access token',
    'a numeric refresh token': { json: { refresh_token: 7 } },
    'a numeric ID token': 'numeric id token',
    'a list as scope': { json: { scope: ['openid'] } }
  },
  D6: {
    'expires_in 0': { json: { expires_in: 0 } },
    'expires_in negative': { json: { expires_in: -1 } },
    'expires_in that is no number': { json: { expires_in: 'soon' } },
    'expires_in beyond all times': { json: { expires_in: 1e12 } }
  },
  D8: { 'a redirect': 'redirect' },
  D9: { 'no answer': 'hang', 'half an answer': 'hang after the headers' },
  D11: {
    'connection reset': 'connection reset',
    'a reset amid the answer': 'reset while reading',
    'too many requests': '429',
    500: '500',
    502: '502',
    503: '503',
    'invalid_grant of a server that is overloaded': says('invalid_grant', 503),
    'invalid_grant beyond the limit': says('invalid_grant', 429),
    temporarily_unavailable: 'temporarily_unavailable'
  },
  D1: { invalid_client: 'invalid_client', 'invalid_client, with a challenge': 'invalid_client with a challenge', unauthorized_client: 'unauthorized_client', invalid_request: 'invalid_request' }
}

/** The next refresh token is lost, or is none, so that only a provider that forgives the use of a spent one goes on with the login. */
const LOST = new Set(['too much', 'a numeric refresh token'])

t.test('faults of the token endpoint at a refresh', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options } of sessionKinds(redis)) {
    t.test(name, async t => {
      await redis.command('FLUSHALL')
      const { ask, isLoggedIn, clock, provider, logs } = await buildTokenSite(t, { auth0: { ...options(), httpTimeout: 300 } })
      for (const [id, group] of Object.entries(faults)) {
        for (const [fault, answer] of Object.entries(group)) {
          t.test(`${id} promise 4: ${fault}: the token that is there while it is valid, then 503; the session goes on`, async t => {
            const first = (await ask({ forceRefresh: true })).json().accessToken
            t.type(first, 'string')
            provider.fail('token', answer)
            provider.reuseLeeway = LOST.has(fault) ? Infinity : 0
            clock.advance(LIFETIME - FRESH / 2)
            t.same((await ask()).json().accessToken, first)
            clock.advance(FRESH)
            const { statusCode, headers, body, json } = await ask()
            t.equal(statusCode, 503)
            t.match(json(), OUTAGE)
            t.equal(headers['retry-after'], fault === 'too many requests' || fault === '503' ? '7' : '5')
            t.notMatch(body, /ECONN|provider says|invalid_client/)
            t.ok(await isLoggedIn())
            provider.heal()
            clock.advance(8)
            const { accessToken } = (await ask()).json()
            t.match(provider.tokenInfo(accessToken), { sub: 'auth0|ada' })
            t.not(accessToken, first)
            t.equal(provider.reuses, 0)
          })
        }
      }
      t.test('D15 nothing secret is in the log', async t => {
        t.ok(provider.secrets.size > 20)
        t.same([...provider.secrets].filter(secret => logs.text.includes(secret)), [])
        t.ok(logs.lines.some(({ msg }) => msg === 'access token not renewed: the one there is goes on'))
      })
    })
  }
})

t.test('D11 while the provider asks not to be asked it is not, for nobody (RFC 9110 §10.2.3)', async t => {
  const forms: Record<string, () => string> = { seconds: () => '20', 'a date': () => new Date(Date.now() + 20_000).toUTCString() }
  for (const [form, retryAfter] of Object.entries(forms)) {
    const { ask, provider, clock, newBrowser } = await buildTokenSite(t)
    const other = newBrowser()
    await other.login('/login?returnTo=/me')
    clock.advance(LIFETIME + 1)
    provider.failNext('token', says('too_many_requests', 429, { 'retry-after': retryAfter() }))
    for (const seconds of [20, 15, 5]) {
      const response = await ask()
      t.equal(response.statusCode, 503, form)
      const told = Number(response.headers['retry-after'])
      t.ok(told <= seconds && told >= seconds - 2, `${form}: ${told}`)
      t.equal((await other.fetch('/token')).statusCode, 503)
      t.equal(provider.refreshes.length, 1)
      clock.advance(seconds === 20 ? 5 : seconds === 15 ? 10 : 6)
    }
    t.equal((await ask()).statusCode, 200)
    t.equal((await other.fetch('/token')).statusCode, 200)
    t.equal(provider.refreshes.length, 3)
  }
})

t.test('D11 a Retry-After that is nonsense, or more than an hour, makes nobody wait', async t => {
  const { ask, provider, clock } = await buildTokenSite(t)
  clock.advance(LIFETIME + 1)
  for (const retryAfter of ['soon', '0', '-5', '3601', '9'.repeat(40), new Date(0).toUTCString()]) {
    provider.failNext('token', says('too_many_requests', 429, { 'retry-after': retryAfter }))
    t.equal((await ask()).headers['retry-after'], '5', retryAfter)
    clock.advance(1.5)
  }
  t.equal((await ask()).statusCode, 200)
})

t.test('promise 4: who does not want the token that is there gets no other one instead', async t => {
  const { ask, provider, isLoggedIn } = await buildTokenSite(t)
  const first = (await ask()).json().accessToken
  provider.fail('token', '500')
  t.match((await ask({ forceRefresh: true })).json(), OUTAGE)
  t.match((await ask({ audience: 'https://other.example.com' })).json(), OUTAGE)
  t.equal((await ask({ minimumLifetime: LIFETIME - 1 })).json().accessToken, first, 'which is shorter than wanted, but all there is')
  t.ok(await isLoggedIn())
})

t.test('F8 while keys or metadata cannot be had no refresh token is spent, since what came could not be verified', async t => {
  for (const endpoint of ['jwks', 'discovery'] as const) {
    const { ask, provider, clock, isLoggedIn } = await buildTokenSite(t)
    clock.advance(16 * LIFETIME) // what is kept of the provider is old
    provider.fail(endpoint, '500')
    const { statusCode } = await ask()
    t.same([statusCode, provider.refreshes.length], endpoint === 'jwks' ? [503, 0] : [200, 1], endpoint)
    provider.heal()
    t.ok(await isLoggedIn())
    clock.advance(1.5)
    t.equal((await ask()).statusCode, 200)
    t.equal(provider.reuses, 0)
  }
})

t.test('promise 4: the next refresh token is kept, whatever else an answer has', async t => {
  const { ask, provider, clock, cookie, send } = await buildTokenSite(t)
  const answers: Record<string, (fault: Json) => Fault> = {
    'what is in it': json => ({ json }),
    'a type of token that is none': json => ({ json: { ...json, token_type: 'N_A' } })
  }
  for (const [name, answer] of Object.entries(answers)) {
    await ask({ forceRefresh: true })
    clock.advance(LIFETIME)
    const isTaken = name === 'what is in it'
    provider.failNext('token', answer({ expires_in: null, scope: null, id_token: null }))
    const copy = cookie()
    const [one, two] = await Promise.all([ask(), send('/token', copy)])
    for (const { statusCode, body } of [one, two]) t.equal(statusCode, isTaken ? 200 : 503, `${name}: ${body}`)
    if (isTaken) t.match(one.json(), { expiresAt: null, scope: SCOPE_IN_ORDER })
    clock.advance(LIFETIME)
    t.equal((await ask()).statusCode, 200)
    t.equal(provider.reuses, 0)
  }
})

t.test('promise 4: what is no refresh token, or comes with an error, is not kept', async t => {
  const answers: Fault[] = ['line\nfeed', 'ümlaut', '', null, undefined].map(refreshToken => ({ json: { token_type: 'mac', refresh_token: refreshToken } }))
  for (const answer of [...answers, () => Response.json({ error: 'invalid_request', refresh_token: 'of an error' }, { status: 400 })]) {
    const { ask, provider, clock } = await buildTokenSite(t)
    provider.rotation = false
    await ask({ forceRefresh: true })
    const before = provider.refreshes.at(-1)!.params.get('refresh_token')
    provider.failNext('token', answer)
    t.equal((await ask({ forceRefresh: true })).statusCode, 503)
    clock.advance(2)
    t.equal((await ask({ forceRefresh: true })).statusCode, 200)
    t.equal(provider.refreshes.at(-1)!.params.get('refresh_token'), before)
  }
})
