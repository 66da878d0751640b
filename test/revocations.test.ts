import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { Revocations } from '../lib/session/revocations.ts'
import { MemoryRecords } from '../lib/store/memory-records.ts'
import { buildApp, type BuildOptions } from './helpers/app.ts'
import type { Browser } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'
import { Gate } from './helpers/gates.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis, type RedisServer } from './helpers/redis.ts'
import { connected } from './helpers/stores.ts'

const NAME = '__Host-auth0'
const grace = { sub: 'auth0|grace', name: 'Grace Hopper' }

t.test('revocations in memory are for one process, and the log says so', async t => {
  const warnings = async (auth0: Auth0Options) => (await buildApp(t, { auth0 })).logs.lines.filter(({ level }) => level >= 40).map(({ msg }) => msg)
  t.match(await warnings({ revocations: {} }), [/in the memory of this process.*Use revocations\.redis/])
  t.same(await warnings({ revocations: { redis: 'redis://127.0.0.1:1' } }), [])
  t.same(await warnings({}), [])
})

t.test('marks', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const revocations = new Revocations(new MemoryRecords(100), ['auth0', 'https://tenant.example.com/', 'client'], 1000)
  const at = clock.now()
  const user = { iss: 'https://tenant.example.com/', sub: 'ada', sid: 's' }
  const login = (enteredAt: number | null, more: object = {}) => ({ id: 'id', enteredAt, user: { ...user, ...more } })
  const now = async () => login(await revocations.enter({ user: { ...user, sub: 'nobody', sid: 'none' }, issuedAt: at }))

  t.test('count for what entered before, and not for what enters later', async t => {
    const before = await now()
    t.notOk(await revocations.areAny(before))
    clock.advance(0.001)
    await revocations.endByProvider({ sub: 'ada', issuedAt: at })
    const together = await now()
    clock.advance(0.001)
    t.same(await Promise.all([before, together, await now()].map(login => revocations.areAny(login))), [true, true, false])
    t.notOk(await revocations.areAny({ ...before, user: { ...user, sub: 'grace', sid: 'other' } }))
    t.ok(await revocations.areAny(login(null)), 'what does not say when it entered is older')
  })

  t.test('let nothing in that the provider issued in a second before, and all else', async t => {
    const enter = (issuedAt: number, more: object = {}) => revocations.enter({ issuedAt, user: { ...user, ...more } })
    for (const issuedAt of [at - 1, at - 100, Number.NaN, undefined as never]) await t.rejects(enter(issuedAt), { code: 'FST_AUTH0_LOGIN_EXPIRED' })
    await t.resolves(enter(at))
    await t.resolves(enter(at + 1))
    await t.resolves(enter(at - 1, { sub: 'grace' }))
    await revocations.endByProvider({ sid: 's', issuedAt: at })
    await t.rejects(enter(at - 1, { sub: 'grace' }), { code: 'FST_AUTH0_LOGIN_EXPIRED' })
  })

  t.test('are not lifted by one that was issued earlier and comes late', async t => {
    const before = await now()
    clock.advance(0.001)
    await revocations.endByProvider({ sub: 'ada', issuedAt: at - 100 })
    t.ok(await revocations.areAny(before))
    await t.rejects(revocations.enter({ user, issuedAt: at - 1 }), { code: 'FST_AUTH0_LOGIN_EXPIRED' })
  })

  t.test('by sid count for that session of the provider', async t => {
    clock.advance(0.001)
    const before = await now()
    clock.advance(0.001)
    await revocations.endByProvider({ sid: 's', issuedAt: at })
    t.ok(await revocations.areAny(before))
    t.notOk(await revocations.areAny({ ...before, user: { ...user, sid: 'another' } }))
    t.notOk(await revocations.areAny({ ...before, user: { ...user, sid: undefined as never } }))
  })

  t.test('by session count whenever it entered', async t => {
    await revocations.end('other')
    clock.advance(0.001)
    const later = await now()
    t.ok(await revocations.areAny({ ...later, id: 'other' }))
    t.notOk(await revocations.areAny(later))
  })

  t.test('last as long as a session may, those too that were about to begin', async t => {
    clock.advance(1000)
    t.ok(await revocations.areAny(login(1)))
    clock.advance(60)
    t.notOk(await revocations.areAny(login(1)))
  })
})

t.test('encrypted cookies with revocations in memory', async t => {
  const { browser, app, provider, holders, clock } = await build(t, { auth0: { revocations: {} } })
  for (const end of ['logout', 'sid', 'sub'] as const) {
    const { cookie, sid } = await logIn(browser)
    if (end === 'logout') await browser.submit('/logout')
    else t.equal(await app.auth0.handleBackchannelLogout(logoutToken(provider, end, sid)), 1)
    t.notOk(await holders(app, cookie), end)
    clock.advance(1)
  }
})

