import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Auth0Options, RequireAuthOptions } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Json } from './helpers/id-tokens.ts'

// "Log in again to see this": OpenID Connect Core 1.0 §3.1.2.1, §3.1.3.7 (12), (13); RFC 9470.

t.test('A12 asks for max_age when a login is too old, and lets in who logs in again', async t => {
  const { browser, provider, clock } = await vault(t, { maxAge: 300 })
  await browser.login('/vault')
  t.equal(provider.authorizations[0]?.get('max_age'), '300', 'from the first login on')
  clock.advance(300)
  t.equal((await browser.get('/vault')).body, 'secret')
  clock.advance(31)
  const refused = await browser.get('/vault?door=2')
  t.match(refused, { statusCode: 302, location: { pathname: '/login', search: '?returnTo=%2Fvault%3Fdoor%3D2&max_age=300' } })
  t.match((await browser.fetch('/vault')).json(), { statusCode: 401, code: 'FST_AUTH0_STEP_UP_REQUIRED' })
  t.equal((await browser.get('/me')).json().isAuthenticated, true, 'who remains logged in for all else')
  const again = await browser.login('/vault?door=2')
  t.match(again, { body: 'secret', url: { search: '?door=2' } })
  t.equal(provider.authorizations.length, 2)
})

t.test('C14 asks for acr_values when a login is of another class, and lets in who logs in again', async t => {
  const { browser, provider } = await vault(t, { acr: ['gold', 'platinum'] })
  await browser.login('/profile')
  t.match(await browser.get('/vault'), { statusCode: 302, location: { search: '?returnTo=%2Fvault&acr_values=gold+platinum' } })
  t.match((await browser.fetch('/vault')).json(), { statusCode: 401, code: 'FST_AUTH0_STEP_UP_REQUIRED' })
  t.equal((await browser.login('/vault')).body, 'secret')
  t.equal(provider.authorizations.at(-1)?.get('acr_values'), 'gold platinum')
  t.same((await browser.get('/vault')).statusCode, 200)
})

t.test('a login without a step-up is enough where its claims are', async t => {
  const { browser, provider, clock } = await vault(t, { maxAge: 60, acr: 'gold' })
  provider.forge('idToken', { claims: { auth_time: clock.now(), acr: 'gold' } })
  await browser.login('/profile')
  t.equal((await browser.get('/vault')).body, 'secret')
})

