import { setTimeout as delay } from 'node:timers/promises'
import session from '@fastify/session'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import type { Auth0Options, SessionStoreLike } from '../lib/index.ts'
import { loginCodec } from '../lib/session/login-codec.ts'
import { createSeal } from '../lib/session/seal.ts'
import type { Login } from '../lib/session/sessions.ts'
import { Successors } from '../lib/session/successors.ts'
import { MemoryRecords } from '../lib/store/memory-records.ts'
import type { RedisClient } from '../lib/store/redis-link.ts'
import { appBaseUrl, buildApp, secret } from './helpers/app.ts'
import { travelInTime, type Clock } from './helpers/clock.ts'
import { Gate } from './helpers/gates.ts'
import { JsonStore } from './helpers/json-store.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis, until } from './helpers/redis.ts'

const NAME = '__Host-auth0'
const LIFETIME = 3600 // seconds of an access token
const IDLE = 86_400 // seconds; a session that was used so long ago that a tenth of it is over is written
const site = new URL(appBaseUrl)

type Answer = Awaited<ReturnType<FastifyInstance['inject']>>

t.test('D14 promise 3: answers in any order, and some that never arrive: one refresh for each expiry, and the browser keeps up', async t => {
  const { person, provider, clock } = await build(t)
  const random = sequence(1)
  for (let expiry = 1; expiry <= 8; expiry++) {
    clock.advance(LIFETIME)
    const answers = await Promise.all(Array.from({ length: 30 }, (_, at) => person.send(['/token', '/me', `/note/${at}`][Math.floor(random() * 3)]!)))
    t.same(answers.filter(({ statusCode }) => statusCode !== 200).map(({ body }) => body), [])
    for (const answer of shuffled(answers, random)) if (random() < 0.7) person.keep(answer)
    person.keep(await person.send('/me'))
    t.equal(person.login().tokens.refreshes, expiry, 'by the next request within a minute')
    t.equal(provider.refreshes.length, expiry)
    t.equal(provider.reuses, 0)
  }
})

t.test('the answer with the new tokens never arrives: the next one brings them', async t => {
  for (const url of ['/token', '/me', '/note/1']) {
    const { person, provider, clock } = await build(t)
    clock.advance(LIFETIME)
    await person.send('/token')
    t.same(setCookies(await person.send('/public')), [], 'not one that asks for nothing')
    const next = await person.send(url)
    t.equal(setCookies(next).length, 1, url)
    t.equal(next.headers['cache-control'], 'private, no-store')
    person.keep(next)
    t.equal(person.login().tokens.refreshes, 1)
    t.same(setCookies(await person.send('/token')), [], 'once')
    clock.advance(LIFETIME)
    t.equal((await person.send('/token')).statusCode, 200)
    t.equal(provider.reuses, 0)
  }
})

t.test('the browser hangs up while the provider is asked: the next request makes none, and brings the tokens', async t => {
  const { person, provider, clock, app } = await build(t)
  await app.listen({ port: 0 })
  clock.advance(LIFETIME)
  provider.failNext('token', 'slow')
  const caller = new AbortController()
  const { port } = app.server.address() as { port: number }
  const lost = fetch(`http://localhost:${port}/token`, { headers: person.headers(), signal: caller.signal })
  await delay(150)
  caller.abort()
  await t.rejects(lost)
  const next = await person.send('/token')
  t.equal(next.statusCode, 200)
  t.equal(provider.refreshes.length, 1)
  person.keep(next)
  person.keep(await person.send('/token'))
  t.equal(person.login().tokens.refreshes, 1)
})

t.test('D14 a request that was under way when another one refreshed sends no cookie', async t => {
  const { person, clock, gate } = await build(t)
  clock.advance(LIFETIME)
  const slow = [await gate.hold(more => person.send('/slow', more)), await gate.hold(more => person.send('/slow-token', more))]
  const fresh = await person.send('/token')
  t.equal(setCookies(fresh).length, 1)
  for (const held of slow) {
    const answer = await held.release()
    t.equal(answer.statusCode, 200)
    t.same(setCookies(answer), [])
  }
  t.equal((await slow[1]!.release()).json().accessToken, fresh.json().accessToken)
})

