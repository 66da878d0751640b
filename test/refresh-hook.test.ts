import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { FST_AUTH0_SESSION_UNAVAILABLE } from '../lib/errors.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'
import { buildTokenSite, LIFETIME, sessionKinds } from './helpers/token-site.ts'

type Hook = NonNullable<Auth0Options['onRefresh']>

const OTHER = 'https://other.example.com'
const MINUTE = 61 // seconds; by then no process remembers what became of a login
const MAX_WAIT = 10_000 // milliseconds

t.test('onRefresh', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const { name, options } of sessionKinds(redis)) {
    const build = async (t: Test, onRefresh: Hook) => {
      await redis.command('FLUSHALL')
      return buildTokenSite(t, {
        auth0: { ...options(), onRefresh, onLogin: ({ user }) => { user.plan = 'free' } },
        routes: app => app.get('/token-and-user', async ({ auth0 }) => ({ token: await auth0.getAccessToken(), user: auth0.user }))
      })
    }

    t.test(name, async t => {
      t.test('may get tokens itself: they are kept already', async t => {
        const got: unknown[] = []
        const { browser, provider, clock } = await build(t, async ({ user, tokens: { accessToken } }, request) => {
          got.push([accessToken, await request.auth0.getAccessToken()])
          user.plan = 'pro'
        })
        clock.advance(LIFETIME)
        const { token, user } = (await browser.fetch('/token-and-user')).json()
        t.same(got, [[token, token]])
        t.equal(user.plan, 'pro', 'for the very request, too')
        clock.advance(MINUTE)
        t.match((await browser.get('/me')).json().user, { plan: 'pro' })
        clock.advance(LIFETIME)
        t.equal((await browser.fetch('/token-and-user')).statusCode, 200)
        t.same([provider.refreshes.length, provider.reuses], [2, 0])
      })

      t.test('D13 holds up nobody else, and the tokens are kept before it begins', async t => {
        const { opened, open } = gate()
        const begun = gate()
        const { ask, provider, clock, cookie, send, browser } = await build(t, async ({ user }) => {
          begun.open()
          await opened
          user.plan = 'pro'
        })
        clock.advance(LIFETIME)
        const copy = cookie()
        const joins = begun.opened.then(() => send('/token-and-user', copy))
        const [one, two] = [ask(), ask()]
        await begun.opened
        const { token, user } = (await joins).json()
        t.match(provider.tokenInfo(token), { sub: 'auth0|ada' })
        t.equal(user.plan, 'free', 'not yet')
        t.match((await Promise.race([one, two])).json(), { accessToken: token }, 'who waited for the same refresh need not wait for it')
        open()
        for (const answer of await Promise.all([one, two])) t.match(answer.json(), { accessToken: token })
        t.match((await browser.get('/me')).json().user, { plan: 'pro' })
        clock.advance(MINUTE)
        t.match((await browser.get('/me')).json().user, { plan: 'pro' })
        t.equal(provider.refreshes.length, 1)
      })

      t.test('what it returns that is no JSON is not kept; the user before is, and the tokens', async t => {
        const wrongs: Record<string, Hook> = {
          'a BigInt': ({ user }) => ({ ...user, plan: 1n }),
          'a cycle': ({ user }) => {
            user.plan = user
          },
          'a function': () => (() => {}) as never,
          'a number': () => 7 as never,
          'changes of the tokens': ({ tokens }) => {
            Object.assign(tokens, { refreshToken: null })
          }
        }
        let wrong = ''
        const { ask, provider, clock, browser, logs } = await build(t, (...args) => wrongs[wrong]!(...args))
        for (wrong of Object.keys(wrongs)) {
          clock.advance(LIFETIME)
          const lines = logs.lines.length
          t.equal((await ask()).statusCode, 200, wrong)
          t.equal(logs.lines.slice(lines).find(({ msg }) => msg === 'onRefresh failed')?.level, 50, wrong)
          t.equal((await ask({ audience: OTHER })).statusCode, 200, `${wrong}: nor does it come back`)
          clock.advance(MINUTE)
          t.match((await browser.get('/me')).json().user, { sub: 'auth0|ada', plan: 'free' }, wrong)
        }
        t.equal(provider.refreshes.length, 2 * Object.keys(wrongs).length)
        t.equal(provider.reuses, 0)
      })

      t.test('changes claims, and leaves those that changed meanwhile as they became', async t => {
        const { opened, open } = gate()
        const begun = gate()
        let calls = 0
        const { ask, provider, clock, browser } = await build(t, async ({ user: { name: _name, ...user }, audience }) => {
          if (++calls === 1) {
            begun.open()
            await opened
          }
          return audience === OTHER ? { ...user, plan: 'gold', seats: 3 } : { ...user, plan: 'pro', team: 'A' }
        })
        clock.advance(LIFETIME)
        const late = ask()
        await begun.opened
        provider.user.email = 'king@example.com'
        t.equal((await ask({ audience: OTHER })).statusCode, 200)
        open()
        t.equal((await late).statusCode, 200)
        clock.advance(MINUTE)
        const { user } = (await browser.get('/me')).json()
        t.match(user, { plan: 'gold', seats: 3, team: 'A', email: 'king@example.com' })
        t.notOk('name' in user)
      })

      t.test('that gets a new token each time it is called is not called for that', async t => {
        const audiences: unknown[] = []
        const { ask, provider, clock, browser } = await build(t, async ({ user, audience }, request) => {
          audiences.push(audience)
          await request.auth0.getAccessToken({ forceRefresh: true })
          await request.auth0.getAccessToken({ audience: OTHER })
          user.plan = `pro ${audiences.length}`
        })
        clock.advance(LIFETIME)
        t.equal((await ask()).statusCode, 200)
        t.equal(audiences.length, 2, 'for each target once')
        t.same(new Set(audiences), new Set(['https://api.example.com', OTHER]))
        t.ok(provider.refreshes.length < 6, `${provider.refreshes.length}`)
        t.match((await browser.get('/me')).json().user, { plan: 'pro 2' })
        t.equal(provider.reuses, 0)
      })

      t.test('that ends the session has ended it', async t => {
        const { ask, clock, isLoggedIn, app, logs } = await build(t, async ({ user }, request) => {
          await app.auth0.logout(request, {} as never)
          user.plan = 'pro'
        })
        clock.advance(LIFETIME)
        t.equal((await ask()).statusCode, 200)
        t.ok(logs.lines.some(({ msg, err }) => msg === 'onRefresh failed' && err?.code === 'FST_AUTH0_LOGIN_REQUIRED'))
        t.notOk(await isLoggedIn())
      })
    })
  }

  t.test('promise 4: another process has the tokens while it runs, or if it never ends', async t => {
    await redis.command('FLUSHALL')
    const auth0 = { session: { redis: redis.url } }
    const { opened, open } = gate()
    const begun = gate()
    const one = await buildTokenSite(t, {
      auth0: {
        ...auth0,
        onRefresh: () => {
          begun.open()
          return opened
        }
      }
    })
    const two = await buildTokenSite(t, { provider: one.provider, auth0 })
    one.clock.advance(LIFETIME)
    const answer = one.ask()
    await begun.opened
    const { accessToken } = (await two.send('/token', one.cookie())).json()
    open()
    t.equal((await answer).json().accessToken, accessToken)
    t.equal(one.provider.refreshes.length, 1)
  })
})