t.test('encrypted cookies with revocations in Redis, on two hosts', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)

  t.test('promise 1: who logs out on one host is logged out on the other', async t => {
    const { browser, app, other, holders } = await buildTwo(t, redis)
    const { cookie } = await logIn(browser)
    t.same([await holders(app, cookie), await holders(other, cookie)], ['Ada Lovelace', 'Ada Lovelace'])
    const { statusCode, setCookies } = await browser.post('/logout')
    t.equal(statusCode, 303)
    t.match(setCookies, [/=; Max-Age=0/])
    t.same([await holders(app, cookie), await holders(other, cookie)], [null, null])
    t.equal((await other.inject({ url: '/profile', headers: { cookie } })).statusCode, 401)
    const again = await other.inject({ method: 'POST', url: '/logout', headers: { cookie, 'sec-fetch-site': 'same-origin' } })
    t.same([again.statusCode, String(again.headers['set-cookie']).includes('=;')], [303, true], 'I7')
  })

  t.test('without revocations the other host would still know them', async t => {
    const { browser, other, holders } = await buildTwo(t, null)
    const { cookie } = await logIn(browser)
    await browser.submit('/logout')
    t.equal(await holders(other, cookie), 'Ada Lovelace')
  })

  for (const [name, options] of Object.entries({ lax: {}, form_post: { authorizationParams: { response_mode: 'form_post' } }, strict: { session: { cookie: { sameSite: 'strict' } } } } satisfies Record<string, Auth0Options>)) {
    t.test(`promise 5: a login ends the session before it on both hosts: ${name}`, async t => {
      const { browser, app, other, holders } = await buildTwo(t, redis, { auth0: options, provider: { issuer: 'https://tenant.eu.auth0.com/' } })
      const { cookie } = await logIn(browser)
      const { cookie: newer } = await logIn(browser, grace)
      for (const host of [app, other]) t.same([await holders(host, cookie), await holders(host, newer)], [null, 'Grace Hopper'])
    })
  }

  for (const slow of ['/slow', '/slow-update']) {
    for (const end of ['logout', 'sid', 'sub'] as const) {
      t.test(`promise 1, H1: a request in flight on one host does not bring back what ended on the other: ${slow}, ${end}`, async t => {
        const { browser, app, other, holders, gate, provider, clock } = await buildTwo(t, redis, { auth0: { session: { idleTimeout: 10 } } })
        const { cookie, sid } = await logIn(browser)
        clock.advance(2)
        const held = await gate.hold(headers => other.inject({ url: slow, headers: { ...headers, cookie } }))
        if (end === 'logout') await browser.submit('/logout')
        else await app.auth0.handleBackchannelLogout(logoutToken(provider, end, sid))
        const response = await held.release()
        t.equal(response.statusCode, 200)
        const written = String(response.headers['set-cookie']).split(';', 1)[0]!
        t.match(written, /^__Host-auth0=eyJ/, 'the other host does not know yet')
        for (const host of [app, other]) t.same([await holders(host, cookie), await holders(host, written)], [null, null])
        clock.advance(1)
        const { cookie: newer } = await logIn(browser)
        for (const host of [app, other]) t.equal(await holders(host, newer), 'Ada Lovelace')
      })
    }
  }

  t.test('I18 a logout token with sid ends that session, one with sub all that began before, on both hosts', async t => {
    const { browser, newBrowser, app, other, holders, provider } = await buildTwo(t, redis)
    const [first, second, third] = [await logIn(browser), await logIn(newBrowser()), await logIn(newBrowser(), grace)]
    const known = async () => Promise.all([first, second, third].flatMap(({ cookie }) => [app, other].map(async host => await holders(host, cookie) !== null)))
    t.equal(await other.auth0.handleBackchannelLogout(logoutToken(provider, 'sid', first!.sid)), 1)
    t.same(await known(), [false, false, true, true, true, true])
    await app.auth0.handleBackchannelLogout(logoutToken(provider, 'sub'))
    t.same(await known(), [false, false, false, false, true, true])
  })

  t.test('a later login is not touched by an earlier logout, and does not lift it, were it in the same second', async t => {
    const { browser, newBrowser, app, other, holders, provider } = await buildTwo(t, redis)
    const { cookie } = await logIn(browser)
    await app.auth0.handleBackchannelLogout(logoutToken(provider, 'sub'))
    const later = await logIn(newBrowser())
    for (const host of [app, other]) t.same([await holders(host, cookie), await holders(host, later.cookie)], [null, 'Ada Lovelace'])
  })

  t.test('a logout ends what there is when it comes, whatever the clock of the provider says', async t => {
    const { browser, app, other, holders, provider } = await buildTwo(t, redis)
    const { cookie } = await logIn(browser)
    await app.auth0.handleBackchannelLogout(provider.logoutToken({ claims: { iat: Math.floor(Date.now() / 1000) - 200 } }))
    t.equal(await holders(other, cookie), null)
  })

  t.test('promise 1: a login that the provider ended on its way does not become a session', async t => {
    const { browser, app, provider } = await buildTwo(t, redis)
    const now = Math.floor(Date.now() / 1000)
    await app.auth0.handleBackchannelLogout(provider.logoutToken({ claims: { iat: now } }))
    provider.forgeNext('idToken', { claims: { iat: now - 1 } })
    await t.rejects(browser.login(), { message: /400 at \/callback/ })
    t.equal((await browser.get('/me')).json().user, null)
  })

  t.test('marks of another instance, client or provider mean other people', async t => {
    const { browser, app, holders } = await buildTwo(t, redis)
    const { cookie } = await logIn(browser)
    for (const options of [{ clientId: 'another' }, { issuer: 'https://other.example.com/' }]) {
      const provider = new Provider(options)
      const { app: stranger } = await buildApp(t, { provider, auth0: { revocations: { redis: redis.url } } })
      await connected(stranger)
      t.equal(await stranger.auth0.handleBackchannelLogout(provider.logoutToken()), 1)
    }
    const provider = new Provider()
    const { app: named } = await buildApp(t, { provider, auth0: { name: 'staff', domain: 'tenant.example.com', revocations: { redis: redis.url } }, routes: false })
    await connected(named)
    await (named as unknown as { staff: FastifyInstance['auth0'] }).staff.handleBackchannelLogout(provider.logoutToken())
    t.equal(await holders(app, cookie), 'Ada Lovelace')
  })

  t.test('keeps marks for as long as a session may last, and no longer', async t => {
    const { browser, app, provider } = await buildTwo(t, redis, { auth0: { session: { absoluteTimeout: 5000, idleTimeout: 5000 } } })
    const { sid } = await logIn(browser)
    for (const by of ['sid', 'sub'] as const) await app.auth0.handleBackchannelLogout(logoutToken(provider, by, sid))
    await browser.submit('/logout')
    const client = redis.client()
    const lives = await Promise.all((await client.keys('*')).map(key => client.pttl(key)))
    t.equal(lives.filter(life => life > 4_900_000 && life <= 5_060_000).length, 5, 'session; sid and sub, what entered before and what was issued before')
    t.notOk(lives.some(life => life === -1 || life > 5_060_000), 'all others sooner')
  })

  t.test('promise 11: a page that does not ask is not marked private, though marks were asked for', async t => {
    const { browser } = await buildTwo(t, redis)
    await logIn(browser)
    t.same([(await browser.get('/public')).headers['cache-control'], (await browser.get('/me')).headers['cache-control']], [undefined, 'private, no-store'])
    t.same((await browser.get('/public')).setCookies, [])
  })

  t.test('O5 who has no session, or garbage for one, costs no access to Redis', async t => {
    const { app, browser } = await buildTwo(t, redis)
    const { cookie } = await logIn(browser)
    const client = redis.client()
    const count = async () => [...String(await client.info('commandstats')).matchAll(/^cmdstat_(?:get|evalsha):calls=(\d+)/gm)].reduce((sum, [, calls]) => sum + Number(calls), 0)
    await client.config('RESETSTAT')
    for (const bad of ['', 'theme=dark', `${NAME}=x`, `${cookie}x`, `${cookie.slice(0, -2)}AA`, `${NAME}.0=${cookie.slice(0, 100)}`]) await app.inject({ url: '/me', headers: { cookie: bad } })
    t.equal(await count(), 0)
    await app.inject({ url: '/me', headers: { cookie } })
    t.equal(await count(), 3)
  })

  t.test('cannot list sessions, which it does not know', async t => {
    const { app } = await buildTwo(t, redis)
    await t.rejects(app.auth0.sessions.list('auth0|ada'), { code: 'FST_AUTH0_STORE_REQUIRED', message: /"session\.redis"/ })
  })
})