t.test('a request that shared a refresh, and answers more than a minute later, sends no cookie', async t => {
  const { person, clock, gate } = await build(t)
  clock.advance(LIFETIME)
  const winner = await person.send('/token')
  const slow = await gate.hold(more => person.send('/token-and-wait', more))
  person.keep(winner)
  clock.advance(61)
  const answer = await slow.release()
  t.equal(answer.statusCode, 200)
  t.same(setCookies(answer), [])
})

t.test('D13, promise 2: what a slow request writes has the newest tokens', async t => {
  const writes: Array<[name: string, url: string, before: number]> = [
    ['updateSession', '/slow-note/late', 0], ['an extension', '/slow', IDLE / 10], ['updateSession before the refresh', '/note-and-wait/late', 0]
  ]
  for (const [name, url, before] of writes) {
    const { person, provider, clock, gate } = await build(t)
    clock.advance(LIFETIME + before)
    const slow = await gate.hold(more => person.send(url, more))
    const { usedAt } = person.login()
    person.keep(await person.send('/token'))
    const answer = await slow.release()
    t.equal(answer.statusCode, 200)
    if (before === 0) t.equal(setCookies(answer).length, 1, name)
    person.keep(answer)
    const { tokens, data, usedAt: extended } = person.login()
    t.equal(tokens.refreshes, 1, name)
    t.ok(extended > usedAt || before === 0)
    if (url.includes('note')) t.same(data, { note: 'late' })
    clock.advance(LIFETIME)
    t.equal((await person.send('/token')).statusCode, 200)
    t.equal(provider.reuses, 0)
  }
})

t.test('an extension that is due goes with the newest tokens, while the request that got them goes on', async t => {
  const { person, clock, gate } = await build(t)
  clock.advance(IDLE / 10 + 1)
  const winner = await gate.hold(more => person.send('/token-and-wait', more))
  const extension = await person.send('/me')
  person.keep(await winner.release())
  person.keep(extension)
  t.equal(person.login().tokens.refreshes, 1)
  t.ok(clock.now() - person.login().usedAt < 10)
})

t.test('a session whose only writes are refreshes does not end while it is used', async t => {
  const { person, provider, clock } = await build(t)
  for (let hour = 1; hour <= 30; hour++) {
    clock.advance(LIFETIME)
    const answer = await person.send('/token')
    t.equal(answer.statusCode, 200, `hour ${hour}`)
    person.keep(answer)
  }
  t.equal(provider.refreshes.length, 30)
})

t.test('one request that both refreshes and updates keeps both', async t => {
  const { person, clock } = await build(t)
  for (const url of ['/token-then-note', '/note-then-token', '/note-while-token']) {
    clock.advance(LIFETIME)
    const before = person.login().tokens.refreshes
    person.keep(await person.send(`${url}/${before}`))
    t.same([person.login().tokens.refreshes, person.login().data], [before + 1, { note: String(before) }], url)
  }
})

