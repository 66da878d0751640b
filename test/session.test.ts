import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { loginCodec } from '../lib/session/login-codec.ts'
import { createSeal } from '../lib/session/seal.ts'
import type { Login } from '../lib/session/sessions.ts'
import { buildApp, secret } from './helpers/app.ts'

const newSecret = randomBytes(32).toString('hex')
const attributesOf = (header: string) => header.split('; ').slice(1)
const nameOf = (header: string) => header.split('=', 1)[0]!
const logIn = '/login?returnTo=/me'

const cookies: Array<[name: string, options: Auth0Options, cookie: string, attributes: string[]]> = [
  ['__Host-, Secure, HttpOnly, Lax, no Domain on https', {}, '__Host-auth0', ['Max-Age=86400', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']],
  ['Strict by option', { session: { cookie: { sameSite: 'strict' } } }, '__Host-auth0', ['Max-Age=86400', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Strict']],
  ['plain on http', { appBaseUrl: 'http://localhost:3000' }, 'auth0', ['Max-Age=86400', 'Path=/', 'HttpOnly', 'SameSite=Lax']],
  ['a name of one\'s own', { session: { cookie: { name: 'id' } } }, '__Host-id', ['Max-Age=86400', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']],
  ['the whole host though the plugin has a prefix', { prefix: '/app' }, '__Host-auth0', ['Max-Age=86400', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']],
  ['times by option', { session: { idleTimeout: 60, absoluteTimeout: 600 } }, '__Host-auth0', ['Max-Age=60', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']]
]
for (const [name, options, cookie, attributes] of cookies) {
  t.test(`G1 sets the session's cookie: ${name} (RFC 6265bis §4.1.3, ASVS 5.0 3.3.1 to 3.3.4)`, async t => {
    const { browser } = await buildApp(t, { auth0: options })
    const callback = await browser.leave(`${options.prefix ?? ''}/login`)
    const { setCookies } = await browser.comeBack(callback)
    const session = setCookies.filter(header => nameOf(header) === cookie)
    t.same(session.map(attributesOf), [attributes])
    t.ok((await browser.get('/me')).json().isAuthenticated)
  })
}

t.test('keeps a typical login in one cookie of at most 3.6 KB', async t => {
  const { browser } = await buildApp(t)
  await browser.login(logIn)
  t.same(browser.cookieNames(), ['__Host-auth0'])
  t.ok(browser.cookie('__Host-auth0')!.length <= 3600)
})

t.test('G2, G3 keeps a login of 6 KB in several cookies, and expires those that a smaller one leaves over', async t => {
  const { browser, provider } = await buildApp(t)
  const groups = Array.from({ length: 60 }, () => randomBytes(30).toString('hex'))
  await browser.login(logIn, { authorize: { user: { ...provider.user, groups } } })
  const names = browser.cookieNames()
  t.ok(names.length > 1)
  t.match(names, /^__Host-auth0\.\d,/)
  t.same((await browser.get('/me')).json().user.groups, groups)

  await browser.login(logIn)
  t.same(browser.cookieNames(), ['__Host-auth0'])
  t.notOk((await browser.get('/me')).json().user.groups)
})

t.test('G2 a login that does not fit is refused by the names of the largest claims, and the session there was goes on', async t => {
  const { browser, provider, logs } = await buildApp(t)
  await browser.login(logIn)
  const groups = Array.from({ length: 300 }, () => randomBytes(30).toString('hex'))
  const response = await browser.navigate(logIn, { authorize: { user: { ...provider.user, name: 'Grace', groups } } })
  t.equal(response.statusCode, 507)
  t.match(logs.lines.find(({ err }) => err?.code === 'FST_AUTH0_SESSION_TOO_LARGE')?.err?.message, /needs \d+ bytes .* may have 12288 .* Largest: claim groups \(\d+\)/)
  t.equal((await browser.get('/me')).json().user.name, 'Ada Lovelace')
})

t.test('G5 takes whatever was tampered with for no cookie, and clears it with its attributes', async t => {
  const { browser, newBrowser } = await buildApp(t)
  await browser.login(logIn)
  const sealed = browser.cookie('__Host-auth0')!
  const other = newBrowser()
  await other.login(logIn)
  const swapped = sealed.split('.').with(3, other.cookie('__Host-auth0')!.split('.')[3]!).join('.')
  const middle = sealed.length >> 1
  for (const forged of [sealed.slice(0, -4), `${sealed}A`, sealed.slice(0, middle) + (sealed[middle] === 'A' ? 'B' : 'A') + sealed.slice(middle + 1), swapped, 'x', '']) {
    const response = await other.get('/me', { headers: { cookie: `__Host-auth0=${forged}` } })
    t.equal(response.statusCode, 200)
    t.notOk(response.json().isAuthenticated)
    t.same(response.setCookies, ['__Host-auth0=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax'])
    t.equal(response.headers['cache-control'], 'private, no-store', 'a cache must not log others out')
  }
  t.equal((await other.get('/profile', { headers: { cookie: '__Host-auth0=x' } })).statusCode, 302)
  t.equal((await other.fetch('/profile', { headers: { cookie: '__Host-auth0=x' } })).statusCode, 401)
  t.ok((await browser.get('/me')).json().isAuthenticated, 'the cookie itself is good')
})

t.test('G5, G12 opens no cookie under the name of another kind, instance or client (RFC 8725 §3.12)', async t => {
  const { browser } = await buildApp(t)
  const { request } = await browser.leave(logIn)
  const [transaction] = browser.cookieNames('__Host-auth0.login.')
  t.ok(request.has('state') && transaction)
  const asSession = await browser.get('/me', { headers: { cookie: `__Host-auth0=${browser.cookie(transaction!)}` } })
  t.notOk(asSession.json().isAuthenticated, 'a login under way is no session')

  await browser.login(logIn)
  const sealed = browser.cookie('__Host-auth0')!
  const read = async (options: Auth0Options, name = '__Host-auth0') => {
    const { app } = await buildApp(t, { auth0: options, routes: false })
    app.get('/who', async request => (request as unknown as Record<string, { isAuthenticated: boolean }>)[options.name ?? 'auth0']!.isAuthenticated)
    return (await app.inject({ url: '/who', headers: { cookie: `${name}=${sealed}` } })).body
  }
  t.equal(await read({}), 'true', 'another process of the same application opens it')
  t.equal(await read({ name: 'staff' }, '__Host-staff'), 'false', 'another instance')
  t.equal(await read({ clientId: 'another-client' }), 'false', 'another client')
  t.equal(await read({ domain: 'other.example.com' }), 'false', 'another provider')
  t.equal(await read({ secret: newSecret }), 'false', 'another secret')
})

t.test('G10 gives every login an id of 128 random bits', async t => {
  const { browser } = await buildApp(t)
  const seal = createSeal([secret], JSON.stringify(['session 2', 'auth0', 'https://tenant.example.com/', 'client-id']), 259_200, loginCodec)
  const ids = []
  for (let login = 0; login < 20; login++) {
    await browser.login(logIn)
    ids.push((seal.open(browser.cookie('__Host-auth0')!) as Login).id)
  }
  t.equal(new Set(ids).size, 20)
  t.ok(ids.every(id => Buffer.from(id, 'base64url').length === 16))
})

t.test('G11 a new secret logs nobody out: old cookies open, the next write uses the new one, a removed one is anonymous', async t => {
  const { browser } = await buildApp(t)
  await browser.login(logIn)
  const old = browser.cookie('__Host-auth0')!
  const write = (app: FastifyInstance) =>
    app.get('/write', async request => { await request.auth0.updateSession({ seen: true }); return request.auth0.user })

  const rotated = await buildApp(t, { auth0: { secret: [newSecret, secret] }, routes: write })
  const response = await rotated.browser.get('/write', { headers: { cookie: `__Host-auth0=${old}` } })
  t.equal(response.json().sub, 'auth0|ada')
  const { app } = await buildApp(t, { auth0: { secret: newSecret } })
  const ask = async (cookie: string) => (await app.inject({ url: '/me', headers: { cookie } })).json().isAuthenticated
  t.equal(await ask(response.setCookies[0]!.split(';', 1)[0]!), true)
  t.equal(await ask(`__Host-auth0=${old}`), false)
})

t.test('promise 5, B13: a login begins afresh, whatever was planted before it (ASVS 5.0 7.2.4)', async t => {
  const { browser, newBrowser } = await buildApp(t, { routes: app => app.get('/note', async request => request.auth0.updateSession({ note: 'mallory was here' })) })
  const mallory = newBrowser()
  await mallory.login(logIn)
  await mallory.get('/note')
  const planted = mallory.cookie('__Host-auth0')!
  browser.setCookie(`__Host-auth0=${planted}; Path=/; Secure; HttpOnly`)
  await browser.login(logIn)
  const { session } = (await browser.get('/me')).json()
  t.same(session.data, {}, 'nothing carries over')
  t.not(browser.cookie('__Host-auth0'), planted)
  t.notOk((await mallory.get('/me')).json().isAuthenticated, 'and the planted one is dead')
})

t.test('the user is frozen, all the way down, for all requests that share it', async t => {
  const { browser, provider } = await buildApp(t, {
    routes: app => app.get('/change', async ({ auth0: { user, session } }) => {
      const parts = [user, user!.address, session!.data] as Array<Record<string, unknown>>
      return parts.map(part => {
        try { part.city = 'Paris' } catch (error) { return (error as Error).name }
        return 'changed'
      })
    })
  })
  await browser.login(logIn, { authorize: { user: { ...provider.user, address: { city: 'London' } } } })
  for (const which of ['opened', 'from memory']) t.same((await browser.get('/change')).json(), Array(3).fill('TypeError'), which)
  t.equal((await browser.get('/me')).json().user.address.city, 'London')
})

t.test('promise 11: an answer of somebody\'s is private and not stored, unless the application says so (RFC 9111 §5.2.2)', async t => {
  const { browser } = await buildApp(t, {
    routes: app => app.get('/said', async (request, reply) => reply.header('cache-control', 'private, max-age=60').send(request.auth0.user?.sub))
  })
  t.equal((await browser.get('/me')).headers['cache-control'], undefined, 'nobody\'s')
  await browser.login(logIn)
  t.equal((await browser.get('/me')).headers['cache-control'], 'private, no-store')
  t.equal((await browser.get('/profile')).headers['cache-control'], 'private, no-store')
  t.equal((await browser.get('/said')).headers['cache-control'], 'private, max-age=60')
})

t.test('a page that does not ask sets nothing, whatever cookies are sent', async t => {
  const { browser } = await buildApp(t)
  await browser.login(logIn)
  for (const cookie of [browser.cookies.header(new URL('https://app.example.com')), '__Host-auth0=garbage']) {
    const response = await browser.get('/public', { headers: { cookie } })
    t.same(response.setCookies, [])
    t.equal(response.headers['cache-control'], undefined)
  }
})

t.test('an answer that fails on its way sets the cookie once, and what comes later is refused', async t => {
  let isBroken = false
  const { browser } = await buildApp(t, {
    routes: app => {
      app.addHook('onSend', async () => { if (isBroken) { isBroken = false; throw new Error('broken') } })
      app.get('/update', async request => { await request.auth0.updateSession({ n: 1 }); isBroken = true })
    }
  })
  await browser.login(logIn)
  const response = await browser.get('/update')
  t.equal(response.statusCode, 500)
  t.equal(response.setCookies.length, 1)
  t.same((await browser.get('/me')).json().session.data, { n: 1 })
})
