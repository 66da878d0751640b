import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../lib/errors.ts'
import { buildApp } from './helpers/app.ts'
import type { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis, until } from './helpers/redis.ts'
import { connected } from './helpers/stores.ts'
import { API, buildTokenSite, holdRefresh, LIFETIME, says, SCOPE, sessionKinds } from './helpers/token-site.ts'

const REFUSED = { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_REFUSED' }
const ENDED = { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED' }
const revokedTokens = (provider: Provider) => provider.callsTo('revocation').map(({ params }) => params.get('token'))

t.test('sessions that end while their tokens are refreshed', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options, isInCookie = false } of sessionKinds(redis)) {
    const build = async (t: Test, more: Parameters<typeof buildTokenSite>[1] = {}) => {
      await redis.command('FLUSHALL')
      return buildTokenSite(t, { ...more, auth0: { ...options(), ...more.auth0 } })
    }

    t.test(name, async t => {
      t.test('D10 a refresh token that is refused ends the session, here and for whoever has a copy', async t => {
        for (const remaining of [30, -1]) {
          const { ask, provider, clock, cookie, send, isLoggedIn, browser } = await build(t)
          const copy = cookie()
          clock.advance(LIFETIME - remaining)
          provider.revokeAll()
          const answers = await Promise.all([ask(), send('/token', copy), send('/token', copy)])
          for (const answer of answers) t.match(answer.json(), REFUSED, `with ${remaining} seconds left`)
          t.equal(provider.refreshes.length, 1)
          if (isInCookie) t.same(browser.cookieNames('__Host-auth0'), [])
          t.notOk(await isLoggedIn())
          for (const url of ['/token', '/profile']) t.match((await send(url, copy)).json(), ENDED)
          t.equal(provider.refreshes.length, 1, 'and nobody asks again')
          t.equal((await browser.login('/login?returnTo=/token')).statusCode, 200)
        }
      })

      t.test('the provider wants to see the person, or gives no such token: a typed error, and the session goes on', async t => {
        const refusals: Array<[error: string, statusCode: number, code: string]> = [
          ...['mfa_required', 'interaction_required', 'consent_required', 'login_required', 'account_selection_required', 'unmet_authentication_requirements']
            .map((error): [string, number, string] => [error, 401, 'FST_AUTH0_INTERACTION_REQUIRED']),
          ...['access_denied', 'invalid_scope', 'invalid_target'].map((error): [string, number, string] => [error, 403, 'FST_AUTH0_ACCESS_TOKEN_DENIED'])
        ]
        const { ask, provider, isLoggedIn, clock, logs } = await build(t)
        for (const [error, statusCode, code] of refusals) {
          for (const status of [400, 401, 403]) {
            provider.failNext('token', says(error, status))
            t.match((await ask({ audience: 'https://other.example.com' })).json(), { statusCode, code }, `${error} with ${status}`)
            t.ok(await isLoggedIn())
          }
        }
        clock.advance(LIFETIME)
        t.equal((await ask()).statusCode, 200)
        t.match(logs.text, /refresh: .*\(mfa_required\)/)
        t.notMatch(logs.text, /as the provider says/)
      })

      /** Who ends it. What the store does not know cannot be ended from elsewhere. */
      const knowsProvider = isInCookie ? name.includes('Redis') : name !== 'a store of others'
      const isStored = name === 'a MemoryStore' || name === 'Redis'
      type Site = Awaited<ReturnType<typeof build>>
      const endings: Record<string, (site: Site) => unknown> = {
        'a logout': ({ browser }) => browser.submit('/logout'),
        'a newer login': ({ browser }) => browser.login('/login?returnTo=/me'),
        ...knowsProvider && {
          'the provider, by sid': async ({ app, provider, browser }: Site) => {
            const { sid } = (await browser.get('/me')).json().user
            return app.auth0.handleBackchannelLogout(provider.logoutToken({ claims: { sid, sub: undefined } }))
          },
          'the provider, by sub': ({ app, provider }: Site) => app.auth0.handleBackchannelLogout(provider.logoutToken())
        },
        ...isStored && { 'sessions.endAll': ({ app }: Site) => app.auth0.sessions.endAll({ sub: 'auth0|ada' }) }
      }
      for (const [ending, end] of Object.entries(endings)) {
        t.test(`promise 1, H1: ended amid a refresh by ${ending}: what it brings is discarded and revoked`, async t => {
          const site = await build(t)
          const { provider, clock, cookie, send, isLoggedIn } = site
          clock.advance(LIFETIME)
          const copy = cookie()
          const held = holdRefresh(provider)
          const answers = Promise.all([send('/token', copy), send('/token', copy)])
          const { refresh_token: brought } = await held.done
          clock.advance(2)
          await end(site)
          t.notOk(revokedTokens(provider).includes(brought as string))
          held.release()
          for (const answer of await answers) {
            t.match(answer.json(), ENDED)
            t.equal(answer.headers['set-cookie'], undefined)
          }
          // By itself, and not only because a logout revoked another one of the same login.
          await until('it is revoked', () => revokedTokens(provider).includes(brought as string) && provider.isRevoked(brought as string))
          t.equal(provider.refreshes.length, 1)
          for (const url of ['/token', '/profile']) t.match((await send(url, copy)).json(), ENDED)
          t.equal(await isLoggedIn(), ending === 'a newer login')
          if (ending === 'a newer login') t.equal((await site.ask()).statusCode, 200)
          t.equal(provider.refreshes.length, 1)
        })
      }

      t.test('refused after the session ended: what ended it is told, and a newer login is not touched', async t => {
        const { provider, clock, cookie, send, browser, isLoggedIn } = await build(t)
        clock.advance(LIFETIME)
        const copy = cookie()
        const { release, done } = holdRefresh(provider)
        const answer = send('/token', copy)
        await done
        await browser.login('/login?returnTo=/me')
        release()
        t.match((await answer).json(), ENDED)
        t.ok(await isLoggedIn())
      })

      t.test('a logout revokes the refresh token (RFC 7009), also of whoever has an older copy of the cookie', async t => {
        const { ask, provider, cookie, send } = await build(t)
        const copy = cookie()
        await ask({ forceRefresh: true })
        await ask({ forceRefresh: true })
        t.equal((await send('/logout', copy, { method: 'POST' })).statusCode, 303)
        const [call, ...more] = provider.callsTo('revocation')
        t.same(more, [])
        t.equal(call?.params.get('token_type_hint'), 'refresh_token')
        const newest = call!.params.get('token')!
        t.notOk(provider.refreshes.some(({ params }) => params.get('refresh_token') === newest), 'those were spent')
        t.ok(provider.isRevoked(newest))
        t.match((await send('/token', copy)).json(), ENDED)
      })

      t.test('a logout revokes the newest refresh token, though it was got while the request to log out was under way', async t => {
        const { ask, browser, provider, isLoggedIn } = await build(t, {
          routes: app => app.post('/slow-logout', async (request, reply) => {
            t.ok(request.auth0.isAuthenticated)
            await renewed
            return (await app.auth0.logout(request, reply)).href
          })
        })
        let tell = () => {}
        const renewed = new Promise<void>(resolve => { tell = resolve })
        const logout = browser.fetch('/slow-logout', { method: 'POST' })
        await delay(20)
        t.equal((await ask({ forceRefresh: true })).statusCode, 200)
        tell()
        t.equal((await logout).statusCode, 200)
        const [newest] = revokedTokens(provider)
        t.type(newest, 'string')
        t.not(newest, provider.refreshes.at(-1)!.params.get('refresh_token'), 'that one was spent')
        t.notOk(await isLoggedIn())
      })

      if (name.includes('Redis') && isInCookie) {
        t.test('a logout revokes the refresh token that another process got', async t => {
          const { provider, cookie, send } = await build(t)
          const other = await twin(t, provider, options())
          const copy = cookie()
          const headers = { cookie: copy, 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin' }
          t.equal((await other.inject({ url: '/token?force', headers })).statusCode, 200)
          t.equal((await send('/logout', copy, { method: 'POST' })).statusCode, 303)
          const [newest] = revokedTokens(provider)
          t.equal(provider.refreshes.length, 1)
          t.not(newest, provider.refreshes[0]!.params.get('refresh_token'))
        })
      }

      if (!isStored) {
        t.test('D13 no refresh once the answer is written: what it brings could not be kept', async t => {
          let last: FastifyRequest
          const { browser, provider } = await build(t, {
            routes: app => app.get('/last', async request => {
              last = request
              return request.auth0.user
            })
          })
          await browser.get('/last')
          await t.rejects(last!.auth0.getAccessToken({ forceRefresh: true }), { code: 'FST_AUTH0_SESSION_WRITTEN' })
          t.equal(provider.refreshes.length, 0)
        })
      }

      t.test('promise 2, H3: a request that changes the session beside its refresh, or beside that of another, keeps both', async t => {
        const { ask, provider, clock, cookie, send, browser } = await build(t, {
          routes: app => {
            app.get<{ Params: { beside: string } }>('/update-beside/:beside', async ({ auth0, params }) => {
              const [tokens] = await Promise.all([auth0.getTokenSet(), auth0.updateSession(params)])
              return tokens
            })
            app.get<{ Params: { before: string } }>('/update-before/:before', async ({ auth0, params }) => {
              await auth0.updateSession(params)
              return auth0.getTokenSet()
            })
          }
        })
        const older = cookie()
        clock.advance(LIFETIME)
        const { accessToken } = (await browser.fetch('/update-beside/1')).json()
        t.match((await browser.get('/me')).json().session.data, { beside: '1' })
        // With what there was before, and what the other request brought, on top of the other's cookie.
        const answer = await send('/update-before/2', older)
        t.equal(answer.json().accessToken, accessToken)
        for (const header of [answer.headers['set-cookie'] ?? []].flat()) browser.setCookie(header)
        clock.advance(LIFETIME + 61) // nothing is remembered of it
        t.match((await ask()).json(), { tokenType: 'Bearer' })
        t.match((await browser.get('/me')).json().session.data, { before: '2' })
        t.equal(provider.reuses, 0)
      })

      t.test('G7 a session is used when its tokens are refreshed, though nothing else happens', async t => {
        const { ask, clock, isLoggedIn } = await build(t, { auth0: { session: { ...options().session, idleTimeout: LIFETIME * 3 } } })
        for (let time = 0; time < 6; time++) {
          clock.advance(LIFETIME)
          t.equal((await ask()).statusCode, 200)
        }
        t.ok(await isLoggedIn())
      })
    })
  }
})

