import { setTimeout as delay } from 'node:timers/promises'
import getPort from 'get-port'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp, type Built, type Logs } from './helpers/app.ts'
import type { BrowserResponse } from './helpers/browser.ts'
import { skipWithoutRedis, startRedis, until, type RedisServer } from './helpers/redis.ts'
import { slowProxy, type SlowProxy } from './helpers/slow-proxy.ts'

const PATIENCE = 1000 // milliseconds for what takes 225 where nothing else is going on
const GONE = 'Redis gives no answer: whoever has a session is told to try again'
const BACK = 'Redis is back'
const COOKIE = '__Host-auth0'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** How the application comes to its client. */
const kinds: Record<string, (t: Test, port: number) => Auth0Options> = {
  'a URL': (_t, port) => ({ session: { redis: `redis://127.0.0.1:${port}` } }),
  'a client of the application': (t, port) => {
    const client = new Redis({ host: '127.0.0.1', port })
    t.teardown(() => client.disconnect())
    return { session: { redis: client } }
  },
  'revocations for encrypted cookies': (_t, port) => ({ revocations: { redis: `redis://127.0.0.1:${port}` } })
}
const [aUrl, , revocations] = Object.values(kinds)

/** What happens to Redis, and how it ends. */
interface Fault {
  begin: (server: RedisServer, proxy: SlowProxy) => unknown
  end: (server: RedisServer, proxy: SlowProxy) => unknown
  isThroughProxy?: boolean
  losesData?: boolean
  /** Removes, though it adds nothing. */
  removes?: boolean
}

const faults: Record<string, Fault> = {
  killed: { begin: server => server.kill(), end: server => server.restart(), losesData: true },
  stopped: { begin: server => server.stop(), end: server => server.resume() },
  slow: { begin: (_server, proxy) => { proxy.delay = 5000 }, end: (_server, proxy) => { proxy.delay = 0 }, isThroughProxy: true },
  'half-open': { begin: (_server, proxy) => { proxy.isBlackHole = true }, end: (_server, proxy) => halfOpenNoMore(proxy), isThroughProxy: true }
}

