import { setTimeout as sleep } from 'node:timers/promises'
import { parseSetCookie } from 'cookie'
import t, { type Test } from 'tap'
import type { Auth0Options, LogoutOptions } from '../lib/index.ts'
import { appBaseUrl, buildApp, type BuildOptions, type Built } from './helpers/app.ts'
import type { Browser } from './helpers/browser.ts'
import type { Fault } from './helpers/provider-faults.ts'

// What surrounds a logout: a provider that is down, hooks of the application, its own routes, cookies as they were set.

const long = Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`claim-${n}`, 'x'.repeat(50)]))
const cookies: Array<[name: string, options: Auth0Options, names: string[]]> = [
  ['https', {}, ['__Host-auth0']],
  ['http', { appBaseUrl: 'http://localhost:3000' }, ['auth0']],
  ['strict', { session: { cookie: { sameSite: 'strict' } } }, ['__Host-auth0']],
  ['form_post', { authorizationParams: { response_mode: 'form_post' } }, ['__Host-auth0']],
  ['several cookies', { onLogin: ({ user }) => ({ ...user, ...long }) }, ['__Host-auth0.0', '__Host-auth0.1', '__Host-auth0.2']]
]
for (const [name, auth0, names] of cookies) {
  t.test(`I1 clears cookies with the attributes they were set with: ${name}`, async t => {
    const { browser } = await buildApp(t, { auth0 })
    const set = attributesOf((await browser.comeBack(await browser.leave('/login'))).setCookies, names[0]!.replace('.0', ''))
    const cleared = attributesOf((await browser.post('/logout')).setCookies, '')
    t.same([...cleared.keys()].sort(), names)
    for (const name of names) {
      const { value, maxAge, ...attributes } = cleared.get(name)!
      t.match({ value, maxAge }, { value: '', maxAge: 0 })
      const { value: _value, maxAge: _maxAge, ...wereSet } = set.get(name)!
      t.same(attributes, wereSet)
    }
    t.same(browser.cookieNames(names[0]!.replace('.0', '')), [])
  })
}

t.test('leaves the cookies of others alone', async t => {
  const { browser } = await buildApp(t)
  await browser.login()
  browser.setCookie('theme=dark; Path=/')
  browser.setCookie('__Host-auth0-of-another=1; Path=/; Secure')
  t.same([...attributesOf((await browser.post('/logout')).setCookies, '').keys()], ['__Host-auth0'])
})

t.test('I8 what was shown to somebody is not shown again by the back button: it was not stored (ASVS 14.3)', async t => {
  const { browser } = await buildApp(t)
  t.equal((await browser.login()).headers['cache-control'], 'private, no-store')
  await browser.post('/logout')
  t.equal((await browser.get('/profile')).statusCode, 302)
})

for (const fault of ['503', 'hang', 'connection refused'] as const) {
  t.test(`I6 works while the provider is down: ${fault}`, async t => {
    const { browser, logs } = await withoutProvider(t, fault, { auth0: { httpTimeout: 60 } })
    t.match(await browser.post('/logout', { returnTo: '/bye' }), { statusCode: 303, location: { href: `${appBaseUrl}/bye` } })
    t.ok(await isAnonymous(browser))
    t.same(browser.cookieNames('__Host-auth0'), [])
    t.ok(logs.lines.some(({ level, msg }) => level === 40 && msg === 'logged out here, not at the provider'))
  })
}

for (const method of ['get', 'post'] as const) {
  t.test(`I6 ends the session though ${method.toUpperCase()} takes longer than the application has time`, async t => {
    const { browser, logs } = await withoutProvider(t, 'hang', { auth0: { httpTimeout: 80 }, fastify: { handlerTimeout: 30 } })
    t.equal((await browser[method]('/logout')).statusCode, 503)
    t.ok(await isAnonymous(browser))
    await sleep(80)
    t.notMatch(logs.text, /already sent/i)
  })
}

t.test('onLogout sees who logs out, once', async t => {
  const seen: unknown[] = []
  const { browser } = await buildApp(t, {
    auth0: { onLogout: async ({ user }, request) => { seen.push([user.sub, request.url, Object.isFrozen(user)]) } }
  })
  await browser.login()
  await browser.post('/logout')
  await browser.post('/logout')
  t.same(seen, [['auth0|ada', '/logout', true]])
})

