import t from 'tap'
import { FST_AUTH0_ACCESS_TOKEN_DENIED, FST_AUTH0_PROVIDER_FAILED, FST_AUTH0_PROVIDER_UNAVAILABLE } from '../lib/errors.ts'
import { ProviderFailure } from '../lib/provider/failures.ts'
import { Pauses } from '../lib/provider/pauses.ts'
import { travelInTime } from './helpers/clock.ts'
import { buildTokenSite, LIFETIME, says } from './helpers/token-site.ts'
import type { Fault } from './helpers/provider-faults.ts'

const away = () => new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('away') })
const nonsense = () => new FST_AUTH0_PROVIDER_FAILED({ cause: new ProviderFailure('nonsense') })

t.test('D11 while the provider fails, a valid token is given at once, and few ask', async t => {
  const failures: Record<string, Fault> = { 'no answer': 'hang', 500: '500', nonsense: { json: { token_type: 'mac' } } }
  for (const [name, fault] of Object.entries(failures)) {
    const { ask, provider, clock } = await buildTokenSite(t, { isFrozen: true, auth0: { httpTimeout: 300 } })
    clock.advance(LIFETIME - 50)
    provider.fail('token', fault)
    const timed = async () => {
      const startedAt = performance.now()
      t.equal((await ask()).statusCode, 200, name)
      return performance.now() - startedAt
    }
    await timed()
    const times = []
    for (let request = 0; request < 10; request++) times.push(await timed())
    t.equal(provider.refreshes.length, 1, name)
    t.ok(Math.max(...times) < 250, `${name}: ${times.map(Math.round)}`)
    clock.advance(4)
    const [first, ...others] = [timed(), timed(), timed()]
    if (name === 'no answer') t.ok(Math.max(...await Promise.all(others)) < 250, 'one asks, the others do not wait for it')
    await Promise.all([first, ...others])
    t.equal(provider.refreshes.length, 2, name)
    provider.heal()
    clock.advance(4)
    await timed()
    clock.advance(LIFETIME - 50)
    await timed()
    t.equal(provider.refreshes.length, 4, `${name}: as ever`)
    t.equal(provider.reuses, 0)
  }
})

t.test('D11 who has no valid token, or wants another one, asks not more than once a second', async t => {
  const { ask, provider, clock } = await buildTokenSite(t, { isFrozen: true })
  provider.fail('token', '500')
  for (let second = 1; second <= 3; second++) {
    for (let request = 0; request < 4; request++) {
      const { statusCode, headers, json } = await ask({ forceRefresh: true })
      t.match([statusCode, headers['retry-after'], json().code], [503, '5', 'FST_AUTH0_PROVIDER_UNAVAILABLE'])
    }
    t.equal(provider.refreshes.length, second)
    clock.advance(1)
  }
  provider.heal()
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
})

t.test('D11 those who wait for their turn do not all find out by themselves that the provider is away', async t => {
  const { ask, provider } = await buildTokenSite(t, { auth0: { httpTimeout: 300 } })
  provider.fail('token', 'hang')
  const startedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 6 }, (_, number) => ask({ audience: `https://${number}.example.com` })))
  t.same(answers.map(({ statusCode }) => statusCode), Array.from({ length: 6 }, () => 503))
  t.equal(provider.refreshes.length, 1)
  t.ok(performance.now() - startedAt < 1200)
})

t.test('what may be about one person makes nobody else wait', async t => {
  const { ask, provider, clock, newBrowser } = await buildTokenSite(t, { isFrozen: true })
  const other = newBrowser()
  await other.login('/login?returnTo=/me')
  clock.advance(LIFETIME)
  provider.failNext('token', says('slow_down', 400, { 'retry-after': '60' }))
  t.equal((await ask()).headers['retry-after'], '60')
  t.equal((await other.fetch('/token')).statusCode, 200)
  clock.advance(59)
  t.equal((await ask()).headers['retry-after'], '1')
  t.equal(provider.refreshes.length, 2)
  clock.advance(1)
  t.equal((await ask()).statusCode, 200)

  clock.advance(LIFETIME)
  provider.failNext('token', '500')
  t.equal((await ask()).statusCode, 503)
  t.equal((await other.fetch('/token')).statusCode, 200, 'nor an overload that does not say for how long, when there is no token')
})