t.test('H6 Redis gives no answer', { skip: skipWithoutRedis }, async t => {
  for (const [kind, connect] of Object.entries(kinds)) {
    for (const [name, fault] of Object.entries(faults)) {
      t.test(`${name}: ${kind}`, async t => {
        const server = await startRedis(t)
        const proxy = await slowProxy(t, server.port)
        const { app, provider, browser, newBrowser, logs } = await build(t, connect(t, fault.isThroughProxy ? proxy.port : server.port))
        const [leaver, beginner, stranger] = [newBrowser(), newBrowser(), newBrowser()]
        await browser.login()
        await leaver.login()
        const leaversCookie = leaver.cookie(COOKIE)
        const callback = await beginner.leave()
        const ownCookie = browser.cookie(COOKIE)

        await fault.begin(server, proxy)
        await unavailable(t, 'guarded page, first', () => browser.get('/profile'))
        t.equal(browser.cookie(COOKIE), ownCookie, 'nobody is logged out')

        // Whoever needs no session
        for (const [who, visitor] of [['without a session', stranger], ['with a session', browser]] as const) {
          await served(t, `public page, visitor ${who}`, () => visitor.get('/public'), 'public')
        }
        await served(t, 'page for anybody, visitor without a session', () => stranger.get('/'), 'Hello stranger')
        t.equal((await stranger.fetch('/profile')).statusCode, 401, 'a visitor without a session is told to log in')

        // Whoever has one
        await unavailable(t, 'guarded page', () => browser.get('/profile'))
        await unavailable(t, 'guarded page, by a script', () => browser.fetch('/profile'))
        await unavailable(t, 'guarded action', () => browser.fetch('/notes', { method: 'POST', json: {} }))
        t.equal((await browser.get('/')).statusCode, 503, 'a page for anybody does not call them a stranger')
        t.equal((await browser.get('/me')).statusCode, 503)
        t.equal(browser.cookie(COOKIE), ownCookie, 'nobody is logged out')

        // Login
        await unavailable(t, 'login', () => stranger.get('/login'))
        await unavailable(t, 'callback', () => beginner.comeBack(callback))
        t.equal(beginner.cookieNames('__Host-auth0.login').length, 1, 'the login goes on later')

        // Logout
        const logout = await unavailable(t, 'logout', () => leaver.post('/logout'), 'FST_AUTH0_LOGOUT_INCOMPLETE')
        t.match(logout.body, /logged out|session/i)
        t.equal(leaver.cookie(COOKIE), null, 'this browser has forgotten the session')

        // Back-channel logout
        const token = new URLSearchParams({ logout_token: provider.logoutToken({ claims: { sub: 'somebody else' } }) }).toString()
        const notify = () => app.inject({ method: 'POST', url: '/backchannel-logout', headers: FORM, payload: token })
        const [notified, took] = await timed(notify)
        t.comment(`back-channel logout: ${took.toFixed(1)} ms`)
        t.equal(notified.statusCode, 503)
        t.match(notified.headers, { 'retry-after': /^\d+$/, 'cache-control': 'no-store' })

        t.same(told(logs), [GONE], 'one line in the log')
        await fault.end(server, proxy)
        await isBack(t, logs)
        t.same(told(logs), [GONE, BACK], 'one more line')

        // As if nothing had happened
        t.equal((await notify()).statusCode, 200, 'the same logout token')
        t.equal((await beginner.comeBack(callback)).statusCode, 303, 'the same callback')
        t.equal((await beginner.get('/profile')).statusCode, 200)
        t.equal((await browser.fetch('/profile')).statusCode, fault.losesData && connect !== revocations ? 401 : 200)
        leaver.setCookie(`${COOKIE}=${leaversCookie}; Path=/; Secure`)
        t.equal((await leaver.fetch('/profile')).statusCode, 401, 'the session that was to end has ended')
        await stranger.login()
        t.equal(told(logs).length, 2)
        t.notMatch(logs.text, /EVALSHA|HGETALL/, 'the log has no commands')
      })
    }
  }
})

t.test('H6 every kind of request is answered in time when it is the first to meet a Redis that hangs', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { app, provider, browser, newBrowser, logs } = await build(t, aUrl!(t, server.port))
  await browser.login()
  const beginner = newBrowser()
  const callback = await beginner.leave()
  const token = new URLSearchParams({ logout_token: provider.logoutToken() }).toString()
  const requests: Record<string, () => Promise<{ statusCode: number }>> = {
    'guarded page': () => browser.get('/profile'),
    'page that asks': () => browser.get('/me'),
    'public page': () => browser.get('/public'),
    login: () => browser.get('/login'),
    callback: () => beginner.comeBack(callback),
    'back-channel logout': () => app.inject({ method: 'POST', url: '/backchannel-logout', headers: FORM, payload: token }),
    logout: () => browser.post('/logout')
  }
  for (const [name, request] of Object.entries(requests)) {
    server.stop()
    const [{ statusCode }, took] = await timed(request)
    t.comment(`${name}: ${statusCode} after ${took.toFixed(1)} ms`)
    t.equal(statusCode, name === 'public page' ? 200 : 503, name)
    t.ok(took < PATIENCE)
    server.resume()
    await isBack(t, logs)
  }
})

t.test('H6 200 requests at once while Redis hangs', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { browser, logs } = await build(t, aUrl!(t, server.port))
  await browser.login()
  server.stop()
  for (const round of ['first', 'second']) {
    const [responses, took] = await timed(() => Promise.all(Array.from({ length: 200 }, () => browser.fetch('/profile'))))
    t.comment(`${round} 200: ${took.toFixed(1)} ms`)
    t.ok(responses.every(({ statusCode }) => statusCode === 503))
    t.ok(took < 3 * PATIENCE)
  }
  server.resume()
  await isBack(t, logs)
  t.equal((await browser.fetch('/profile')).statusCode, 200)
  t.same(told(logs), [GONE, BACK])
})

