import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import formbody from '@fastify/formbody'
import type { FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { MemoryStore, type Auth0, type Auth0Options, type RequestAuth0 } from '../lib/index.ts'
import { appBaseUrl, secret, type BuildOptions } from './helpers/app.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildTokenSite, LIFETIME, says, sessionKinds } from './helpers/token-site.ts'

const PAGE = '/orders?page=2&sort=date'

type Site = Awaited<ReturnType<typeof buildTokenSite>>

/** Why a handler has no token, and what a client that is no page is told. */
const wants: Record<string, { auth0?: Auth0Options, happen?: (site: Site) => void, code: string }> = {
  'no refresh token': { auth0: { authorizationParams: { scope: 'openid' } }, code: 'FST_AUTH0_REFRESH_TOKEN_MISSING' },
  'a refresh token that is refused': { happen: ({ provider }) => provider.revokeAll(), code: 'FST_AUTH0_REFRESH_TOKEN_REFUSED' },
  'a second factor that is asked for': { happen: ({ provider }) => provider.fail('token', says('mfa_required', 403)), code: 'FST_AUTH0_INTERACTION_REQUIRED' }
}

t.test('a guarded page whose handler fails for want of a token', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options } of sessionKinds(redis)) {
    for (const [want, { auth0, happen, code }] of Object.entries(wants)) {
      t.test(`${name}: for ${want} a person goes to log in, and comes back`, async t => {
        await redis.command('FLUSHALL')
        const site = await build(t, { auth0: { ...options(), ...auth0 } })
        const { browser, provider, clock } = site
        const before = (await browser.get('/me')).json().session
        clock.advance(LIFETIME + 1)
        happen?.(site)
        const { statusCode, location, headers, body } = await browser.get(PAGE)
        t.equal(statusCode, 302)
        t.equal(location?.href, `https://app.example.com/login?returnTo=${encodeURIComponent(PAGE)}`)
        t.equal(body, '')
        t.equal(headers['cache-control'], 'no-store')
        t.equal(headers['content-type'], undefined)
        t.ok([undefined, '0'].includes(headers['content-length'] as string | undefined))
        provider.heal()
        const logins = provider.authorizations.length
        const response = await browser.navigate(PAGE)
        if (want === 'a second factor that is asked for') t.equal(provider.authorizations.length, logins, 'it is there by now')
        else t.equal(provider.authorizations.length, logins + 1)
        t.same([response.statusCode, response.url.pathname + response.url.search], [200, PAGE])
        t.type(response.json().accessToken, 'string')
        if (want === 'no refresh token') t.ok((await browser.get('/me')).json().session.createdAt > before.createdAt)
      })

      t.test(`${name}: for ${want} nobody else goes anywhere`, async t => {
        await redis.command('FLUSHALL')
        const buildInWant = async () => {
          const site = await build(t, { auth0: { ...options(), ...auth0 } })
          site.clock.advance(LIFETIME + 1)
          happen?.(site)
          return site
        }
        for (const [who, ask] of Object.entries(others)) {
          const response = await ask(await buildInWant())
          t.match(response.json(), { statusCode: 401, code }, who)
          t.equal(response.headers.location, undefined, who)
        }
      })
    }
  }
})

/** All but a person who opens a guarded page. */
const others: Record<string, (site: Site) => ReturnType<Site['browser']['get']>> = {
  'fetch of a script': ({ browser }) => browser.fetch(PAGE),
  'XMLHttpRequest of an old browser': ({ browser }) => browser.fetch(PAGE, { legacy: true, headers: { 'x-requested-with': 'XMLHttpRequest', accept: 'text/html' } }),
  'a form': ({ browser }) => browser.post('/orders', { item: '1' }),
  'a page without a guard': ({ browser }) => browser.get('/orders-of-anybody')
}

t.test('a login that was made a minute ago or less is not repeated: it would go round in circles', async t => {
  const { browser, clock, provider } = await build(t, { isFrozen: true })
  for (const [age, statusCode] of [[0, 401], [60, 401], [61, 302]] as const) {
    await browser.login('/login?returnTo=/me')
    clock.advance(age)
    provider.fail('token', says('mfa_required', 403))
    t.equal((await browser.get('/orders-elsewhere')).statusCode, statusCode, `${age} seconds`)
    provider.heal()
  }
})

t.test('an application whose error handler answers otherwise is left alone', async t => {
  const handlers: Record<string, [answer: NonNullable<BuildOptions['routes']>, statusCode: number]> = {
    'another status': [app => app.setErrorHandler((error: Error, _request, reply) => reply.code(418).type('text/plain').send(error.message)), 418],
    'a redirect of its own': [app => app.setErrorHandler((_error, _request, reply) => reply.redirect('/why', 303)), 303],
    'a page': [app => app.setErrorHandler((_error, _request, reply) => reply.code(200).type('text/html').send('<h1>Later</h1>')), 200]
  }
  for (const [what, [routes, statusCode]] of Object.entries(handlers)) {
    const { browser, provider, clock } = await build(t, { routes })
    clock.advance(LIFETIME + 1)
    provider.fail('token', says('mfa_required', 403))
    const response = await browser.get(PAGE)
    t.equal(response.statusCode, statusCode, what)
    t.not(response.location?.pathname, '/login')
  }
})