t.test('onRefresh that takes more than ten seconds is not waited for, and changes nothing any more', async t => {
  const { setTimeout } = globalThis
  t.teardown(() => { globalThis.setTimeout = setTimeout })
  globalThis.setTimeout = ((run: () => void, milliseconds: number, ...args: []) => setTimeout(run, milliseconds === MAX_WAIT ? 30 : milliseconds, ...args)) as never
  const { opened, open } = gate()
  const { ask, clock, browser, logs } = await buildTokenSite(t, {
    auth0: {
      onRefresh: async ({ user }) => {
        await opened
        user.plan = 'pro'
      }
    }
  })
  clock.advance(LIFETIME)
  const [answer] = await Promise.all([ask(), delay(100)]) // a timer of ours keeps no process alive
  t.equal(answer.statusCode, 200)
  t.match(logs.lines.find(({ msg }) => msg === 'onRefresh failed'), { level: 50, err: { message: 'not done within 10000 ms' } })
  open()
  await delay(10)
  t.notOk('plan' in (await browser.get('/me')).json().user)
})

t.test('onRefresh leaves no timer behind, and none that keeps a process alive', async t => {
  const { setTimeout, clearTimeout } = globalThis
  t.teardown(() => { Object.assign(globalThis, { setTimeout, clearTimeout }) })
  const running = new Set<NodeJS.Timeout>()
  globalThis.setTimeout = ((...args: Parameters<typeof setTimeout>) => {
    const timer = setTimeout(...args)
    if (String(args[0]).includes('not done within')) running.add(timer)
    return timer
  }) as never
  globalThis.clearTimeout = timer => {
    running.delete(timer as NodeJS.Timeout)
    clearTimeout(timer)
  }
  const during: boolean[] = []
  const { ask, clock } = await buildTokenSite(t, {
    auth0: {
      onRefresh: async () => {
        await delay(1)
        during.push(...[...running].map(timer => timer.hasRef()))
      }
    }
  })
  clock.advance(LIFETIME)
  t.equal((await ask()).statusCode, 200)
  t.same(during, [false])
  t.equal(running.size, 0)
})

