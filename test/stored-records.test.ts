import { sign } from '@fastify/cookie'
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { buildApp, secret, type BuildOptions } from './helpers/app.ts'
import { skipWithoutRedis, startRedis, type RedisServer } from './helpers/redis.ts'
import { connected } from './helpers/stores.ts'

const NAME = '__Host-auth0'
const grace = { sub: 'auth0|grace', name: 'Grace Hopper', email: 'grace@example.com' }

t.test('what is in Redis', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const client = redis.client()
  t.beforeEach(async () => { await client.flushall() })

  t.test('H7 tells nothing of anybody: no name, no token, no id is there in clear', async t => {
    const { browser, app, provider, keys } = await build(t, redis)
    await browser.login('/login?returnTo=/me', { headers: { 'user-agent': 'Canary/1.0' } })
    await browser.get('/cart/apple')
    await browser.get('/note/theme')
    const { user } = (await browser.get('/me')).json()
    await app.auth0.handleBackchannelLogout(provider.logoutToken({ claims: { sub: 'auth0|canary', jti: 'jti-canary' } }))
    const dump = await everything(client)
    t.same([...new Set(Object.keys(dump).map(key => key.split(':')[1]))].sort(), ['index', 'mark', 'not-before', 'session'])
    const text = JSON.stringify(dump)
    const cookie = browser.cookie(NAME)!
    const private_ = [user.sub, user.sid, user.name, user.email, user.picture, 'canary', 'Canary', cookie, cookie.split('.')[0]!, secret, 'theme', ...provider.secrets]
    for (const known of private_) t.notOk(text.includes(known), known)
    t.match(text, /apple/, 'but what the application keeps in request.session is as it wrote it')
    t.equal((await keys()).length, 1)
  })

  t.test('H7 nor in marks of what was ended, beside encrypted cookies', async t => {
    const { browser, app, provider } = await build(t, redis, { auth0: { session: {}, revocations: { redis: redis.url } } })
    await browser.login('/login?returnTo=/me')
    const { user } = (await browser.get('/me')).json()
    for (const claims of [{ sid: user.sid }, { sid: undefined, sub: user.sub }]) await app.auth0.handleBackchannelLogout(provider.logoutToken({ claims }))
    await browser.submit('/logout')
    const dump = await everything(client)
    t.ok(Object.keys(dump).length >= 5, 'the session, its sid and sub, and two tokens')
    for (const known of [user.sub, user.sid, user.email, ...provider.secrets]) t.notOk(JSON.stringify(dump).includes(known), known)
  })

  t.test('H8 a login opens in its own session only: after a swap of two, nobody is logged in', async t => {
    const { browser, newBrowser, key, keys } = await build(t, redis)
    const other = newBrowser()
    await browser.login('/login?returnTo=/me')
    await browser.get('/cart/apple')
    const ours = await key()
    await other.login('/login?returnTo=/me', { authorize: { user: grace } })
    const theirs = (await keys()).find(name => name !== ours)!
    const both = async () => Promise.all([browser, other].map(async one => (await one.get('/me')).json().user?.name ?? null))
    t.same(await both(), ['Ada Lovelace', 'Grace Hopper'])

    const [one, two] = [await client.hget(ours, 'l'), await client.hget(theirs, 'l')] as [string, string]
    await client.hset(ours, 'l', two)
    await client.hset(theirs, 'l', one)
    t.same(await both(), [null, null])
    t.equal((await browser.fetch('/profile')).statusCode, 401)
    t.same((await browser.get('/cart')).json(), ['apple'])

    await client.hset(ours, 'l', one)
    await client.hset(theirs, 'l', two)
    t.same(await both(), ['Ada Lovelace', 'Grace Hopper'])
    await client.rename(ours, 'aside')
    await client.rename(theirs, ours)
    await client.rename('aside', theirs)
    t.same(await both(), [null, null], 'nor when the whole records change places')
  })

  const corruptions: Record<string, (key: string) => Promise<unknown>> = {
    'another type': async key => { await client.del(key); await client.set(key, 'x') },
    'a list': async key => { await client.del(key); await client.rpush(key, 'a', 'b') },
    'no end': key => client.hdel(key, 'a'),
    'no idle time-out': key => client.hdel(key, 'i'),
    'no time of use': key => client.hdel(key, 'u'),
    'no version': key => client.hdel(key, 'v'),
    'an unknown version': key => client.hset(key, 'v', 'v2.1'),
    'a time that is none': key => client.hset(key, 'u', 'yesterday'),
    'a field that is no JSON': key => client.hset(key, 'd:cart', '["apple'),
    'an empty field': key => client.hset(key, 'd:cart', '')
  }
  for (const [name, corrupt] of Object.entries(corruptions)) {
    t.test(`H9 a corrupt record counts as absent, is removed, and logged once: ${name}`, async t => {
      const { browser, key, logs } = await build(t, redis)
      await browser.login('/login?returnTo=/me')
      await browser.get('/cart/apple')
      const corrupted = await key()
      await corrupt(corrupted)
      const warnings = () => logs.lines.filter(({ level }) => level >= 40)
      t.equal((await browser.get('/public')).statusCode, 200)
      t.notOk((await browser.get('/me')).json().isAuthenticated)
      t.same((await browser.get('/cart')).json(), [])
      t.match(await client.hgetall(corrupted).catch(error => error), { a: undefined, l: undefined })
      t.match(warnings(), [{ level: 40, msg: /could not be read, and was removed/ }])
      t.equal(warnings().length, 1)
      t.notMatch(JSON.stringify(warnings()), corrupted.slice('auth0:session:'.length))
      await browser.login('/login?returnTo=/me')
      await browser.get('/cart/pear')
      t.same((await browser.get('/cart')).json(), ['pear'])
    })
  }

  t.test('H9 a seal that does not open is nobody\'s login: a record by an older version, or with another secret', async t => {
    const { browser, key } = await build(t, redis)
    for (const sealed of ['', 'x', 'v9.sealed', 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA', '{"user":{"sub":"auth0|admin"}}']) {
      await browser.login('/login?returnTo=/me')
      await browser.get('/cart/apple')
      await client.hset(await key(), 'l', sealed)
      t.notOk((await browser.get('/me')).json().isAuthenticated, sealed)
      t.same((await browser.get('/cart')).json(), ['apple'])
      t.equal((await browser.post('/logout')).statusCode, 303)
      await client.flushall()
    }
  })

  t.test('H13 no member named __proto__ comes from there, or goes there', async t => {
    const { browser, key } = await build(t, redis, {
      auth0: { onLogin: ({ user }) => ({ ...user, meta: JSON.parse('{ "__proto__": { "admin": true }, "n": 1 }') }) },
      routes: app => {
        app.get('/merge', async ({ session }) => {
          const copy = Object.assign({}, session)
          return [copy, session, {}].map(object => (object as unknown as { admin?: boolean }).admin ?? null)
        })
        app.get('/poison', async request => {
          await request.auth0.updateSession(JSON.parse('{ "__proto__": { "admin": true }, "list": [{ "__proto__": { "admin": true } }] }'))
          Object.defineProperty(request.session, '__proto__', { value: { admin: true }, enumerable: true, configurable: true, writable: true })
        })
      }
    })
    await browser.login('/login?returnTo=/me')
    await client.hset(await key(), 'd:__proto__', '{"admin":true}', 'd:constructor', '{"prototype":{"admin":true}}', 'd:cookie', '{"secure":false}', 'd:fastify-auth0', '{}')
    t.same((await browser.get('/merge')).json(), [null, null, null])
    const { user } = (await browser.get('/me')).json()
    t.same(user.meta, { n: 1 })
    await browser.get('/poison')
    t.same((await browser.get('/merge')).json(), [null, null, null])
    const { session } = (await browser.get('/me')).json()
    t.same(session.data, { list: [{}] })
    t.equal(await client.hget(await key(), 'd:__proto__'), null)
  })

  t.test('O5 cookies that are garbage, unsigned, or signed by others cost no access to Redis (property)', async t => {
    const { app, browser } = await build(t, redis)
    await browser.login('/login?returnTo=/me')
    const cookie = browser.cookie(NAME)!
    const [id = '', signature = ''] = cookie.split('.')
    const noise = fc.string({ maxLength: 60 }).map(text => text.replaceAll(/[;\r\n]/g, '').replaceAll(/[^\x20-\x7e]/g, '?'))
    const bad = fc.oneof(noise, noise.map(text => `${text}.${signature}`), noise.map(text => `${id}.${text}`),
      fc.constantFrom(id, `${id}.`, `.${signature}`, `${cookie}x`, cookie.slice(0, -1), cookie.toLowerCase(), sign(id, secret), sign(id, 'x'.repeat(32)), 'x'.repeat(4000), '%', '.'))
    const requests = fc.constantFrom(['GET', '/me'], ['GET', '/public'], ['GET', '/profile'], ['GET', '/cart'], ['POST', '/logout'], ['GET', '/callback?code=c&state=s']) as fc.Arbitrary<['GET' | 'POST', string]>
    await client.config('RESETSTAT')
    await fc.assert(fc.asyncProperty(bad, requests, async (value, [method, url]) => {
      const { statusCode } = await app.inject({ method, url, headers: { cookie: `${NAME}=${value}`, 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin' } })
      t.ok(statusCode < 500)
    }), { numRuns: 300 })
    t.same(await commands(client), {})
    await browser.get('/me')
    t.same(await commands(client), { hgetall: 1 }, 'and a good one costs one command')
    await app.inject({ url: '/me' })
    t.same(await commands(client), { hgetall: 1 })
  })
})

async function build (t: Test, redis: RedisServer, options: BuildOptions = {}) {
  const client = redis.client()
  const built = await buildApp(t, {
    ...options,
    auth0: { session: { redis: redis.url }, ...options.auth0 },
    routes: async app => {
      addRoutes(app)
      if (options.routes !== false) await options.routes?.(app)
    }
  })
  await connected(built.app)
  const keys = async () => {
    const names = await client.keys('auth0:session:*')
    const living = await Promise.all(names.map(async name => await client.type(name) !== 'hash' || await client.hexists(name, 't') === 0))
    return names.filter((_, at) => living[at])
  }
  /** Of the only session there is. */
  const key = async () => {
    const [name, ...more] = await keys()
    if (name === undefined || more.length > 0) throw new Error(`there are ${more.length + 1} sessions`)
    return name
  }
  return { ...built, keys, key }
}

function addRoutes (app: FastifyInstance): void {
  app.get('/cart', async ({ session }) => session.cart ?? [])
  app.get<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => { session.cart = [...session.cart ?? [], params.item] })
  app.get<{ Params: { note: string } }>('/note/:note', async ({ auth0, params }) => auth0.updateSession(params))
}

/** All that Redis keeps, by key. */
async function everything (client: Redis): Promise<Record<string, unknown>> {
  const keys = await client.keys('*')
  return Object.fromEntries(await Promise.all(keys.map(async key => [key, await contents(client, key)])))
}

async function contents (client: Redis, key: string): Promise<unknown> {
  switch (await client.type(key)) {
    case 'hash': return client.hgetall(key)
    case 'zset': return client.zrange(key, '0', '-1')
    default: return client.get(key)
  }
}

/** How often each command ran since the counts were reset, without those of the tests themselves. */
async function commands (client: Redis): Promise<Record<string, number>> {
  const lines = [...String(await client.info('commandstats')).matchAll(/^cmdstat_([\w|]+):calls=(\d+)/gm)]
  return Object.fromEntries(lines.map(([, name = '', count]) => [name, Number(count)] as const).filter(([name]) => !/^(info|config|client|ping)/.test(name)))
}