t.test('a logout while the same request refreshes, or updates, is a logout', async t => {
  for (const url of ['/logout-while-token', '/logout-while-note']) {
    const { person, clock, provider } = await build(t)
    clock.advance(LIFETIME)
    provider.failNext('token', 'slow')
    const answer = await person.send(url)
    t.match(answer.json(), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
    person.keep(answer)
    t.equal(person.browser.cookie(NAME), null)
  }
})

t.test('O7 what became of ten thousand logins is remembered', async t => {
  const successors = new Successors(new MemoryRecords(1), null)
  const logins = Array.from({ length: 10_001 }, (_, number) => ({ id: `login ${number}`, tokens: { refreshes: 0 } }) as Login)
  for (const login of logins) {
    await successors.renew(login, {
      name: 'work', isDone: () => false, run: async login => ({ ...login, tokens: { ...login.tokens, refreshes: 1 } }), discard: () => {}
    }, { isOver: async () => false, end: async () => {}, carrier: { isLost: () => false } })
  }
  t.same(logins.slice(0, 2).map(login => successors.newest(login).tokens.refreshes), [0, 1])
})

t.test('after a minute without the answer the refresh token of the cookie is a spent one, and the login is over', async t => {
  const { person, provider, clock } = await build(t)
  clock.advance(LIFETIME)
  await person.send('/token')
  clock.advance(61)
  const answer = await person.send('/token')
  t.match(answer.json(), { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_REFUSED' })
  t.equal(provider.reuses, 1)
  person.keep(answer)
  t.equal(person.browser.cookie(NAME), null)

  const lucky = await build(t)
  lucky.provider.reuseLeeway = 120_000
  lucky.clock.advance(LIFETIME)
  await lucky.person.send('/token')
  lucky.clock.advance(61)
  t.equal((await lucky.person.send('/token')).statusCode, 200, 'unless the provider has an overlap period')
  t.equal(lucky.provider.reuses, 0)
})

t.test('shared by revocations.redis', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const shared: Auth0Options = { revocations: { redis: redis.url } }
  const twoHosts = async (t: Test) => {
    await redis.command('FLUSHALL')
    const one = await build(t, { auth0: shared })
    const two = await build(t, { auth0: shared, provider: one.provider, clock: one.clock })
    const { send } = one.person
    return { ...one, two, atTwo: (url: string, more = {}) => send(url, more, two.app) }
  }

  t.test('D14 promise 3: two hosts at once make one refresh, and a later request at the other finds what it brought', async t => {
    const { person, provider, clock, atTwo } = await twoHosts(t)
    clock.advance(LIFETIME)
    const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => at % 2 === 0 ? person.send('/token') : atTwo('/token')))
    t.same(new Set(answers.map(({ statusCode }) => statusCode)), new Set([200]))
    t.equal(new Set(answers.map(answer => answer.json().accessToken)).size, 1)
    t.equal(answers.filter(answer => setCookies(answer).length > 0).length, 1)
    t.equal(provider.refreshes.length, 1)
    t.equal((await atTwo('/token')).json().accessToken, answers[0]!.json().accessToken)
    t.equal(provider.refreshes.length, 1)
  })

  t.test('the answer never arrives: the other host brings the tokens', async t => {
    const { person, clock, provider, atTwo } = await twoHosts(t)
    clock.advance(LIFETIME)
    await person.send('/token')
    t.same(setCookies(await atTwo('/me')), [], 'not before it knows')
    await atTwo('/token')
    person.keep(await atTwo('/me'))
    t.equal(person.login().tokens.refreshes, 1)
    clock.advance(LIFETIME)
    t.equal((await person.send('/token')).statusCode, 200)
    t.equal(provider.reuses, 0)
  })

  t.test('D13, promise 2: what a slow request at the other host writes has the newest tokens', async t => {
    const { person, clock, two, atTwo } = await twoHosts(t)
    clock.advance(LIFETIME)
    const slow = await two.gate.hold(more => atTwo('/slow-note/late', more))
    person.keep(await person.send('/token'))
    person.keep(await slow.release())
    t.same([person.login().tokens.refreshes, person.login().data], [1, { note: 'late' }])
  })

  t.test('D13 an extension at the other host goes with the newest tokens', async t => {
    const { person, clock, atTwo } = await twoHosts(t)
    clock.advance(IDLE / 10 + 1)
    await person.send('/token')
    const answer = await atTwo('/me')
    t.equal(setCookies(answer).length, 1)
    person.keep(answer)
    t.equal(person.login().tokens.refreshes, 1)
  })

  t.test('D13 an older successor takes the place of no newer one', async t => {
    const { person, clock } = await twoHosts(t)
    clock.advance(LIFETIME)
    const old = person.headers()
    person.keep(await person.send('/token'))
    const [key] = await redis.command('KEYS', '*text:*') as string[]
    const older = String(await redis.command('GET', key!))
    const { accessToken } = (await person.send('/token?force=1')).json()
    await redis.command('SET', key!, older)
    for (let time = 0; time < 2; time++) t.equal((await person.send('/token', old)).json().accessToken, accessToken)
  })

  t.test('D13 a successor that Redis did not take: the next request shares it, and brings the tokens', async t => {
    const { person, provider, clock, atTwo } = await twoHosts(t)
    clock.advance(LIFETIME)
    const old = person.headers()
    person.keep(await person.send('/token'))
    await redis.command('DEL', ...await redis.command('KEYS', '*text:*') as string[]) // a minute later
    clock.advance(LIFETIME)
    provider.failNext('token', async ({ honest }) => {
      await redis.command('CONFIG', 'SET', 'maxmemory', '1') // full: it can be read all the same
      return honest()
    })
    t.match((await person.send('/token')).json(), { statusCode: 503, code: 'FST_AUTH0_SESSION_UNAVAILABLE' })
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    const next = await person.send('/token', old)
    t.equal(next.statusCode, 200, 'whatever copy of the cookie it has')
    t.equal(setCookies(next).length, 1)
    t.equal((await atTwo('/token')).json().accessToken, next.json().accessToken)
    t.equal(provider.refreshes.length, 2)
  })

  t.test('D14 a host that lost its lease takes what the other one got, and writes nothing', async t => {
    const { person, provider, clock, atTwo } = await twoHosts(t)
    provider.reuseLeeway = 600_000
    clock.advance(LIFETIME)
    let open = () => {}
    const opened = new Promise<void>(resolve => { open = resolve })
    provider.failNext('token', async ({ honest }) => {
      await opened
      return honest()
    })
    const first = person.send('/token')
    await until('the provider is asked', () => provider.refreshes.length === 1)
    await redis.command('DEL', ...await redis.command('KEYS', '*lease:*') as string[])
    const second = await atTwo('/token')
    open()
    t.equal((await first).json().accessToken, second.json().accessToken)
    t.same([setCookies(await first).length, setCookies(second).length], [0, 1])
  })

  t.test('a successor lasts a minute, sealed, under a name that tells nothing', async t => {
    const { person, provider, clock } = await twoHosts(t)
    clock.advance(LIFETIME)
    const { accessToken } = (await person.send('/token')).json()
    const [key, ...others] = await redis.command('KEYS', '*text:*') as string[]
    t.same(others, [])
    const life = Number(await redis.command('PTTL', key!))
    t.ok(life > 50_000 && life <= 60_000)
    const text = String(await redis.command('GET', key!))
    for (const secret of [accessToken, ...provider.secrets, person.login().id]) t.notOk(key!.includes(secret) || text.includes(secret))
    t.same(await redis.command('KEYS', '*lease:*'), [], 'and the lease was given back')
  })

  t.test('a successor that was planted for another login, or is none, is none', async t => {
    const { person, provider, clock, newPerson } = await twoHosts(t)
    provider.reuseLeeway = 600_000
    clock.advance(LIFETIME)
    await person.send('/token')
    const [adas] = await redis.command('KEYS', '*text:*') as string[]
    const sealed = String(await redis.command('GET', adas!))
    await redis.command('DEL', adas!)
    const grace = await newPerson({ sub: 'auth0|grace', name: 'Grace Hopper' })
    clock.advance(LIFETIME)
    await grace.send('/token')
    const [graces] = await redis.command('KEYS', '*text:*') as string[]
    for (const planted of [sealed, 'noise', '']) {
      await redis.command('SET', graces!, planted)
      const other = await build(t, { auth0: shared, provider, clock })
      const before = provider.refreshes.length
      const answer = await grace.send('/token', {}, other.app)
      t.match(provider.tokenInfo(answer.json().accessToken), { sub: 'auth0|grace' })
      t.equal(provider.refreshes.length, before + 1, 'the provider is asked')
    }
  })
})

