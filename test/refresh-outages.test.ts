import t from 'tap'
import { MemoryStore } from '../lib/index.ts'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../lib/errors.ts'
import { skipWithoutRedis, startRedis, until } from './helpers/redis.ts'
import { API, buildTokenSite, holdRefresh, LIFETIME, sessionKinds } from './helpers/token-site.ts'

const OTHER = 'https://other.example.com'
const AWAY = { statusCode: 503, code: 'FST_AUTH0_SESSION_UNAVAILABLE' }

t.test('promise 4: where nobody can say whose turn it is, the token that is there goes on while it is valid, then 503', async t => {
  const store = new MemoryStore()
  const { ask, clock, provider, isLoggedIn } = await buildTokenSite(t, { auth0: { session: { store } } })
  const first = (await ask()).json().accessToken
  const { lease } = store.records
  store.records.lease = async () => { throw new FST_AUTH0_SESSION_UNAVAILABLE() }
  clock.advance(LIFETIME - 30)
  t.equal((await ask()).json().accessToken, first)
  clock.advance(60)
  const response = await ask()
  t.match(response.json(), AWAY)
  t.equal(response.headers['retry-after'], '5')
  t.ok(await isLoggedIn())
  t.equal(provider.refreshes.length, 0)
  store.records.lease = lease.bind(store.records)
  t.equal((await ask()).statusCode, 200)
})

t.test('what a refresh brings while the store is away', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options } of sessionKinds(redis).filter(kind => kind.name.includes('Redis'))) {
    t.test(`promise 4: ${name}: is kept once it is back, and not asked for again`, async t => {
      await redis.command('FLUSHALL')
      const { ask, clock, provider } = await buildTokenSite(t, { auth0: options() })
      clock.advance(LIFETIME + 1)
      const held = holdRefresh(provider)
      const answer = ask()
      const { access_token: brought } = await held.done
      redis.stop()
      held.release()
      t.match((await answer).json(), AWAY)
      redis.resume()
      await until('Redis is back', async () => (await ask()).statusCode === 200)
      t.equal((await ask()).json().accessToken, brought)
      t.equal(provider.refreshes.length, 1)
      clock.advance(LIFETIME + 1)
      t.equal((await ask()).statusCode, 200)
      t.equal(provider.reuses, 0)
    })
  }
})

t.test('promise 4: a Redis that forgets the last refresh amid the next one, as after a failover, costs nobody the refresh token', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const { ask, clock, provider } = await buildTokenSite(t, { auth0: { session: { redis: redis.url } } })
  const [session] = await redis.command('KEYS', '*session:*') as string[]
  await redis.command('COPY', session!, 'before')
  await ask({ forceRefresh: true })
  provider.failNext('token', async ({ honest }) => {
    await redis.command('COPY', 'before', session!, 'REPLACE')
    return honest()
  })
  const { accessToken } = (await ask({ forceRefresh: true })).json()
  t.equal((await ask()).json().accessToken, accessToken)
  clock.advance(LIFETIME)
  t.equal((await ask()).statusCode, 200)
  t.equal(provider.refreshes.length, 3)
  t.equal(provider.reuses, 0)
})

t.test('promise 3: a store so slow that the token is over by the time it is kept: one refresh all the same', async t => {
  const store = new MemoryStore()
  const { ask, clock, provider } = await buildTokenSite(t, { auth0: { session: { store } } })
  const { replaceLogin } = store.records
  store.records.replaceLogin = async (...args) => {
    clock.advance(LIFETIME)
    return replaceLogin.apply(store.records, args)
  }
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
  t.equal(provider.refreshes.length, 1)
})

t.test('promise 4: what could not be kept is kept first, whatever the next one wants', async t => {
  const store = new MemoryStore()
  const { ask, provider } = await buildTokenSite(t, { auth0: { session: { store } } })
  const { replaceLogin } = store.records
  store.records.replaceLogin = async () => { throw new FST_AUTH0_SESSION_UNAVAILABLE() }
  t.match((await ask({ audience: OTHER })).json(), AWAY)
  store.records.replaceLogin = replaceLogin.bind(store.records)
  t.match((await ask({ scope: 'openid' })).json(), { audience: API, scope: 'openid' })
  t.match((await ask({ audience: OTHER })).json(), { audience: OTHER })
  t.same(provider.refreshes.map(({ params }) => params.get('audience')), [OTHER, null])
  t.equal(provider.reuses, 0)
})