const failures: Array<[name: string, onLogout: () => Promise<void>]> = [
  ['throws', () => { throw new Error('of the application') }],
  ['rejects', async () => { throw new Error('of the application') }]
]
for (const [name, onLogout] of failures) {
  t.test(`an onLogout that ${name} keeps nobody logged in`, async t => {
    const { browser, logs } = await buildApp(t, { auth0: { onLogout } })
    await browser.login()
    t.equal((await browser.post('/logout')).statusCode, 303)
    t.equal((await browser.get('/me')).json().isAuthenticated, false)
    t.match(logs.lines.find(({ msg }) => msg === 'onLogout failed'), { level: 50, err: { message: 'of the application' } })
  })
}

t.test('strict cookies: a link of another site comes without them, and the button with them', async t => {
  const { browser } = await buildApp(t, { auth0: { session: { cookie: { sameSite: 'strict' } } } })
  await browser.login()
  t.equal((await browser.get('/logout', { site: 'cross-site' })).statusCode, 200)
  await browser.submit('/logout')
  t.equal((await browser.get('/me')).json().isAuthenticated, false)
})

t.test('a logout on a host that is not ours still ends the session', async t => {
  const { app, browser } = await buildApp(t, { auth0: { appBaseUrl: [appBaseUrl, 'https://other.example.net'] } })
  await browser.login()
  const response = await browser.get('/logout', { headers: { host: 'evil.example' } })
  t.equal(response.statusCode, 400)
  t.match(response.body, 'FST_AUTH0_HOST_UNKNOWN')
  t.equal((await browser.get('/me')).json().isAuthenticated, false)
  t.equal((await app.inject('/public')).statusCode, 200)
})

t.test('app.auth0.logout, in a route of the application', async t => {
  const build = async (options?: LogoutOptions) => {
    const built = await buildApp(t, {
      auth0: { routes: { logout: false } },
      routes: app => app.route({
        method: ['GET', 'POST'],
        url: '/bye',
        handler: async (request, reply) => {
          const url = await app.auth0.logout(request, reply, options)
          return { url: url.href, user: request.auth0.user }
        }
      })
    })
    await built.browser.login()
    return built
  }

  t.test('ends the session and gives the address', async t => {
    const { browser, provider } = await build({ returnTo: '/public', federated: true })
    const { url, user } = (await browser.fetch('/bye', { method: 'POST' })).json()
    t.equal(provider.logout(url)?.href, `${appBaseUrl}/public`)
    t.equal(provider.logouts[0]?.get('federated'), 'true')
    t.equal(user, null, 'at once')
    t.ok(await isAnonymous(browser))
    t.equal((await browser.get('/logout')).statusCode, 404)
  })

  t.test('M6 takes no returnTo that leads elsewhere', async t => {
    const { browser } = await build({ returnTo: '//evil.example' })
    t.match((await browser.get('/bye')).json().url, 'post_logout_redirect_uri=https%3A%2F%2Fapp.example.com&')
  })

  t.test('I2 ends nothing for an unsafe method of another site', async t => {
    const { browser } = await build()
    t.match((await browser.fetch('/bye', { method: 'POST', site: 'same-site' })).json(), { statusCode: 403, code: 'FST_AUTH0_CROSS_SITE_REQUEST' })
    t.notOk(await isAnonymous(browser))
  })
})

/** Somebody who logged in, and another process of the application, which never reached the provider. */
async function withoutProvider (t: Test, fault: Fault, options: BuildOptions): Promise<Built> {
  const { browser: former } = await buildApp(t)
  await former.login()
  const built = await buildApp(t, options)
  built.provider.failAll(fault)
  built.browser.setCookie(`__Host-auth0=${former.cookie('__Host-auth0')}; Path=/; Secure`)
  t.notOk(await isAnonymous(built.browser))
  return built
}

async function isAnonymous (browser: Browser): Promise<boolean> {
  return (await browser.get('/me')).json().user === null
}

/** Cookies that an answer sets, by name. */
function attributesOf (headers: string[], start: string) {
  const parsed = headers.map(header => parseSetCookie(header, { decode: String }))
  return new Map(parsed.filter(({ name }) => name.startsWith(start)).map(({ name, ...attributes }) => [name, attributes]))
}
