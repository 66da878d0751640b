import t, { type Test } from 'tap'
import type { SessionOptions } from '../lib/index.ts'
import { buildApp, type BuildOptions } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { Gate } from './helpers/gates.ts'

const IDLE = 1000
const ABSOLUTE = 5000
const NAME = '__Host-auth0'
const cleared = `${NAME}=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax`

t.test('G8 ends a session after a day without use, and after three days however much it is used (ASVS 5.0 7.1.1)', async t => {
  const { browser, clock } = await logIn(t, {})
  const { session } = (await browser.get('/me')).json()
  t.equal(session.createdAt, clock.now())
  t.equal(session.idleExpiresAt - session.usedAt, 86_400)
  t.equal(session.absoluteExpiresAt - session.createdAt, 259_200)
})

t.test('G7 ends a session that was not used, though the browser ignores Max-Age (ASVS 5.0 7.3.1)', async t => {
  const { ask, clock } = await logIn(t)
  clock.advance(IDLE - 1)
  t.ok((await ask()).isAuthenticated, 'in its last second')
  clock.advance(1)
  t.notOk((await ask()).isAuthenticated)
  t.notOk((await ask()).isAuthenticated, 'though this process had opened it before')
})

t.test('G7 ends a session at its absolute time, however much it is used (ASVS 5.0 7.3.2)', async t => {
  const { browser, ask, clock } = await logIn(t)
  for (let passed = 500; passed < ABSOLUTE; passed += 500) {
    clock.advance(500)
    const response = await browser.get('/me')
    t.ok(response.json().isAuthenticated)
    t.equal(maxAge(response.setCookies), Math.min(IDLE, ABSOLUTE - passed))
  }
  const last = browser.cookie(NAME)!
  clock.advance(499)
  t.ok((await ask(last)).isAuthenticated, 'in its last second')
  t.equal((await ask(last)).session.idleExpiresAt, clock.now() + 1)
  clock.advance(1)
  t.notOk((await ask(last)).isAuthenticated)
})

t.test('G6 a session that is over is anonymous, and its cookie goes', async t => {
  const { app, cookie, clock } = await logIn(t)
  clock.advance(IDLE)
  const expectations: Array<[url: string, headers: Record<string, string>, statusCode: number]> = [
    ['/me', {}, 200],
    ['/', {}, 200],
    ['/profile', { 'sec-fetch-mode': 'navigate' }, 302],
    ['/profile', {}, 401]
  ]
  for (const [url, headers, statusCode] of expectations) {
    const response = await app.inject({ url, headers: { ...headers, cookie } })
    t.equal(response.statusCode, statusCode)
    t.equal(response.headers['set-cookie'], cleared)
    t.match(response.headers['cache-control'], 'no-store')
  }
  t.equal((await app.inject({ url: '/public', headers: { cookie } })).headers['set-cookie'], undefined, 'a page that does not ask')
  const note = await app.inject({ method: 'POST', url: '/notes', headers: { cookie, 'sec-fetch-site': 'same-origin' } })
  t.equal(note.statusCode, 401)
})

t.test('extends a session that is used, once in a tenth of the idle time-out', async t => {
  const { browser, clock } = await logIn(t)
  const start = clock.now()
  clock.advance(99)
  t.same((await browser.get('/me')).setCookies, [], 'not yet')
  clock.advance(1)
  const response = await browser.get('/me')
  t.equal(maxAge(response.setCookies), IDLE)
  t.equal(response.json().session.usedAt, start)
  t.same((await browser.get('/me')).setCookies, [], 'not again')
  t.equal((await browser.get('/me')).json().session.usedAt, start + 100)
  clock.advance(100)
  t.same((await browser.get('/public')).setCookies, [], 'not by a page that does not ask')
})

t.test('G9 extends once for 1,000 parallel requests, and again when the answer was lost', async t => {
  const { app, cookie, clock } = await logIn(t)
  clock.advance(100)
  const ask = async () => (await app.inject({ url: '/me', headers: { cookie } })).headers['set-cookie']
  const answers = await Promise.all(Array.from({ length: 1000 }, ask))
  t.equal(answers.filter(header => header !== undefined).length, 1)
  clock.advance(99)
  t.equal(await ask(), undefined)
  clock.advance(1)
  t.ok(await ask())
})