t.test('Redis fails for a moment', async t => {
  /** What it refuses now. */
  let refused: (command: string, args: Array<string | number>) => boolean = () => false
  const refusal = Object.assign(new Error('ERR not now'), { name: 'ReplyError' })
  const client = {
    status: 'ready',
    connect: async () => {},
    on () {},
    off () {},
    call: async (command: string, ...args: Array<string | number>) => {
      if (refused(command, args)) throw refusal
      return command === 'GET' ? null : Date.now()
    }
  }
  const { browser, app, holders } = await build(t, { auth0: { revocations: { redis: client } } })

  t.test('a login that cannot end the session before it is a 503: it sets no cookie, and nobody is logged out by it', async t => {
    const { cookie } = await logIn(browser)
    const callback = await browser.leave()
    refused = (_command, args) => args.includes(Number.MAX_SAFE_INTEGER)
    const { statusCode, body, setCookies } = await browser.comeBack(callback)
    t.equal(statusCode, 503)
    t.match(body, 'FST_AUTH0_SESSION_UNAVAILABLE')
    t.same(setCookies.filter(header => header.startsWith(`${NAME}=`)), [])
    t.equal(await holders(app, cookie), 'Ada Lovelace')
  })

  t.test('a logout that could not be asked about, and could be marked, is one', async t => {
    refused = () => false
    await logIn(browser)
    refused = command => command === 'GET'
    t.equal((await browser.get('/me')).statusCode, 503)
    t.equal((await browser.post('/logout')).statusCode, 303)
    t.equal(browser.cookie(NAME), null)
  })
})

