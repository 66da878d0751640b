import cookies from '@fastify/cookie'
import fc from 'fast-check'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import type { AnyReply, AnyRequest } from '../lib/fastify.ts'
import { createCookieSessions } from '../lib/session/cookie-sessions.ts'
import { Successors } from '../lib/session/successors.ts'
import { MemoryRecords } from '../lib/store/memory-records.ts'
import { createSeal } from '../lib/session/seal.ts'
import { buildApp, secret } from './helpers/app.ts'

const NAME = '__Host-auth0'
const ours = /^__Host-auth0(\.\d{1,2}|\.login\.[\w-]+)?$/
const navigation = { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', accept: 'text/html' }
const requests: InjectOptions[] = [
  { url: '/public' },
  { url: '/me' },
  { url: '/update' },
  { url: '/profile', headers: navigation },
  { url: '/profile' },
  { method: 'POST', url: '/notes', headers: { 'sec-fetch-site': 'same-origin' } },
  { method: 'POST', url: '/notes', headers: { 'sec-fetch-site': 'cross-site' } },
  { url: '/login', headers: navigation },
  { url: '/callback?code=c&state=s', headers: navigation },
  { method: 'POST', url: '/logout', headers: { 'sec-fetch-site': 'same-origin' } },
  { url: '/logout', headers: { ...navigation, 'sec-fetch-site': 'cross-site' } }
]

t.test('promise 6: random garbage in names and values of cookies never gives a 5xx, and the application\'s own cookies are left alone (property)', async t => {
  const { app, browser } = await buildApp(t, {
    before: app => app.register(cookies),
    routes: app => {
      app.addHook('preHandler', async (_request, reply) => { reply.setCookie('theme', 'dark', { path: '/' }) })
      app.get('/update', async request => request.auth0.updateSession({ n: 1 }))
    }
  })
  await browser.login('/login?returnTo=/me')
  const sealed = browser.cookie(NAME)!
  const { request } = await browser.leave('/login')
  const [transaction = ''] = browser.cookieNames(`${NAME}.login.`)
  t.ok(request.has('state'))

  const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code)), maxLength: 40 })
  const names = fc.oneof(
    fc.constantFrom(NAME, `${NAME}.0`, `${NAME}.1`, `${NAME}.2`, `${NAME}.99`, `${NAME}.login.`, transaction, 'auth0', 'theme', '__proto__', 'constructor', 'toString', ''),
    latin1.map(end => `${NAME}.login.${end}`),
    latin1.map(end => `${NAME}${end}`),
    latin1
  )
  const parts = fc.constantFrom(...sealed.split('.'), 'AAAA', '__proto__', '')
  const values = fc.oneof(
    fc.constantFrom(sealed, `"${sealed}"`, encodeURIComponent(sealed), browser.cookie(transaction)!, '', '%', '%E0%A4%A', '%00', '{}', 'j:{"a":1}', '....'),
    fc.array(parts, { minLength: 4, maxLength: 6 }).map(list => list.join('.')),
    fc.tuple(fc.constantFrom('AAAAAAAA', '________'), fc.constantFrom('0', '1', '2', '4', '99', '-1', '1e1'), latin1).map(list => list.join('.')),
    latin1,
    fc.constantFrom('x', '.', '=', ' ', '%').map(unit => unit.repeat(9000))
  )
  const header = fc.array(fc.tuple(names, fc.constantFrom('=', '', ' = ', '=='), values, fc.constantFrom('; ', ';', ';;', ', ', '\t;')), { maxLength: 8 })
    .map(list => list.flat().join(''))

  await fc.assert(fc.asyncProperty(header, fc.constantFrom(...requests), async (cookie, request) => {
    const { statusCode, headers } = await app.inject({ ...request, headers: { ...request.headers, cookie, 'x-forwarded-proto': 'https', host: 'app.example.com' } } as InjectOptions)
    if (statusCode >= 500) throw new Error(`${statusCode}`)
    const set = [headers['set-cookie'] ?? []].flat()
    const others = set.filter(header => !ours.test(header.split('=', 1)[0]!))
    if (others.some(header => !header.startsWith('theme=dark;'))) throw new Error(`sets ${others.join()}`)
    if (request.url === '/me' && others.length !== 1) throw new Error('the cookie of the application is lost')
  }), { numRuns: 1500 })
})