t.test('a cookie that many tokens make too large', async t => {
  const API = (number: number) => `https://api-${number}.example.com`
  const long = 'x'.repeat(1500)
  const wanted = async (t: Test, person: Person, audience: string) => {
    const answer = await person.send(`/token?audience=${encodeURIComponent(audience)}`)
    t.equal(answer.statusCode, 200)
    t.same(person.browser.cookies.refused, [])
    person.keep(answer)
    return answer.json().accessToken as string
  }

  const buildLarge = async (t: Test, auth0?: Auth0Options) => {
    const built = await build(t, { auth0 })
    built.provider.idTokenOnRefresh = false
    return built
  }

  t.test('is written without what can be had again, and the login goes on', async t => {
    const { person, provider, clock } = await buildLarge(t)
    provider.fail('token', lengthened(long))
    for (let number = 1; number <= 12; number++) {
      await wanted(t, person, API(number))
      const { tokens, idToken } = person.login()
      t.ok(tokens.access.length >= 1 && tokens.access.length <= 8)
      t.not(idToken, null)
      t.equal(tokens.refreshes, number)
    }
    provider.heal()
    clock.advance(LIFETIME)
    t.equal((await person.send('/token')).statusCode, 200)
    t.equal(provider.reuses, 0)
  })

  t.test('and at last without the ID token', async t => {
    const { browser } = (await build(t)).person
    const { person, provider, clock } = await buildLarge(t, { session: { cookie: { maxSize: browser.cookie(NAME)!.length + 100 } } })
    t.not(person.login().idToken, null)
    provider.fail('token', lengthened('x'.repeat(600)))
    clock.advance(LIFETIME)
    person.keep(await person.send('/token'))
    t.match(person.login(), { idToken: null, tokens: { refreshes: 1 } })
    t.equal(person.login().tokens.access.length, 1)
    provider.heal()
    clock.advance(LIFETIME)
    t.equal((await person.send('/token')).statusCode, 200)
    t.equal(provider.reuses, 0)
  })

  t.test('takes more session data all the same', async t => {
    const { person, provider } = await buildLarge(t)
    provider.fail('token', lengthened(long))
    while (person.login().tokens.access.length < 5) await wanted(t, person, API(person.login().tokens.refreshes))
    const answer = await person.send('/large-note/3000')
    t.equal(answer.statusCode, 200)
    person.keep(answer)
    t.match(person.login(), { data: { note: /^n{3000}$/ }, tokens: { refreshes: 4 } })
    t.equal(person.login().tokens.access.length, 1)
    t.equal((await person.send('/large-note/12000')).json().code, 'FST_AUTH0_SESSION_TOO_LARGE')
  })
})