t.test('while marks cannot be asked for, it is not known who is calling', async t => {
  const nowhere = { redis: 'redis://127.0.0.1:1' }
  for (const [name, options] of Object.entries({ 'encrypted cookies': {}, 'a store of others': { session: { store: plainStore() } } } satisfies Record<string, Auth0Options>)) {
    t.test(`503, and never "logged out": ${name}`, async t => {
      const { browser, provider } = await build(t, { auth0: { ...options, revocations: {} } })
      const { cookie } = await logIn(browser)
      const { app } = await build(t, { provider, auth0: { ...options, revocations: nowhere } })
      const send = (url: string, more: object = {}) => app.inject({ url, headers: { cookie, 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin' }, ...more })
      for (const url of ['/profile', '/me', '/', '/slow-update']) t.match((await send(url)).json(), { statusCode: 503, code: 'FST_AUTH0_SESSION_UNAVAILABLE' }, url)
      t.equal((await send('/profile')).headers['retry-after'], '1')
      t.equal((await send('/public')).statusCode, 200)
      t.equal((await app.inject({ url: '/me' })).statusCode, 200, 'who has no session is served')
      const logout = await send('/logout', { method: 'POST' })
      t.match(logout.json(), { statusCode: 503, code: 'FST_AUTH0_LOGOUT_INCOMPLETE' })
      t.match(String(logout.headers['set-cookie']), /^__Host-auth0=; Max-Age=0/)
      t.equal((await send('/login')).statusCode, 503)
    })
  }
})

async function build (t: Test, options: BuildOptions = {}) {
  const gate = new Gate()
  const built = await buildApp(t, { ...options, routes: app => addRoutes(app, gate) })
  return { ...built, gate, holders, clock: travelInTime(t) }
}

/** Two processes' worth of applications, with one provider. */
async function buildTwo (t: Test, redis: RedisServer | null, { auth0, ...options }: BuildOptions = {}) {
  await redis?.command('FLUSHALL')
  const withMarks = { ...auth0, ...redis && { revocations: { redis: redis.url } } }
  const one = await build(t, { ...options, auth0: withMarks })
  const gate = new Gate()
  const { app: other } = await buildApp(t, { provider: one.provider, auth0: withMarks, routes: app => addRoutes(app, gate) })
  if (redis !== null) for (const host of [one.app, other]) await connected(host)
  return { ...one, other, gate }
}

/** Whose cookie it is, or `null`. */
async function holders (host: FastifyInstance, cookie: string): Promise<string | null> {
  return (await host.inject({ url: '/me', headers: { cookie, 'x-forwarded-proto': 'https' } })).json().user?.name ?? null
}

async function logIn (browser: Browser, user?: { sub: string, name: string }) {
  await browser.login('/login?returnTo=/me', user && { authorize: { user } })
  const { sid } = (await browser.get('/me')).json().user
  return { cookie: `${NAME}=${browser.cookie(NAME)}`, sid: sid as string }
}

function logoutToken (provider: Provider, by: 'sid' | 'sub', sid?: string): string {
  return provider.logoutToken({ claims: by === 'sid' ? { sid, sub: undefined } : {} })
}

function addRoutes (app: FastifyInstance, gate: Gate): void {
  const slow = (url: string, finish: (request: FastifyRequest) => unknown) => app.get(url, async request => {
    const { user } = request.auth0
    await gate.pass(request)
    await finish(request)
    return user
  })
  slow('/slow', () => {})
  slow('/slow-update', ({ auth0 }) => auth0.updateSession({ slow: true }))
}

/** Of @fastify/session's kind, which nobody of us knows. */
function plainStore () {
  const kept = new Map<string, string>()
  return {
    get: (id: string, callback: (error: unknown, session?: unknown) => void) => callback(null, JSON.parse(kept.get(id) ?? 'null')),
    set: (id: string, session: unknown, callback: (error?: unknown) => void) => { kept.set(id, JSON.stringify(session)); callback() },
    destroy: (id: string, callback: (error?: unknown) => void) => { kept.delete(id); callback() }
  }
}