const refusals: Array<[name: string, demand: RequireAuthOptions, claims: (now: number) => Json, at: '/callback' | '/vault']> = [
  ['C14 a provider that ignores acr_values', { acr: 'gold' }, () => ({ acr: undefined }), '/vault'],
  ['C14 a provider that gives another acr', { acr: 'gold' }, () => ({ acr: 'silver' }), '/vault'],
  ['C14 an acr that is a list', { acr: 'gold' }, () => ({ acr: ['gold'] }), '/vault'],
  ['C14 an acr that only begins alike', { acr: 'gold' }, () => ({ acr: 'gold+' }), '/vault'],
  ['C13 a provider that ignores max_age', { maxAge: 60 }, () => ({ auth_time: undefined }), '/callback'],
  ['C13 a provider that keeps its old session', { maxAge: 60 }, now => ({ auth_time: now - 3600 }), '/callback'],
  ['C13 a provider that ignores max_age=0', { maxAge: 0 }, now => ({ auth_time: now - 60 }), '/callback']
]
for (const [name, demand, claims, at] of refusals) {
  t.test(`refuses, and does not loop with, ${name}`, async t => {
    const { browser, provider, clock, ran } = await vault(t, demand)
    provider.forge('idToken', { claims: claims(clock.now()) })
    const response = await browser.navigate('/vault')
    t.match(response, { statusCode: 403, url: { pathname: at } })
    t.match(response.body, 'FST_AUTH0_STEP_UP_FAILED')
    t.equal(provider.authorizations.length, 1)
    t.match(response.body, /href="\/login\?returnTo=%2Fvault/, 'with a way on')
    t.equal(ran.length, 0)
  })
}

t.test('C14 tells a script whose login was refused to ask no more, and for how long', async t => {
  const { browser, provider, clock } = await vault(t, { acr: 'gold' })
  provider.forge('idToken', { claims: { acr: undefined } })
  await browser.navigate('/vault')
  t.match((await browser.fetch('/vault')).json(), { statusCode: 403, code: 'FST_AUTH0_STEP_UP_FAILED' })
  clock.advance(61)
  t.match((await browser.fetch('/vault')).json(), { statusCode: 401, code: 'FST_AUTH0_STEP_UP_REQUIRED' })
  provider.heal()
  t.equal((await browser.login('/vault')).body, 'secret')
})

t.test('a login that took longer than maxAge, of a minute or more, is too old', async t => {
  const { browser, clock } = await vault(t, { maxAge: 100 })
  const callback = await browser.leave('/login?returnTo=/vault&max_age=100')
  clock.advance(131)
  await browser.comeBack(callback)
  t.equal((await browser.get('/vault')).statusCode, 302)
  t.equal((await browser.login('/vault')).body, 'secret')
})

t.test('an onLogin that takes auth_time away asks nobody for ever', async t => {
  const { browser, clock } = await vault(t, { maxAge: 100 }, { onLogin: ({ user }) => { delete user.auth_time } })
  t.equal((await browser.login('/vault')).body, 'secret')
  clock.advance(131)
  t.equal((await browser.get('/vault')).statusCode, 302)
})

for (const maxAge of [0, 1, 29]) {
  t.test(`maxAge: ${maxAge} asks once, then counts for a minute, however long the login took`, async t => {
    const { browser, provider, clock } = await vault(t, { maxAge })
    await browser.login('/profile')
    clock.advance(100)
    const callback = await browser.leave(String((await browser.get('/vault')).location))
    clock.advance(200)
    await browser.comeBack(callback)
    t.equal((await browser.get('/vault')).body, 'secret')
    clock.advance(60)
    t.equal((await browser.get('/vault')).body, 'secret')
    clock.advance(1)
    t.equal((await browser.get('/vault')).statusCode, 302)
    t.equal(provider.authorizations.length, 2)
  })
}

const skews: Array<[name: string, skew: number, isAdmitted: boolean]> = [
  ['a provider whose clock is late', -25, true],
  ['a provider whose clock is early', 25, true],
  ['a provider whose clock is so late that it proves nothing', -90, false]
]
for (const [name, skew, isAdmitted] of skews) {
  t.test(`clock skew: ${name}`, async t => {
    const { browser, provider, clock } = await vault(t, { maxAge: 10 })
    provider.forge('idToken', { claims: { auth_time: clock.now() + skew } })
    t.equal((await browser.navigate('/vault')).statusCode, isAdmitted ? 200 : 403)
    t.equal(provider.authorizations.length, 1)
  })
}

const authTimes: Array<[name: string, authTime: (now: number) => unknown]> = [
  ['missing', () => undefined],
  ['in milliseconds', now => now * 1000],
  ['text', now => String(now)],
  ['in an hour', now => now + 3600]
]
for (const [name, authTime] of authTimes) {
  t.test(`an auth_time that is ${name} is not fresh`, async t => {
    const { browser, clock } = await vault(t, { maxAge: 60 }, { onLogin: ({ user }) => ({ ...user, auth_time: authTime(clock.now()) as number }) })
    await browser.login('/profile')
    t.equal((await browser.get('/vault')).statusCode, 302)
  })
}

t.test('who strips the parameters from the address gains nothing', async t => {
  t.test('of our login route', async t => {
    const { browser, ran } = await vault(t, { maxAge: 60, acr: 'gold' })
    await browser.login('/profile')
    await browser.comeBack(await browser.leave('/login?returnTo=/vault'))
    t.equal((await browser.get('/vault')).statusCode, 302)
    t.equal((await browser.fetch('/vault')).statusCode, 401)
    t.equal(ran.length, 0)
  })

  t.test('or puts others into it', async t => {
    const { browser, ran } = await vault(t, { maxAge: 60, acr: 'gold' })
    const response = await browser.navigate('/login?returnTo=/vault&max_age=999999999&acr_values=bronze')
    t.equal(response.statusCode, 403)
    t.equal(ran.length, 0)
    const [, wayOn = ''] = /href="(\/login[^"]*)"/.exec(response.body) ?? []
    t.equal((await browser.login(wayOn.replaceAll('&amp;', '&'))).body, 'secret')
  })

  t.test('of the authorization request: C13, what was asked for is remembered', async t => {
    const { browser, provider } = await vault(t, { maxAge: 60, acr: 'gold' })
    const { location } = await browser.get(String((await browser.get('/vault')).location))
    for (const name of ['max_age', 'acr_values']) location?.searchParams.delete(name)
    const response = await browser.comeBack(provider.authorize(location!))
    t.equal(response.statusCode, 403)
    t.match(response.body, 'FST_AUTH0_STEP_UP_FAILED')
    t.equal((await browser.get('/me')).json().isAuthenticated, false)
  })
})