t.test('extends a session that another process began', async t => {
  const { cookie, clock } = await logIn(t)
  const { app: another } = await buildApp(t, { auth0: { session: { idleTimeout: IDLE, absoluteTimeout: ABSOLUTE } } })
  const extend = async () => [(await another.inject({ url: '/me', headers: { cookie } })).headers['set-cookie'] ?? []].flat()
  t.same(await extend(), [])
  clock.advance(IDLE / 10)
  t.equal(maxAge(await extend()), IDLE)
})

t.test('does not extend where the application lets caches give the answer to others (RFC 9111 §7.3)', async t => {
  const { app, cookie, clock } = await logIn(t, undefined, {
    routes: app => app.get('/say', async (request, reply) => {
      reply.header('cache-control', (request.query as { say: string }).say)
      return request.auth0.isAuthenticated
    })
  })
  const say = (said: string) => app.inject({ url: '/say', query: { say: said }, headers: { cookie } })
  for (const said of ['public, max-age=60', 'max-age=060', 'max-age = 60', 's-maxage=1', 'S-MaxAge="10", max-age=0', 'public, max-age=0', 'stale-while-revalidate=9']) {
    clock.advance(100)
    const response = await say(said)
    t.equal(response.body, 'true')
    t.equal(response.headers['set-cookie'], undefined, said)
    t.equal(response.headers['cache-control'], said)
  }
  for (const said of ['private, max-age=60', 'no-cache', 'max-age=0, must-revalidate', 'no-store']) {
    clock.advance(100)
    t.ok((await say(said)).headers['set-cookie'], said)
  }
  clock.advance(IDLE)
  t.equal((await say('public, max-age=60')).headers['set-cookie'], undefined, 'nor would others be logged out')
})

for (const path of ['/slow', '/slow-update']) {
  t.test(`H4 a session that goes idle while a request runs is not revived by it: ${path} (ASVS 5.0 7.3.1)`, async t => {
    const { app, cookie, clock, gate } = await logIn(t)
    const slow = await gate.hold(headers => app.inject({ url: path, headers: { ...headers, cookie } }))
    clock.advance(IDLE)
    const response = await slow.release()
    t.equal(response.statusCode, 200)
    t.equal(response.headers['set-cookie'], undefined)
    t.equal(response.headers['cache-control'], 'private, no-store')
  })
}

t.test('an extension never overwrites what another request wrote meanwhile', async t => {
  const { app, cookie, clock, gate } = await logIn(t)
  const slow = await gate.hold(headers => app.inject({ url: '/slow', headers: { ...headers, cookie } }))
  clock.advance(300)
  t.ok((await app.inject({ url: '/update', headers: { cookie } })).headers['set-cookie'])
  clock.advance(300)
  t.equal((await slow.release()).headers['set-cookie'], undefined)
})

/** A person logged in, on an application that has slow pages too. */
async function logIn (t: Test, session: SessionOptions = { idleTimeout: IDLE, absoluteTimeout: ABSOLUTE }, options: BuildOptions = {}) {
  const clock = travelInTime(t, { isFrozen: true })
  const gate = new Gate()
  const { app, browser } = await buildApp(t, {
    auth0: { session },
    routes: app => {
      app.get('/slow', async request => { const { user } = request.auth0; await gate.pass(request); return user })
      app.get('/slow-update', async request => { const { user } = request.auth0; await gate.pass(request); await request.auth0.updateSession({ n: 1 }); return user })
      app.get('/update', async request => request.auth0.updateSession({ n: 1 }))
      return options.routes && options.routes(app)
    }
  })
  await browser.login('/login?returnTo=/me')
  const sealed = browser.cookie(NAME)!
  const ask = async (value = sealed) => (await app.inject({ url: '/me', headers: { cookie: `${NAME}=${value}` } })).json()
  return { app, browser, clock, gate, ask, cookie: `${NAME}=${sealed}` }
}

function maxAge (setCookies: string[]): number {
  return Number(/Max-Age=(\d+)/.exec(setCookies[0] ?? '')?.[1])
}