t.test('H6 a visitor without a session costs no command, and one with a session one', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { browser, newBrowser } = await build(t, aUrl!(t, server.port))
  await browser.login()
  const stranger = newBrowser()
  stranger.setCookie(`${COOKIE}=${'A'.repeat(32)}.forged; Path=/; Secure`)
  t.same(await commands(server, async () => {
    for (const visitor of [newBrowser(), stranger]) for (const page of ['/', '/me', '/public', '/profile']) await visitor.fetch(page)
  }), {})
  t.same(await commands(server, () => browser.fetch('/profile')), { hgetall: 1 })
})

t.test('H6 the application boots without Redis, and recovers by itself', { skip: skipWithoutRedis }, async t => {
  for (const [kind, connect] of Object.entries(kinds)) {
    t.test(kind, async t => {
      const port = await getPort({ host: '127.0.0.1' })
      const [{ app, browser, logs }, took] = await timed(() => buildApp(t, { auth0: connect(t, port) }))
      await app.ready()
      t.comment(`booted in ${took.toFixed(0)} ms`)
      await served(t, 'public page', () => browser.get('/public'), 'public')
      await unavailable(t, 'login', () => browser.get('/login'))
      await startRedis(t, { port })
      await isBack(t, logs)
      await browser.login()
      t.equal((await browser.fetch('/profile')).statusCode, 200)
      t.same(told(logs), [GONE, BACK])
    })
  }
})

const refusals: Record<string, Fault> = {
  'a replica': { begin: server => server.command('REPLICAOF', '127.0.0.1', 1), end: server => server.command('REPLICAOF', 'NO', 'ONE') },
  'too few replicas': { begin: server => server.command('CONFIG', 'SET', 'min-replicas-to-write', 1), end: server => server.command('CONFIG', 'SET', 'min-replicas-to-write', 0) },
  full: { begin: server => server.command('CONFIG', 'SET', 'maxmemory', 1), end: server => server.command('CONFIG', 'SET', 'maxmemory', 0), removes: true },
  'no permission': { begin: server => server.command('ACL', 'SETUSER', 'default', '-@write'), end: server => server.command('ACL', 'SETUSER', 'default', '+@write') }
}
for (const [name, { begin, end, removes = false }] of Object.entries(refusals)) {
  t.test(`H6 Redis refuses to write: ${name}`, { skip: skipWithoutRedis }, async t => {
    const server = await startRedis(t)
    const proxy = await slowProxy(t, server.port)
    const { app, provider, browser, newBrowser } = await build(t, aUrl!(t, server.port))
    const [leaver, beginner, stranger] = [newBrowser(), newBrowser(), newBrowser()]
    await browser.login()
    await leaver.login()
    const callback = await beginner.leave()
    const token = new URLSearchParams({ logout_token: provider.logoutToken({ claims: { sub: 'somebody else' } }) }).toString()
    const notify = () => app.inject({ method: 'POST', url: '/backchannel-logout', headers: FORM, payload: token })

    await begin(server, proxy)
    await served(t, 'public page', () => stranger.get('/public'), 'public')
    t.equal((await browser.fetch('/profile')).statusCode, 200, 'who is logged in stays so')
    await unavailable(t, 'login', () => stranger.get('/login'))
    await unavailable(t, 'callback', () => beginner.comeBack(callback))
    if (removes) t.equal((await leaver.post('/logout')).statusCode, 303)
    else await unavailable(t, 'logout', () => leaver.post('/logout'), 'FST_AUTH0_LOGOUT_INCOMPLETE')
    t.equal(leaver.cookie(COOKIE), null)
    t.equal((await notify()).statusCode, 503)

    await end(server, proxy)
    t.equal((await notify()).statusCode, 200)
    t.equal((await beginner.comeBack(callback)).statusCode, 303, 'the same callback')
    t.equal((await beginner.fetch('/profile')).statusCode, 200)
  })
}