/** Counts what is written. */
class CountingStore extends session.MemoryStore {
  writes = 0

  override set (...args: Parameters<session.MemoryStore['set']>): void {
    this.writes++
    super.set(...args)
  }
}

const foreignStores: Record<string, () => { store: SessionStoreLike, writes: () => number }> = {
  'the MemoryStore of @fastify/session': () => {
    const store = new CountingStore()
    return { store, writes: () => store.writes }
  },
  'a store of JSON': () => {
    const store = new JsonStore(true)
    return { store, writes: () => store.calls.filter(verb => verb === 'set').length }
  }
}

for (const [name, make] of Object.entries(foreignStores)) {
  t.test(`sessions in a store of others: ${name}`, async t => {
    const start = async (t: Test) => {
      const { store, writes } = make()
      const built = await build(t, { auth0: { session: { store } } })
      const before = writes()
      /** A refresh a good minute later, when this process has forgotten what it knew: with what is stored. */
      const goesOn = async () => {
        built.clock.advance(LIFETIME)
        t.equal((await built.person.send('/token')).statusCode, 200)
        t.equal(built.provider.reuses, 0)
      }
      return { ...built, goesOn, writes: () => writes() - before }
    }

    t.test('D14 promise 3: one refresh, and one request writes the session', async t => {
      const { person, provider, clock, gate, writes, goesOn } = await start(t)
      clock.advance(LIFETIME)
      const slow = await gate.hold(more => person.send('/slow-token', more))
      const answers = await Promise.all(Array.from({ length: 20 }, () => person.send('/token')))
      answers.push(await slow.release())
      t.equal(new Set(answers.map(answer => answer.json().accessToken)).size, 1)
      t.equal(provider.refreshes.length, 1)
      t.equal(writes(), 1)
      await person.send('/me')
      t.equal(writes(), 1)
      await goesOn()
    })

    t.test('a refresh is a use of the session: it need not be written again for a tenth of its idle time-out', async t => {
      const { person, clock, writes } = await start(t)
      clock.advance(LIFETIME)
      await person.send('/token')
      clock.advance(IDLE / 10 - 10)
      await person.send('/me')
      t.equal(writes(), 1)
      clock.advance(20)
      await person.send('/me')
      t.equal(writes(), 2)
    })

    t.test('D13, promise 2: updateSession in a slow request keeps the newest tokens', async t => {
      const { person, clock, gate, goesOn } = await start(t)
      clock.advance(LIFETIME)
      const slow = await gate.hold(more => person.send('/slow-note/late', more))
      await person.send('/token')
      await slow.release()
      t.same((await person.send('/me')).json().session.data, { note: 'late' })
      await goesOn()
    })

    t.test('a slow request that writes the session as it read it: the next one puts the newest tokens back', async t => {
      const { person, clock, gate, goesOn, writes } = await start(t)
      clock.advance(LIFETIME)
      const slow = await gate.hold(more => person.send('/slow-cart', more))
      await person.send('/token')
      await slow.release()
      const before = writes()
      await person.send('/me')
      await person.send('/me')
      t.equal(writes(), before + 1)
      t.same((await person.send('/cart')).json(), ['late'])
      await goesOn()
    })

    t.test('one request that both refreshes and updates keeps both', async t => {
      const { person, clock, goesOn } = await start(t)
      for (const url of ['/token-then-note', '/note-then-token', '/note-while-token']) {
        clock.advance(LIFETIME)
        await person.send(`${url}/${url.length}`)
        t.same((await person.send('/me')).json().session.data, { note: String(url.length) }, url)
      }
      await goesOn()
    })

    t.test('a logout while the same request refreshes is a logout', async t => {
      const { person, clock, provider } = await start(t)
      clock.advance(LIFETIME)
      provider.failNext('token', 'slow')
      t.match((await person.send('/logout-while-token')).json(), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
      t.equal((await person.send('/token')).statusCode, 401)
    })

    t.test('does not end while it is used', async t => {
      const { person, clock } = await start(t)
      for (let hour = 1; hour <= 30; hour++) {
        clock.advance(LIFETIME)
        t.equal((await person.send('/token')).statusCode, 200, `hour ${hour}`)
      }
    })

    t.test('D14 promise 3: two hosts with one store, and revocations in one Redis', { skip: skipWithoutRedis }, async t => {
      const redis = await startRedis(t)
      const auth0: Auth0Options = { session: { store: make().store }, revocations: { redis: redis.url } }
      const one = await build(t, { auth0 })
      const two = await build(t, { auth0, provider: one.provider, clock: one.clock })
      const { person, provider, clock } = one
      for (let expiry = 1; expiry <= 3; expiry++) {
        clock.advance(LIFETIME)
        const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => person.send('/token', {}, at % 2 === 0 ? one.app : two.app)))
        t.equal(new Set(answers.map(answer => answer.json().accessToken)).size, 1)
        t.equal(provider.refreshes.length, expiry)
      }
      clock.advance(LIFETIME)
      const slow = await two.gate.hold(more => person.send('/slow-note/late', more, two.app))
      await person.send('/token')
      await slow.release()
      await redis.command('DEL', ...await redis.command('KEYS', '*text:*') as string[]) // a minute later
      clock.advance(LIFETIME)
      t.equal((await person.send('/token')).statusCode, 200, 'D13, promise 2: a slow request at the other host keeps the newest tokens')
      t.equal(provider.reuses, 0)
    })

    t.test('D13 what a refresh brought is kept, though it was forgotten before the session was written', { skip: skipWithoutRedis }, async t => {
      const redis = await startRedis(t)
      const inner = redis.client()
      const clock = travelInTime(t)
      const client: RedisClient = Object.assign(Object.create(inner), {
        call: (...request: Parameters<RedisClient['call']>) => {
          const isRelease = request.length === 5 && String(request[3]).includes('lease:')
          if (isRelease) clock.advance(61)
          return inner.call(...request)
        }
      })
      const { person, provider } = await build(t, { auth0: { session: { store: make().store }, revocations: { redis: client } }, clock })
      clock.advance(LIFETIME)
      const { accessToken } = (await person.send('/token')).json()
      await redis.command('FLUSHALL') // a minute later
      t.equal((await person.send('/token')).json().accessToken, accessToken)
      t.equal(provider.refreshes.length, 1)
    })
  })
}