t.test('a logout waits for the provider a second at most, and never fails for it', async t => {
  const troubles: Record<string, (provider: Provider) => void> = {
    'gives no answer': provider => provider.fail('revocation', 'hang'),
    'answers with nothing': () => {},
    'answers with a page (RFC 7009 §2.2)': provider => provider.fail('revocation', 'html'),
    'is down': provider => provider.fail('revocation', 'connection refused'),
    'says no': provider => provider.fail('revocation', '400'),
    'has no revocation endpoint': provider => { provider.metadata = { revocation_endpoint: undefined } }
  }
  for (const [trouble, happen] of Object.entries(troubles)) {
    const { browser, provider, isLoggedIn, logs } = await buildTokenSite(t, {
      provider: trouble === 'has no revocation endpoint' ? { metadata: { revocation_endpoint: undefined } } : {}
    })
    happen(provider)
    const startedAt = performance.now()
    t.equal((await browser.post('/logout')).statusCode, 303, trouble)
    const took = performance.now() - startedAt
    t.ok(took < (trouble === 'gives no answer' ? 2000 : 900), `${trouble}: ${took} ms`)
    t.notOk(await isLoggedIn())
    t.equal(provider.callsTo('revocation').length, trouble === 'has no revocation endpoint' ? 0 : 1)
    t.equal(logs.lines.some(({ msg, level }) => msg === 'refresh token not revoked' && level === 40), trouble === 'is down' || trouble === 'says no', trouble)
    t.same([...provider.secrets].filter(secret => logs.text.includes(secret)), [], 'D15')
  }
})