t.test('H6 Redis lost everything', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t)
  const { browser, newBrowser, logs } = await build(t, aUrl!(t, server.port))
  const leaver = newBrowser()
  await browser.login()
  await leaver.login()
  await server.restart()
  await until('Redis is there', () => told(logs).at(-1) !== GONE)
  t.equal((await browser.get('/')).body, 'Hello stranger')
  t.equal((await browser.fetch('/profile')).statusCode, 401)
  t.equal((await leaver.post('/logout')).statusCode, 303)
  await browser.login()
  t.equal((await browser.fetch('/profile')).statusCode, 200)
})

/** An application that is connected: on a busy machine that may take longer than a call. */
async function build (t: Test, auth0: Auth0Options): Promise<Built> {
  const built = await buildApp(t, { auth0 })
  await until('Redis is reached', async () => (await built.newBrowser().get('/login')).statusCode === 302)
  built.logs.lines.length = 0
  return built
}

async function timed<T> (act: () => Promise<T>): Promise<[result: T, milliseconds: number]> {
  const startedAt = performance.now()
  const result = await act()
  return [result, performance.now() - startedAt]
}

/** Asserts that an answer says that it may work in a moment, and comes in time. */
async function unavailable (t: Test, what: string, act: () => Promise<BrowserResponse>, code = 'FST_AUTH0_SESSION_UNAVAILABLE'): Promise<BrowserResponse> {
  const [response, took] = await timed(act)
  t.comment(`${what}: ${response.statusCode} after ${took.toFixed(1)} ms`)
  t.equal(response.statusCode, 503, what)
  t.match(response.body, code, what)
  t.match(response.headers, { 'retry-after': /^\d+$/, 'cache-control': /no-store/ }, what)
  t.notMatch(response.setCookies.join(), /__Host-auth0=[^;]/, 'no session begins')
  t.ok(took < PATIENCE, `${what} in time`)
  return response
}

async function served (t: Test, what: string, act: () => Promise<BrowserResponse>, body: string): Promise<void> {
  const [response, took] = await timed(act)
  t.comment(`${what}: ${response.statusCode} after ${took.toFixed(1)} ms`)
  t.equal(response.statusCode, 200, what)
  t.equal(response.body, body, what)
  t.ok(took < 200, `${what} in milliseconds`)
}

/** What the log says of Redis. */
function told (logs: Logs): string[] {
  return logs.lines.map(({ msg }) => msg ?? '').filter(msg => msg === GONE || msg === BACK)
}

async function isBack (t: Test, logs: Logs): Promise<void> {
  const [, took] = await timed(() => until('Redis is back', () => told(logs).at(-1) !== GONE))
  t.comment(`back after ${took.toFixed(0)} ms`)
}

/** Old connections stay as they are; a client that does not give them up has them cut, as a router does in the end. */
async function halfOpenNoMore (proxy: SlowProxy): Promise<void> {
  proxy.isBlackHole = false
  await delay(1500)
  proxy.cut()
}

/** Which commands an action costs. */
async function commands (server: RedisServer, act: () => Promise<unknown>): Promise<Record<string, number>> {
  await server.command('CONFIG', 'RESETSTAT')
  await act()
  const statistics = String(await server.command('INFO', 'commandstats'))
  const counts = [...statistics.matchAll(/cmdstat_(\w+):calls=(\d+)/g)].map(([, name, count]) => [name, Number(count)] as const)
  return Object.fromEntries(counts.filter(([name]) => name !== 'config' && name !== 'info' && name !== 'hello' && name !== 'client'))
}