for (const { name, options } of [{ name: 'encrypted cookies', options: {} }, { name: 'a MemoryStore', options: { session: { store: new MemoryStore() } } }]) {
  t.test(`${name}: of several pages at once whose refresh token is refused, each sends to log in, also those that find nobody logged in by then`, async t => {
    const { app, provider, clock, cookie } = await build(t, {
      auth0: options,
      routes: app => {
        app.get<{ Params: { api: string } }>('/of/:api', { preHandler: app.requireAuth }, async ({ auth0, params: { api } }) => auth0.getTokenSet({ audience: `https://${api}.example.com` }))
      }
    })
    clock.advance(LIFETIME + 1)
    provider.revokeAll()
    provider.fail('token', async ({ honest }) => { await delay(50); return honest() })
    const navigation = { cookie: cookie(), 'x-forwarded-proto': 'https', 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }
    const answers = await Promise.all(['a', 'b', 'c'].map(api => app.inject({ url: `/of/${api}`, headers: navigation })))
    t.match(answers.map(({ statusCode, headers }) => [statusCode, headers.location]), ['a', 'b', 'c'].map(api => [302, `/login?returnTo=%2Fof%2F${api}`]))
    t.equal(provider.refreshes.length, 1)
  })
}

t.test('nobody is logged in any more a moment after the login: the 401 stays, or it would go round in circles', async t => {
  const { browser } = await build(t, {
    routes: app => app.get('/left', { preHandler: app.requireAuth }, async (request, reply) => {
      await app.auth0.logout(request, reply)
      return request.auth0.getTokenSet()
    })
  })
  t.match((await browser.get('/left')).json(), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' })
})

t.test('of two instances the one counts whose call failed: the guard of the other would send to a login that brings no such token', async t => {
  const partner = new Provider({ issuer: 'https://partner.example.com/' })
  partner.accessTokenLifetime = LIFETIME
  const { browser, clock, provider } = await build(t, {
    routes: async app => {
      await app.register(auth0, {
        name: 'partner',
        domain: 'partner.example.com',
        clientId: partner.clientId,
        clientSecret: partner.clientSecret,
        secret,
        appBaseUrl,
        fetch: partner.fetch,
        authorizationParams: { scope: 'openid' },
        routes: { login: '/partner/login', callback: '/partner/callback', logout: '/partner/logout', backchannelLogout: false }
      })
      const { partner: ofPartner } = app as unknown as { partner: Auth0 }
      const authOfPartner = (request: FastifyRequest) => (request as unknown as { partner: RequestAuth0 }).partner
      app.get('/partner-token', { preHandler: app.requireAuth }, async request => authOfPartner(request).getTokenSet())
      app.get('/both-guards', { preHandler: [app.requireAuth, ofPartner.requireAuth()] }, async request => authOfPartner(request).getTokenSet())
      app.get('/own-token', { preHandler: [app.requireAuth, ofPartner.requireAuth()] }, async ({ auth0 }) => auth0.getTokenSet())
    }
  })
  const { url } = partner.authorize((await browser.get('/partner/login')).location!)
  await browser.get(url)
  clock.advance(LIFETIME + 1)
  t.match((await browser.get('/partner-token')).json(), { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_MISSING' })
  t.equal((await browser.get('/both-guards')).location?.pathname, '/partner/login')
  provider.fail('token', says('mfa_required', 403))
  t.equal((await browser.get('/own-token')).location?.pathname, '/login')
})

const bodies: Record<string, (body: ReadableStream) => unknown> = {
  'a web stream': body => body,
  'a Response': body => new Response(body),
  'a web stream that somebody else reads': body => body.getReader() && body
}
for (const [what, send] of Object.entries(bodies)) {
  t.test(`a 401 of an error handler that is ${what} is let go of`, async t => {
    let cancelled = 0
    const { browser, provider, clock } = await build(t, {
      routes: app => app.setErrorHandler((_error, _request, reply) => reply.code(401).send(send(new ReadableStream({ cancel: () => { cancelled++ } }))))
    })
    clock.advance(LIFETIME + 1)
    provider.fail('token', says('mfa_required', 403))
    const { statusCode, body } = await browser.get(PAGE)
    t.same([statusCode, body], [302, ''])
    t.equal(cancelled, what.endsWith('reads') ? 0 : 1)
  })
}

t.test('what goes wrong while the answer is replaced is an answer, too', async t => {
  const { browser, provider, clock } = await build(t, {
    routes: app => app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      const { header } = reply
      reply.header = (name, value) => {
        if (name === 'location') throw new Error('no such header')
        return header.call(reply, name, value)
      }
      return reply.code(error.statusCode ?? 500).send({ message: error.message })
    })
  })
  clock.advance(LIFETIME + 1)
  provider.fail('token', says('mfa_required', 403))
  t.match(await browser.get(PAGE), { statusCode: 500 })
})

t.test('a 401 of an error handler is replaced as a whole, also when it is a stream', async t => {
  const page = Readable.from([Buffer.from('401')])
  const ofTheBody = {
    'content-type': 'text/html',
    'content-length': 3,
    'content-encoding': 'identity',
    'content-disposition': 'attachment',
    'content-range': 'bytes 0-2/3',
    'transfer-encoding': 'chunked',
    etag: '"1"',
    'last-modified': 'Sat, 21 Nov 2026 00:00:00 GMT',
    'www-authenticate': 'Bearer'
  }
  const { browser, provider, clock } = await build(t, {
    routes: app => app.setErrorHandler((_error, _request, reply) =>
      reply.code(401).headers({ ...ofTheBody, 'x-own': '1' }).send(page))
  })
  clock.advance(LIFETIME + 1)
  provider.fail('token', says('mfa_required', 403))
  const { statusCode, headers, body } = await browser.get(PAGE)
  t.same([statusCode, body, headers['x-own']], [302, '', '1'])
  t.ok(page.destroyed)
  for (const name of Object.keys(ofTheBody)) t.ok([undefined, '0'].includes(headers[name] as string | undefined), name)
})

t.test('a handler that failed for another reason, or answered, or caught it, is left alone', async t => {
  const { browser, provider, clock } = await build(t, {
    routes: app => {
      app.get('/own-401', { preHandler: app.requireAuth }, async () => { throw Object.assign(new Error('own'), { statusCode: 401 }) })
      app.get('/caught', { preHandler: app.requireAuth }, async ({ auth0 }, reply) => {
        await auth0.getAccessToken().catch(() => {})
        return reply.code(401).send({ own: true })
      })
      app.get('/denied', { preHandler: app.requireAuth }, async ({ auth0 }) => auth0.getAccessToken({ audience: 'https://other.example.com' }))
    }
  })
  clock.advance(LIFETIME + 1)
  provider.fail('token', says('mfa_required', 403))
  for (const url of ['/own-401', '/caught']) t.equal((await browser.get(url)).statusCode, 401, url)
  provider.fail('token', says('access_denied', 403))
  t.equal((await browser.get('/denied')).statusCode, 403)
  provider.fail('token', '500')
  t.equal((await browser.get('/denied')).statusCode, 503)
})

t.test('where there is no login route it goes to the provider at once', async t => {
  const { browser, provider, clock } = await build(t, { auth0: { routes: { login: false } }, page: '/profile' })
  clock.advance(LIFETIME + 1)
  provider.fail('token', says('mfa_required', 403))
  const { statusCode, location, setCookies, body, headers } = await browser.get(PAGE)
  t.equal(statusCode, 302)
  t.equal(location!.origin + location!.pathname, provider.document.authorization_endpoint)
  t.same([body, headers['cache-control'], headers['content-type']], ['', 'no-store', undefined])
  t.ok(setCookies.some(cookie => cookie.includes('login')), 'which is bound to this browser')
  provider.heal()
  t.equal((await browser.navigate(PAGE)).url.pathname, '/orders')
})

t.test('where that login cannot begin, the 401 stays', async t => {
  const { browser, provider, clock, isLoggedIn } = await build(t, { auth0: { routes: { login: false }, pushedAuthorizationRequests: true }, page: '/profile' })
  clock.advance(LIFETIME + 1)
  provider.fail('token', says('mfa_required', 403))
  provider.fail('par', '500')
  const response = await browser.get(PAGE)
  t.match(response.json(), { statusCode: 401, code: 'FST_AUTH0_INTERACTION_REQUIRED' })
  t.match(response.headers['content-type'], /json/)
  t.equal(response.headers.location, undefined)
  provider.heal()
  provider.fail('token', says('mfa_required', 403))
  const prefetch = await browser.get(PAGE, { headers: { 'sec-purpose': 'prefetch' } })
  t.equal(prefetch.statusCode, 401, 'N14 nor does it begin for a prefetch')
  t.ok(await isLoggedIn())
})

/** A site with guarded pages that need a token. */
async function build (t: Test, options: Parameters<typeof buildTokenSite>[1] = {}) {
  return buildTokenSite(t, {
    ...options,
    routes: async app => {
      await app.register(formbody)
      const page = async ({ auth0 }: FastifyRequest) => auth0.getTokenSet()
      app.get('/orders', { preHandler: app.requireAuth }, page)
      app.post('/orders', { preHandler: app.requireAuth }, page)
      app.get('/orders-of-anybody', page)
      app.get('/orders-elsewhere', { preHandler: app.requireAuth }, async ({ auth0 }) => auth0.getTokenSet({ audience: 'https://other.example.com' }))
      if (options.routes !== false) await options.routes?.(app)
    }
  })
}