t.test('whoever succeeds ends the pause, for the others, too', async t => {
  const { ask, provider, clock, newBrowser } = await buildTokenSite(t, { isFrozen: true })
  const other = newBrowser()
  await other.login('/login?returnTo=/me')
  clock.advance(LIFETIME - 50)
  provider.failNext('token', '500')
  await ask()
  await other.fetch('/token')
  t.equal(provider.refreshes.length, 1)
  clock.advance(1)
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
  const before = (await other.fetch('/token')).json().expiresAt
  t.equal(before, clock.now() + LIFETIME)
  t.equal(provider.refreshes.length, 3)
})

t.test('a pause is for the login that failed, or for everybody who has a token', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const pauses = new Pauses()
  const error = nonsense()
  pauses.failed('ada', error)
  for (const hasToken of [true, false]) t.throws(() => pauses.begin('ada', hasToken), error)
  for (const hasToken of [true, false]) pauses.begin('bob', hasToken)
  clock.advance(1)
  pauses.begin('ada', false)
  t.throws(() => pauses.begin('ada', true), error)
  clock.advance(4)
  pauses.begin('ada', false)
  pauses.begin('ada', true)
  t.throws(() => pauses.begin('ada', true), error, 'one asks')
  pauses.succeeded('ada')
  pauses.begin('ada', true)

  const outage = away()
  pauses.failed('ada', outage)
  t.throws(() => pauses.begin('bob', true), outage)
  pauses.begin('bob', false)
  pauses.succeeded('bob')
  pauses.begin('carol', true)
  t.throws(() => pauses.begin('ada', false), outage, 'still')

  pauses.failed('bob', new FST_AUTH0_ACCESS_TOKEN_DENIED())
  pauses.failed('bob', new TypeError('a mistake'))
  pauses.begin('bob', false)
  pauses.failed('bob', new FST_AUTH0_PROVIDER_FAILED())
  t.throws(() => pauses.begin('bob', true), { code: 'FST_AUTH0_PROVIDER_FAILED' })
})

t.test('what the provider asked for holds, though others succeed', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const pauses = new Pauses()
  pauses.failed('ada', new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('overloaded', 30) }))
  pauses.succeeded('bob')
  clock.advance(20)
  t.throws(() => pauses.begin('bob', false), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE', cause: { retryAfter: 10 } })
  clock.advance(10)
  pauses.begin('bob', false)
  t.throws(() => pauses.begin('bob', true), 'and then one asks after the other')
})

t.test('what the provider asked for holds, though a call that was under way fails without a word of it', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const pauses = new Pauses()
  pauses.failed('ada', new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('overloaded', 30) }))
  pauses.failed('bob', away())
  clock.advance(29)
  t.throws(() => pauses.begin('carol', false), { cause: { retryAfter: 1 } })
  clock.advance(1)
  pauses.begin('carol', false)
  pauses.failed('carol', new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('overloaded', 5) }))
  t.throws(() => pauses.begin('bob', false), { cause: { retryAfter: 5 } })
})

t.test('pauses differ in length, from two to four seconds', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const lengths = Array.from({ length: 60 }, () => {
    const pauses = new Pauses()
    pauses.failed('ada', away())
    for (let tenths = 1; ; tenths++) {
      clock.advance(0.1)
      try {
        pauses.begin('bob', true)
        return tenths / 10
      } catch {}
    }
  })
  t.ok(Math.min(...lengths) >= 2 && Math.max(...lengths) <= 4.1, String(lengths))
  t.ok(new Set(lengths).size > 5)
})

t.test('who waited is told only of what failed since then, and for the same login', async t => {
  travelInTime(t, { isFrozen: true })
  const pauses = new Pauses()
  const before = pauses.begin('ada', false)
  pauses.failed('ada', away())
  t.throws(() => pauses.verifyNoneSince(before, 'ada'), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE' })
  pauses.verifyNoneSince(before, 'bob')
  pauses.verifyNoneSince(pauses.begin('bob', false), 'ada')
})