type Person = Awaited<ReturnType<typeof personAt>>

interface Options {
  auth0?: Auth0Options | undefined
  provider?: Provider
  clock?: Clock
}

/** Somebody logged in, with an encrypted cookie, on an application that refreshes and writes. */
async function build (t: Test, { auth0, provider: given, clock: known }: Options = {}) {
  const clock = known ?? travelInTime(t)
  const provider = given ?? new Provider()
  provider.accessTokenLifetime = LIFETIME
  const gate = new Gate()
  const built = await buildApp(t, {
    provider,
    auth0: { authorizationParams: { scope: 'openid profile offline_access', audience: 'https://api.example.com' }, ...auth0 },
    fastify: { forceCloseConnections: true },
    routes: app => addRoutes(app, gate)
  })
  const newPerson = (user = provider.user) => personAt(built.app, provider, built.newBrowser(), user)
  return { ...built, provider, clock, gate, newPerson, person: await newPerson() }
}

/** A person whose browser keeps those cookies alone that the test gives it. */
async function personAt (app: FastifyInstance, provider: Provider, browser: Awaited<ReturnType<typeof buildApp>>['browser'], user: Provider['user']) {
  await browser.login('/login?returnTo=/me', { authorize: { user } })
  const seal = createSeal([secret], JSON.stringify(['session 2', 'auth0', provider.issuer, provider.clientId]), 7 * 86_400, loginCodec)
  const headers = () => ({ cookie: browser.cookies.header(site), 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin' })
  return {
    browser,
    headers,
    /** Sends a request with the cookies that the browser has now; the answer is on its way. */
    send: (url: string, more: Record<string, string> = {}, host: FastifyInstance = app) => host.inject({ url, headers: { ...headers(), ...more } }),
    /** The answer arrives. */
    keep: (answer: Answer) => { for (const header of setCookies(answer)) browser.cookies.keep(header, site, 'strict') },
    /** What the browser keeps. */
    login: () => {
      const chunks = browser.cookieNames(`${NAME}.`).map(name => browser.cookie(name)!.split('.').slice(2).join('.'))
      return seal.open(browser.cookie(NAME) ?? chunks.join('')) as Login
    }
  }
}

function addRoutes (app: FastifyInstance, gate: Gate): void {
  type Note = { Params: { note: string } }
  app.get<{ Querystring: { audience?: string, force?: string } }>('/token', async ({ auth0, query: { audience, force } }) =>
    auth0.getTokenSet({ audience, forceRefresh: force !== undefined }))
  app.get<Note>('/note/:note', async ({ auth0, params }) => auth0.updateSession(params))
  app.get('/slow', async request => {
    const { user } = request.auth0
    await gate.pass(request)
    return user
  })
  app.get('/slow-token', async request => {
    t.ok(request.auth0.isAuthenticated)
    await gate.pass(request)
    return request.auth0.getTokenSet()
  })
  app.get<Note>('/slow-note/:note', async request => {
    t.ok(request.auth0.isAuthenticated)
    await gate.pass(request)
    await request.auth0.updateSession(request.params)
  })
  app.get('/cart', async ({ session }) => session.cart)
  app.get('/slow-cart', async request => {
    t.ok(request.auth0.isAuthenticated)
    await gate.pass(request)
    request.session.cart = ['late']
  })
  app.get<Note>('/note-and-wait/:note', async request => {
    await request.auth0.updateSession(request.params)
    await gate.pass(request)
  })
  app.get('/token-and-wait', async request => {
    await request.auth0.getTokenSet()
    await gate.pass(request)
  })
  app.get<{ Params: { length: string } }>('/large-note/:length', async ({ auth0, params }) => auth0.updateSession({ note: 'n'.repeat(Number(params.length)) }))
  app.get<Note>('/token-then-note/:note', async ({ auth0, params }) => {
    await auth0.getTokenSet()
    await auth0.updateSession(params)
  })
  app.get<Note>('/note-then-token/:note', async ({ auth0, params }) => {
    await auth0.updateSession(params)
    await auth0.getTokenSet()
  })
  app.get<Note>('/note-while-token/:note', async ({ auth0, params }) => {
    await Promise.all([auth0.getTokenSet(), auth0.updateSession(params)])
  })
  const endedMeanwhile: Record<string, (request: FastifyRequest) => Promise<unknown>> = {
    '/logout-while-token': ({ auth0 }) => auth0.getTokenSet(),
    '/logout-while-note': ({ auth0 }) => auth0.updateSession({ note: 'late' })
  }
  for (const [url, act] of Object.entries(endedMeanwhile)) {
    app.get(url, async (request, reply) => {
      const acted = act(request).then(() => null, error => error.code)
      await app.auth0.logout(request, reply)
      return { code: await acted }
    })
  }
}

/** The provider's tokens are longer than usual. */
function lengthened (more: string) {
  return async ({ honest }: { honest: () => Promise<Response> }) => {
    const answer = await honest()
    const json = await answer.json() as { access_token: string }
    return new Response(JSON.stringify({ ...json, access_token: json.access_token + more }), { status: answer.status, headers: { 'content-type': 'application/json' } })
  }
}

function setCookies ({ headers }: Answer): string[] {
  return [headers['set-cookie'] ?? []].flat()
}

/** Numbers from 0 to 1, the same each time (mulberry32). */
function sequence (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffled<T> (items: T[], random: () => number): T[] {
  return items.map(item => ({ item, at: random() })).sort((a, b) => a.at - b.at).map(({ item }) => item)
}
