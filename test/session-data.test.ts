import fc from 'fast-check'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'

t.test('updateSession merges fields, replaces what they hold, and removes what is undefined', async t => {
  const { data, update } = await logIn(t)
  t.same(await data(), {})
  await update({ cart: { apples: 1, pears: 2 }, theme: 'dark' })
  t.same(await data(), { cart: { apples: 1, pears: 2 }, theme: 'dark' })
  await update({ cart: { apples: 3 }, language: 'de' })
  t.same(await data(), { cart: { apples: 3 }, theme: 'dark', language: 'de' }, 'the top level is merged, nothing below')
  await update({ theme: undefined, unknown: undefined })
  t.same(await data(), { cart: { apples: 3 }, language: 'de' })
  await update({ cart: null })
  t.same(await data(), { cart: null, language: 'de' }, 'null is a value')
  await update({})
  t.same(await data(), { cart: null, language: 'de' })
})

t.test('a request reads what it wrote, as the next one will, and sets the cookie once', async t => {
  const { run, data } = await logIn(t)
  const response = await run(async ({ auth0 }) => {
    const seen = []
    await auth0.updateSession({ when: new Date(0), gone: undefined, list: [undefined] })
    seen.push(auth0.session!.data)
    await auth0.updateSession({ more: 1 })
    seen.push(auth0.session!.data)
    return seen
  })
  const written = { when: '1970-01-01T00:00:00.000Z', list: [null] }
  t.same(response.json(), [written, { ...written, more: 1 }])
  t.equal(response.setCookies.length, 1)
  t.equal(response.headers['cache-control'], 'private, no-store')
  t.same(await data(), { ...written, more: 1 })
})

t.test('keeps any JSON (property)', async t => {
  const { update, data, forget } = await logIn(t)
  const fields = fc.dictionary(fc.string().filter(name => name !== '__proto__'), fc.jsonValue({ depthSize: 'small', noUnicodeString: false }))
  const canonical = (value: unknown) => JSON.stringify(value, (name, member) => name === '__proto__' ? undefined : member)
  await fc.assert(fc.asyncProperty(fields, async value => {
    await forget()
    await update(value)
    t.equal(canonical(await data()), canonical(value))
  }), { numRuns: 50 })
})

const cycle: Record<string, unknown> = {}
cycle.self = { cycle }
const deep = Array.from({ length: 4600 }).reduce(inner => [inner], 1)
const noJson: Record<string, unknown> = {
  null: null,
  nothing: undefined,
  text: 'theme=dark',
  'a number': 7,
  'an array': [1],
  'a map': new Map([['theme', 'dark']]),
  'a date': new Date(),
  'a promise': Promise.resolve({ theme: 'dark' }),
  'a function': () => ({}),
  'a function inside': { theme () {} },
  'a symbol inside': { theme: Symbol('dark') },
  'a BigInt inside': { id: 1n },
  'NaN deep inside': { list: [{ sum: NaN }] },
  'infinity inside': { sum: -Infinity },
  'a cycle': cycle,
  'nesting beyond the stack': { deep }
}
for (const [name, value] of Object.entries(noJson)) {
  t.test(`refuses what is no JSON object: ${name}`, async t => {
    const { run, update, data } = await logIn(t)
    await update({ theme: 'light' })
    const response = await run(async ({ auth0 }) => {
      const code = await auth0.updateSession(value as Record<string, unknown>).catch(error => error.code)
      return { code, data: auth0.session!.data }
    })
    t.same(response.json(), { code: 'FST_AUTH0_SESSION_DATA_INVALID', data: { theme: 'light' } })
    t.same(response.setCookies, [])
    t.same(await data(), { theme: 'light' }, 'nothing is lost')
  })
}

for (const [name, claim] of Object.entries({ 'a BigInt': 1n, 'a cycle': cycle, 'nesting beyond the stack': deep })) {
  t.test(`a login with a claim of the application's that is no JSON is refused, and the session there was goes on: ${name}`, async t => {
    let extra: unknown = 'fine'
    const { browser, user } = await logIn(t, { onLogin: ({ user }) => ({ ...user, extra }) })
    extra = claim
    const response = await browser.navigate('/login?returnTo=/me', { headers: { accept: 'application/json', 'sec-fetch-mode': 'cors' } })
    t.same([response.statusCode, response.json().code], [500, 'FST_AUTH0_SESSION_DATA_INVALID'])
    t.equal((await user()).extra, 'fine')
  })
}