t.test('O1 huge headers and many cookies cost no more than reading them', async t => {
  const { app } = await buildApp(t)
  const huge: Record<string, string> = {
    '50 cookies of 8 KB': Array.from({ length: 50 }, (_, index) => `${NAME}.${index}=${'x'.repeat(8192)}`).join('; '),
    'one of 1 MB': `${NAME}=${'.'.repeat(1024 ** 2)}`,
    '100,000 of one name': `${NAME}=x; `.repeat(100_000),
    '100,000 parts': Array.from({ length: 100_000 }, (_, index) => `${NAME}.${index}=AAAAAAAA.4.x`).join('; '),
    '1 MB of spaces': `${' '.repeat(1024 ** 2)}${NAME}=x`,
    '1 MB of what nearly is our name': ` ${NAME}`.repeat(80_000),
    '1 MB of semicolons': ';'.repeat(1024 ** 2)
  }
  for (const [name, cookie] of Object.entries(huge)) {
    const start = process.cpuUsage()
    const { statusCode } = await app.inject({ url: '/me', headers: { cookie } })
    const { user, system } = process.cpuUsage(start)
    t.equal(statusCode, 200, name)
    t.ok(user + system < 1e6, `${name}: ${Math.round((user + system) / 1000)} ms`)
  }
})

t.test('O1 Node refuses headers beyond 16 KiB before we see them, and a session of the greatest size still fits', async t => {
  const { app, browser } = await buildApp(t, { routes: app => app.get('/fill', async request => request.auth0.updateSession({ n: 'x'.repeat(7000) })) })
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal((await fetch(`${address}/me`, { headers: { cookie: `${NAME}=${'x'.repeat(17_000)}` } })).status, 431)
  await browser.login('/login?returnTo=/me')
  t.equal((await browser.get('/fill')).statusCode, 200)
  const cookie = browser.cookies.header(new URL('https://app.example.com'))
  t.ok(cookie.length > 11_000)
  t.match(await (await fetch(`${address}/me`, { headers: { cookie } })).json(), { isAuthenticated: true })
})

t.test('O5 garbage costs one failed opening, what was opened lately none, and nothing where nobody asks', async t => {
  const real = createSeal([secret], 'test', 60)
  let opened = 0
  const seal: typeof real = { ...real, open: sealed => { opened++; return real.open(sealed) } }
  const sessions = createCookieSessions({ name: 'id', maxSize: 4000, attributes: { secure: true, sameSite: 'lax' }, idleTimeout: 60, absoluteTimeout: 60, seal, revocations: null, successors: new Successors(new MemoryRecords(10), null) })
  const ask = (cookie: string, times = 3) => {
    opened = 0
    const session = sessions.open({ headers: { cookie } } as AnyRequest)
    const logins = Array.from({ length: times }, () => session.login)
    session.commit({ header: () => {}, hasHeader: () => true, getHeader: () => 'no-store' } as unknown as AnyReply)
    return { opened, login: logins[0] }
  }
  t.equal(ask('id=garbage').opened, 1)
  t.equal(ask('id.0=AAAAAAAA.2.x; id.1=AAAAAAAA.2.AAAAAAAA').opened, 1)
  t.equal(ask('theme=dark').opened, 0)
  t.equal(ask('id=garbage', 0).opened, 0)
  const now = Math.floor(Date.now() / 1000)
  const sealed = seal.seal({ id: 'a', user: { iss: 'i', sub: 'ada' }, data: {}, createdAt: now, usedAt: now })
  t.match(ask(`id=${sealed}`), { opened: 1, login: { user: { sub: 'ada' } } })
  t.match(ask(`id=${sealed}`), { opened: 0, login: { user: { sub: 'ada' } } })
  const sameTag = sealed.slice(0, -30) + (sealed.at(-30) === 'A' ? 'B' : 'A') + sealed.slice(-29)
  t.equal(sameTag.slice(-22), sealed.slice(-22))
  t.match(ask(`id=${sameTag}`), { opened: 1, login: null }, 'the tag alone is nobody')
})