t.test('a logout without a refresh token revokes nothing', async t => {
  const { browser, provider } = await buildTokenSite(t, { auth0: { authorizationParams: { scope: 'openid' } } })
  t.equal((await browser.post('/logout')).statusCode, 303)
  t.equal(provider.callsTo('revocation').length, 0)
})

t.test('D10 a refusal is not final when the login was refreshed by somebody else meanwhile', async t => {
  const store = new MemoryStore()
  store.records.lease = async () => true // as when it is lost
  const { provider, clock, cookie, send, isLoggedIn } = await buildTokenSite(t, { auth0: { session: { store } } })
  const other = await twin(t, provider, { session: { store } })
  clock.advance(LIFETIME)
  const copy = cookie()
  let refuse = () => {}
  const late = new Promise<void>(resolve => { refuse = resolve })
  provider.failNext('token', async () => {
    await late
    return says('invalid_grant', 403)()
  })
  const answer = send('/token', copy)
  await until('it asks', () => provider.refreshes.length === 1)
  const faster = (await other.inject({ url: '/token', headers: { cookie: copy, 'x-forwarded-proto': 'https' } })).json()
  refuse()
  t.same((await answer).json(), faster)
  t.ok(await isLoggedIn())
  t.equal(provider.refreshes.length, 2)
})