t.test('a user that onRefresh makes too large for the cookie stays as it was; the tokens are kept', async t => {
  const { ask, clock, browser, provider, logs } = await buildTokenSite(t, {
    auth0: { onRefresh: ({ user }) => ({ ...user, essay: 'x'.repeat(20_000) }) },
    routes: app => app.get('/with-data', async ({ auth0 }) => {
      await auth0.updateSession({ text: 'x'.repeat(100) })
      return auth0.getAccessToken()
    })
  })
  for (const path of ['/token', '/with-data']) {
    clock.advance(LIFETIME)
    t.equal((await browser.fetch(path)).statusCode, 200)
    t.match(logs.lines.at(-2), { level: 50, msg: 'onRefresh failed', err: { code: 'FST_AUTH0_SESSION_TOO_LARGE', message: /claim essay \(2\d{4}\)/ } })
    clock.advance(MINUTE)
    const { user, session } = (await browser.get('/me')).json()
    t.notOk('essay' in user)
    t.equal(session.data.text === undefined, path === '/token')
  }
  clock.advance(LIFETIME)
  t.equal((await ask()).statusCode, 200)
  t.equal(provider.reuses, 0)
})

t.test('what onRefresh made of a user is kept once the store is back', async t => {
  const store = new MemoryStore()
  const { replaceLogin } = store.records
  let away = false
  const { ask, clock, browser, logs } = await buildTokenSite(t, {
    auth0: {
      session: { store },
      onRefresh: ({ user }) => {
        away = true
        user.plan = 'pro'
      }
    }
  })
  store.records.replaceLogin = async (...args) => {
    if (away) throw new FST_AUTH0_SESSION_UNAVAILABLE()
    return replaceLogin.apply(store.records, args)
  }
  clock.advance(LIFETIME)
  t.equal((await ask()).statusCode, 200)
  t.ok(logs.lines.some(({ msg, err }) => msg === 'onRefresh failed' && err?.code === 'FST_AUTH0_SESSION_UNAVAILABLE'))
  away = false
  t.equal((await ask({ audience: OTHER })).statusCode, 200)
  t.match((await browser.get('/me')).json().user, { plan: 'pro' })
})

t.test('a session that ends at the moment in which what onRefresh made is kept has ended', async t => {
  const store = new MemoryStore()
  const { replaceLogin } = store.records
  const { ask, clock, provider, isLoggedIn, logs } = await buildTokenSite(t, {
    auth0: {
      session: { store },
      onRefresh: ({ user }) => {
        user.plan = 'pro'
        store.records.replaceLogin = async (session, ...more) => {
          await store.records.end(session)
          return replaceLogin.call(store.records, session, ...more)
        }
      }
    }
  })
  clock.advance(LIFETIME)
  t.equal((await ask()).statusCode, 200)
  t.ok(logs.lines.some(({ msg, err }) => msg === 'onRefresh failed' && err?.code === 'FST_AUTH0_LOGIN_REQUIRED'))
  t.notOk(await isLoggedIn())
  t.same(provider.callsTo('revocation'), [], 'who ended it has seen to that')
})

t.test('onRefresh is called for each refresh, also for two of one request', async t => {
  let calls = 0
  const { browser } = await buildTokenSite(t, {
    auth0: { onRefresh: () => { calls++ } },
    routes: app => app.get('/twice', async ({ auth0 }) => {
      for (let time = 0; time < 2; time++) await auth0.getAccessToken({ forceRefresh: true })
      return 'done'
    })
  })
  t.equal((await browser.fetch('/twice')).body, 'done')
  t.equal(calls, 2)
})

t.test('onRefresh that changes nothing costs nothing', async t => {
  const store = new MemoryStore()
  const { ask, clock } = await buildTokenSite(t, { auth0: { session: { store }, onRefresh: ({ user }) => ({ ...user }) } })
  const { lease } = store.records
  let leases = 0
  store.records.lease = async (...args) => {
    leases++
    return lease.apply(store.records, args)
  }
  clock.advance(LIFETIME)
  t.equal((await ask()).statusCode, 200)
  t.equal(leases, 1)
})

t.test('tokens are as old as their arrival, however long a hook takes', async t => {
  const wait = () => { site.clock.advance(100) }
  const site: Awaited<ReturnType<typeof buildTokenSite>> = await buildTokenSite(t, { isFrozen: true, auth0: { onRefresh: wait } })
  const agrees = (json: { accessToken: string, expiresAt: number }) => t.equal(json.expiresAt, site.provider.tokenInfo(json.accessToken)?.expiresAt)
  site.provider.failNext('token', ({ honest }) => {
    wait()
    return honest()
  })
  agrees((await site.ask({ forceRefresh: true })).json())

  let hook = () => {}
  const other = await buildTokenSite(t, { provider: site.provider, isFrozen: true, auth0: { onLogin: () => hook() } })
  hook = () => other.clock.advance(100)
  await other.browser.login('/login?returnTo=/me')
  const { accessToken, expiresAt } = (await other.ask()).json()
  t.equal(expiresAt, site.provider.tokenInfo(accessToken)?.expiresAt)
})

t.test('onLogin that changes the tokens changes a copy', async t => {
  const { ask } = await buildTokenSite(t, { auth0: { onLogin: ({ tokens }) => { Object.assign(tokens, { accessToken: 'mine', refreshToken: null }) } } })
  t.match((await ask()).json(), { accessToken: /^access-token-/ })
  t.equal((await ask({ forceRefresh: true })).statusCode, 200)
})

function gate (): { opened: Promise<void>, open: () => void } {
  let open = () => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open }
}