t.test('H13 keeps no member named __proto__, wherever it comes from', async t => {
  const poisoned = JSON.parse('{ "__proto__": { "admin": true }, "list": [{ "__proto__": { "admin": true }, "n": 1 }], "constructor": { "prototype": { "admin": true } } }')
  const { run, data, user } = await logIn(t, { onLogin: ({ user }) => ({ ...user, meta: poisoned }) })
  const response = await run(async ({ auth0 }) => {
    await auth0.updateSession(poisoned)
    const copy = Object.assign({}, auth0.session!.data)
    return { admin: (copy as { admin?: boolean }).admin === undefined && ({} as { admin?: boolean }).admin === undefined }
  })
  t.same(response.json(), { admin: true })
  const kept = { list: [{ n: 1 }], constructor: { prototype: { admin: true } } }
  t.same(await data(), kept)
  t.same((await user()).meta, kept)
  t.notMatch(JSON.stringify([await data(), await user()]), '__proto__')
})

t.test('refuses data that does not fit, by the names of the largest, and keeps what was there', async t => {
  const { run, data, update } = await logIn(t)
  await update({ theme: 'dark' })
  const response = await run(async ({ auth0 }) => {
    const { code, statusCode, message } = await auth0.updateSession({ cart: 'ü'.repeat(5000), small: 1 }).catch(error => error)
    await auth0.updateSession({ theme: 'light' })
    return { code, statusCode, message }
  })
  const { code, statusCode, message } = response.json()
  t.same([code, statusCode], ['FST_AUTH0_SESSION_TOO_LARGE', 507])
  t.match(message, /needs 1\d{4} bytes of cookies and may have 12288 .* Largest: session data cart \(10002\), the ID token \(\d+\), the access token /)
  t.same(await data(), { theme: 'light' }, 'a smaller one still works in the same request')
})

t.test('a limit of one\'s own holds', async t => {
  const { run, data } = await logIn(t, { session: { cookie: { maxSize: 3000 } } })
  const fits = async (size: number) => (await run(async ({ auth0 }) => auth0.updateSession({ n: 'x'.repeat(size) }).then(() => true, error => error.code))).body
  t.equal(await fits(100), 'true')
  t.equal(await fits(3000), 'FST_AUTH0_SESSION_TOO_LARGE')
  t.same(await data(), { n: 'x'.repeat(100) })
})

t.test('refuses to write for nobody, across sites, and once the answer is written', async t => {
  const { run, browser, late } = await logIn(t)
  const codeOf = async ({ auth0 }: FastifyRequest) => auth0.updateSession({ n: 1 }).then(() => 'written', error => error.code)
  t.equal((await run(codeOf, { headers: { cookie: '' } })).body, 'FST_AUTH0_LOGIN_REQUIRED')
  t.equal((await run(codeOf, { method: 'POST', site: 'cross-site', headers: { cookie: `__Host-auth0=${browser.cookie('__Host-auth0')}` } })).body, 'FST_AUTH0_CROSS_SITE_REQUEST')
  t.equal((await run(codeOf, { method: 'POST' })).body, 'written')

  const response = await run(async ({ auth0 }) => auth0.user)
  t.equal(response.json().sub, 'auth0|ada')
  t.equal(await late('/run', async ({ auth0 }) => auth0.updateSession({ n: 2 })), 'FST_AUTH0_SESSION_WRITTEN')
  t.equal(await late('/run', async (request, app) => app.auth0.logout(request, undefined as never)), 'FST_AUTH0_SESSION_WRITTEN')
  t.equal(await late('/public', async ({ auth0 }) => auth0.updateSession({ n: 3 })), 'FST_AUTH0_SESSION_WRITTEN', 'nor when nobody had asked')
  t.ok((await browser.get('/me')).json().isAuthenticated)
})

type Act = (request: FastifyRequest, app: FastifyInstance) => unknown

/** A person logged in, on an application whose route does what a test says. */
async function logIn (t: Test, options: Auth0Options = {}) {
  let act: Act = () => null
  let afterwards: ((request: FastifyRequest) => Promise<void>) | null = null
  const { app, browser } = await buildApp(t, {
    auth0: options,
    routes: app => {
      app.route({ method: ['GET', 'POST'], url: '/run', handler: async request => await act(request, app) ?? null })
      app.addHook('onResponse', async request => afterwards?.(request))
    }
  })
  await browser.login('/login?returnTo=/me')
  const run = (next: Act, request: Parameters<typeof browser.fetch>[1] = {}) => {
    act = next
    return browser.fetch('/run', request)
  }
  /** What an act after the answer says: the code of its error. */
  const late = (url: string, next: Act) => new Promise<string>((resolve, reject) => {
    act = ({ auth0 }) => auth0.user
    afterwards = async request => {
      afterwards = null
      await Promise.resolve(next(request, app)).then(() => resolve('done'), error => resolve(error.code))
    }
    browser.fetch(url).catch(reject)
  })
  return {
    browser,
    run,
    late,
    update: (data: Record<string, unknown>) => run(({ auth0 }) => auth0.updateSession(data)),
    data: async () => (await browser.get('/me')).json().session.data,
    user: async () => (await browser.get('/me')).json().user,
    forget: () => run(({ auth0 }) => auth0.updateSession(Object.fromEntries(Object.keys(auth0.session!.data).map(name => [name, undefined]))))
  }
}
