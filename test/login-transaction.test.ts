import t, { type Test } from 'tap'
import { transactionId } from '../lib/login-transaction.ts'
import { buildApp, secret, type BuildOptions, type Built } from './helpers/app.ts'
import type { BrowserResponse } from './helpers/browser.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Callback } from './helpers/provider.ts'

const PREFIX = '__Host-auth0.login.'
const YEAR = '; Path=/; Secure; Max-Age=31536000'
const logins = ({ browser }: Built) => browser.cookieNames(PREFIX)
const nameOf = (callback: Callback) => PREFIX + transactionId(callback.request.get('state')!)

async function begin (built: Built, count: number, address = (tab: number) => `/login?returnTo=/tab-${tab}`): Promise<Callback[]> {
  const callbacks: Callback[] = []
  for (let tab = 0; tab < count; tab++) callbacks.push(await built.browser.leave(address(tab)))
  return callbacks
}

const orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [3, 4, 0, 2, 1]]
for (const order of orders) {
  t.test(`A5 five tabs come back in the order ${order}, each to its own page (promise 7)`, async t => {
    const built = await buildApp(t)
    const callbacks = await begin(built, 5)
    for (const tab of order) {
      t.match(await built.browser.comeBack(callbacks[tab]!), { statusCode: 303, location: { pathname: `/tab-${tab}` } })
    }
    t.same(logins(built), [], 'and nothing is left')
  })
}

for (const pause of [0, 10]) {
  t.test(`A5 keeps five, and drops the oldest, when they begin ${pause} seconds apart (promise 7)`, async t => {
    const clock = travelInTime(t)
    const built = await buildApp(t)
    const callbacks: Callback[] = []
    for (let tab = 0; tab < 8; tab++) {
      callbacks.push(...await begin(built, 1))
      clock.advance(pause)
      t.ok(logins(built).length <= 5)
    }
    for (const dropped of callbacks.slice(0, 3)) await isRefused(t, built, built.browser.comeBack(dropped))
    for (const kept of callbacks.slice(3)) t.equal((await built.browser.comeBack(kept)).statusCode, 303)
  })
}

t.test('A5 all together stay small, however long their pages\' addresses are, and the latest works', async t => {
  const built = await buildApp(t)
  const callbacks = await begin(built, 6, tab => `/login?returnTo=/${String(tab).repeat(2000)}`)
  const bytes = logins(built).map(name => built.browser.cookie(name)!.length).reduce((sum, length) => sum + length, 0)
  t.ok(bytes <= 4096, `${bytes} bytes`)
  t.match(await built.browser.comeBack(callbacks.at(-1)!), { statusCode: 303, location: { pathname: `/${'5'.repeat(2000)}` } })
})

t.test('A4 ends after 15 minutes by our clock, whatever the browser keeps', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const built = await buildApp(t)
  const { browser, provider } = built
  const early = await browser.get('/login')
  const late = await browser.get('/login')
  for (const name of logins(built)) browser.setCookie(`${name}=${browser.cookie(name)}${YEAR}`)
  clock.advance(899)
  t.equal((await browser.comeBack(provider.authorize(early.location!))).statusCode, 303)
  clock.advance(2)
  await isRefused(t, built, browser.comeBack(provider.authorize(late.location!)), 1)
  await browser.get('/login')
  t.equal(logins(built).length, 1, 'and goes when the next login begins')
})

t.test('A4 is sealed: nothing of the login can be read, and no bit changed', async t => {
  const built = await buildApp(t)
  const [callback] = await begin(built, 1) as [Callback]
  const value = built.browser.cookie(nameOf(callback))!
  const readable = value.split('.').map(part => Buffer.from(part, 'base64url').toString('latin1')).join() + value
  for (const known of [...built.provider.secrets, 'tab-0', 'openid', 'callback']) t.notMatch(readable, known)
  const replace = (at: number) => value.slice(0, at) + (value[at] === 'A' ? 'B' : 'A') + value.slice(at + 1)
  const positions = Array.from({ length: 60 }, (_, index) => Math.floor(index * value.length / 60))
  for (const at of positions) {
    built.browser.setCookie(`${nameOf(callback)}=${replace(at)}${YEAR}`)
    await isRefused(t, built, built.browser.comeBack(callback))
  }
})

const others: Array<[name: string, options: BuildOptions]> = [
  ['another instance', { auth0: { name: 'staff', session: { cookie: { name: 'auth0' } } }, routes: false }],
  ['another client', { provider: { clientId: 'another-client' } }],
  ['another provider', { provider: { issuer: 'https://another.example.com/' } }],
  ['another secret', { auth0: { secret: secret.replaceAll('5', '6') } }]
]
for (const [name, options] of others) {
  t.test(`does not open that of ${name} with the same cookie name`, async t => {
    const built = await buildApp(t)
    const other = await buildApp(t, options)
    const [callback] = await begin(other, 1) as [Callback]
    built.browser.setCookie(`${nameOf(callback)}=${other.browser.cookie(nameOf(callback))}${YEAR}`)
    const address = new URL(callback.url.search, 'https://app.example.com/callback')
    await isRefused(t, built, built.browser.get(address))
  })
}