t.test('promise 2: who comes late with what a refresh brought does not write over what came first', async t => {
  const store = new MemoryStore()
  store.records.lease = async () => true
  let hooks = 0
  const { provider, clock, cookie, send, ask } = await buildTokenSite(t, { auth0: { session: { store }, onRefresh: () => { hooks++ } } })
  provider.reuseLeeway = Infinity
  const other = await twin(t, provider, { session: { store } })
  clock.advance(LIFETIME)
  const held = holdRefresh(provider)
  const answer = send('/token', cookie())
  await held.done
  const faster = (await other.inject({ url: '/token', headers: { cookie: cookie(), 'x-forwarded-proto': 'https' } })).json()
  held.release()
  t.same((await answer).json(), faster)
  t.same((await ask()).json(), faster)
  await delay(10)
  t.equal(hooks, 0, 'nor is anything made of it')
  t.same(revokedTokens(provider), [], 'nothing is revoked: to many a provider all tokens of a login are one')
})

t.test('D14 who comes late and finds that the other one got something else asks once more, and both stay', async t => {
  const store = new MemoryStore()
  store.records.lease = async () => true
  const { provider, clock, cookie, ask } = await buildTokenSite(t, { auth0: { session: { store } } })
  provider.reuseLeeway = Infinity
  const other = await twin(t, provider, { session: { store } })
  clock.advance(LIFETIME)
  const held = holdRefresh(provider)
  const answer = ask({ audience: 'https://other.example.com' })
  await held.done
  const faster = (await other.inject({ url: '/token', headers: { cookie: cookie(), 'x-forwarded-proto': 'https' } })).json()
  held.release()
  t.match((await answer).json(), { audience: 'https://other.example.com' })
  t.same((await ask()).json(), faster)
  t.equal(provider.refreshes.length, 3)
})

t.test('a logout from a store that cannot be read any more revokes what the request knows', async t => {
  const store = new MemoryStore()
  const { browser, provider, isLoggedIn } = await buildTokenSite(t, {
    auth0: { session: { store } },
    routes: app => app.post('/logout-unread', async (request, reply) => {
      t.ok(request.auth0.isAuthenticated)
      const { read } = store.records
      store.records.read = async () => { throw new FST_AUTH0_SESSION_UNAVAILABLE() }
      const { href } = await app.auth0.logout(request, reply)
      store.records.read = read.bind(store.records)
      return href
    })
  })
  t.equal((await browser.fetch('/logout-unread', { method: 'POST' })).statusCode, 200)
  t.equal(revokedTokens(provider).length, 1)
  t.notOk(await isLoggedIn())
})

/** Another process with the same sessions. */
async function twin (t: Test, provider: Provider, auth0: Auth0Options): Promise<FastifyInstance> {
  const { app } = await buildApp(t, {
    provider,
    auth0: { ...auth0, authorizationParams: { scope: SCOPE, audience: API } },
    routes: app => app.get<{ Querystring: { force?: string } }>('/token', async ({ auth0, query }) => auth0.getTokenSet({ forceRefresh: query.force !== undefined }))
  })
  await connected(app)
  return app
}