t.test('a form with a login that is too old gets a page that says so, with a link that asks for a fresh one (N15)', async t => {
  const { browser, clock, app } = await vault(t, { maxAge: 60, acr: 'gold' })
  app.addContentTypeParser('application/x-www-form-urlencoded', async () => ({}))
  await browser.login('/vault')
  clock.advance(3600)
  const response = await browser.post('/vault')
  t.equal(response.statusCode, 401)
  t.match(response.body, 'FST_AUTH0_STEP_UP_REQUIRED')
  t.match(response.body, 'href="/login?max_age=60&amp;acr_values=gold"')
})

/** Guards of a context and of a page in it, and whether anybody can satisfy both. */
const pairs: Array<[name: string, ofContext: RequireAuthOptions, ofPage: RequireAuthOptions, isPossible: boolean]> = [
  ['a class on a page, an age on its context', { maxAge: 60 }, { acr: 'gold' }, true],
  ['an age on a page, a class on its context', { acr: 'gold' }, { maxAge: 60 }, true],
  ['a smaller age on a page', { maxAge: 3600 }, { maxAge: 60 }, true],
  ['a smaller age on the context', { maxAge: 60 }, { maxAge: 3600 }, true],
  ['a narrower class on a page', { acr: ['silver', 'gold'] }, { acr: 'gold' }, true],
  ['classes that overlap', { acr: ['bronze', 'silver'] }, { acr: ['silver', 'gold'] }, true],
  ['class and age, twice', { acr: ['silver', 'gold'], maxAge: 0 }, { acr: 'gold', maxAge: 60 }, true],
  ['classes that exclude each other', { acr: 'silver' }, { acr: 'gold' }, false],
  ['nothing but a login on the context', {}, { acr: 'gold', maxAge: 60 }, true]
]
for (const [name, ofContext, ofPage, isPossible] of pairs) {
  t.test(`two guards never send each other in circles: ${name}`, async t => {
    const { browser, provider } = await buildApp(t, {
      routes: app => app.register(async inner => {
        inner.addHook('onRequest', app.requireAuth(ofContext))
        inner.get('/both', { onRequest: app.requireAuth(ofPage) }, async () => 'secret')
      })
    })
    const response = await browser.navigate('/both')
    t.equal(response.statusCode, isPossible ? 200 : 403)
    t.ok(provider.authorizations.length <= 2)
  })
}

t.test("two guards never send each other in circles: an age that the provider's own session is too old for, and one that it is not", async t => {
  const { app, browser, provider, clock } = await vault(t, { maxAge: 3600 })
  app.get('/vault/inner', { onRequest: [app.requireAuth({ maxAge: 3600 }), app.requireAuth({ maxAge: 60 })] }, async () => 'secret')
  provider.forgeNext('idToken', { claims: { auth_time: clock.now() - 200 } })
  t.equal((await browser.login('/vault/inner')).body, 'secret')
  t.same(provider.authorizations.map(request => request.get('max_age')), ['3600', '60'])
})

t.test('two pages with classes that exclude each other each ask for their own', async t => {
  const { browser, provider } = await buildApp(t, {
    routes: app => { for (const acr of ['silver', 'gold']) app.get(`/${acr}`, { onRequest: app.requireAuth({ acr }) }, async () => acr) }
  })
  for (const acr of ['silver', 'gold', 'silver', 'gold']) t.equal((await browser.login(`/${acr}`)).body, acr)
  t.same(provider.authorizations.map(request => request.get('acr_values')), ['silver', 'gold', 'silver', 'gold'])
})

t.test('a step-up without a login route begins at once, with what is asked for', async t => {
  const { browser, provider } = await vault(t, { maxAge: 60, acr: 'gold' }, { routes: { login: false } })
  t.equal((await browser.login('/vault')).body, 'secret')
  t.match(Object.fromEntries(provider.authorizations[0]!), { max_age: '60', acr_values: 'gold' })
})

/** An application with a page that needs a surer login. */
async function vault (t: Test, demand: RequireAuthOptions, auth0: Auth0Options = {}) {
  const clock = travelInTime(t)
  const ran: string[] = []
  const routes = (app: FastifyInstance) => {
    const handler = async () => { ran.push('vault'); return 'secret' }
    app.route({ method: ['GET', 'POST'], url: '/vault', onRequest: app.requireAuth(demand), handler })
  }
  return { ...await buildApp(t, { auth0, routes }), clock, ran }
}