t.test('opens with a secret that was rotated', async t => {
  const built = await buildApp(t)
  const [callback] = await begin(built, 1) as [Callback]
  const rotated = await buildApp(t, { provider: built.provider, auth0: { secret: [secret.replaceAll('5', '6'), secret] } })
  rotated.browser.setCookie(`${nameOf(callback)}=${built.browser.cookie(nameOf(callback))}${YEAR}`)
  t.equal((await rotated.browser.comeBack(callback)).statusCode, 303)
})

t.test('is no session, and a session is no transaction', async t => {
  const built = await buildApp(t)
  const [callback] = await begin(built, 1) as [Callback]
  const transaction = built.browser.cookie(nameOf(callback))!
  t.equal((await built.browser.get('/', { headers: { cookie: `__Host-auth0=${transaction}` } })).body, 'Hello stranger')
  await built.browser.login()
  const cookie = `${nameOf(callback)}=${built.browser.cookie('__Host-auth0')}`
  await isRefused(t, built, built.browser.comeBack(callback, { headers: { cookie } }), 1)
})

t.test('is found by its own state only', async t => {
  const built = await buildApp(t)
  const [one, two] = await begin(built, 2) as [Callback, Callback]
  const value = built.browser.cookie(nameOf(two))
  await isRefused(t, built, built.browser.comeBack(one, { headers: { cookie: `${nameOf(one)}=${value}` } }))
})

const planted: Array<[name: string, header: (name: string, value: string) => string]> = [
  ['twice', (name, value) => `${name}=${value}; ${name}=${value}`],
  ['in the value of another cookie', (name, value) => `theme=dark ${name}=${value}`],
  ['at the end of another name', (name, value) => `x${name}=${value}`],
  ['as a name only', name => name],
  ['in quotes', (name, value) => `${name}="${value}"`],
  ['percent-encoded', (name, value) => `${name}=${value.replaceAll('.', '%2E')}`]
]
for (const [name, header] of planted) {
  t.test(`is not taken when it is there ${name}`, async t => {
    const built = await buildApp(t)
    const [callback] = await begin(built, 1) as [Callback]
    const cookie = header(nameOf(callback), built.browser.cookie(nameOf(callback))!)
    await isRefused(t, built, built.browser.comeBack(callback, { headers: { cookie } }))
  })
}

t.test('is found among other cookies, with or without spaces', async t => {
  for (const join of [';', '; ', ' ;\t']) {
    const built = await buildApp(t)
    const [callback] = await begin(built, 1) as [Callback]
    const cookie = ['a=b', `${nameOf(callback)}=${built.browser.cookie(nameOf(callback))}`, 'c', 'd='].join(join)
    t.equal((await built.browser.comeBack(callback, { headers: { cookie } })).statusCode, 303, JSON.stringify(join))
  }
})

const garbage = [
  `${PREFIX}\u00fc=1`, `${PREFIX} x=1`, `${PREFIX}\u0001=1`, `${PREFIX}=1`, `${PREFIX}__proto__=1`, `${PREFIX}AAAAAAAAAAAAAAAA=1`, `${PREFIX}AAAAAAAAAAAAAAAA`,
  `${PREFIX}AAAAAAAAAAAAAAAA=....`, `${PREFIX}AAAAAAAAAAAAAAAA=1; ${PREFIX}AAAAAAAAAAAAAAAA=2`, `${PREFIX}AAAAAAAAAAAAAAAA=\u00ff\u00fe`, `${PREFIX}AAAAAAAAAAAAAAAA=${'x'.repeat(10_000)}`, '=;=;;;', `${PREFIX}`.repeat(500)
]
for (const cookie of garbage) {
  t.test(`a login begins, and a callback is refused, with the cookie ${JSON.stringify(cookie.slice(0, 60))} (promise 6)`, async t => {
    const built = await buildApp(t)
    const login = await built.browser.get('/login', { headers: { cookie } })
    t.equal(login.statusCode, 302)
    t.ok(login.setCookies.every(header => /^__Host-auth0\.login\.[\w-]{16}=/.test(header)))
    await isRefused(t, built, built.browser.get('/callback?code=c&state=s', { headers: { cookie } }))
  })
}

t.test('a name without a value is no cookie', async t => {
  const { browser } = await buildApp(t)
  t.equal((await browser.get('/login', { headers: { cookie: `${PREFIX}${'A'.repeat(17)}; a=b` } })).setCookies.length, 1)
})

t.test('garbage under a name like ours goes when a login begins, and takes no place of a good one', async t => {
  const built = await buildApp(t)
  const callbacks = await begin(built, 4)
  for (let index = 0; index < 8; index++) built.browser.setCookie(`${PREFIX}garbage-garbage${index}=x${YEAR}`)
  callbacks.push(...await begin(built, 1))
  t.same(logins(built), callbacks.map(nameOf).sort())
  for (const callback of callbacks) t.equal((await built.browser.comeBack(callback)).statusCode, 303)
})

/** 400 with a way on, and nothing happened: no token request, no session. */
async function isRefused (t: Test, { browser, provider }: Built, response: Promise<BrowserResponse>, tokenCalls = 0): Promise<void> {
  const { statusCode, body } = await response
  t.equal(statusCode, 400)
  t.match(body, 'FST_AUTH0_LOGIN_EXPIRED')
  t.match(body, 'href="/login"')
  t.equal(provider.callsTo('token').length, tokenCalls)
  t.equal(browser.cookie('__Host-auth0') !== null, tokenCalls > 0)
}
