import t, { type Test } from 'tap'
import { HANDLE, handleOf } from '../lib/store/handle.ts'
import { nameOf } from '../lib/store/session-store.ts'
import { Gate } from './helpers/gates.ts'
import { skipWithoutRedis } from './helpers/redis.ts'
import { memoryPlace, RECOMMENDED, redisPlace, type Members, type Place } from './helpers/session-site.ts'

const HOUR = 3600 // seconds
const DAY = 24 * HOUR

/** What a newcomer sees who has @fastify/session and a store of ours, and nothing else of us. */
const behaviours: Record<string, (t: Test, place: Place) => Promise<void>> = {
  'members are there at the next request, for whom they are': async (t, place) => {
    const { visitor } = await place.build()
    const [ada, grace] = [visitor(), visitor()]
    await ada.run(session => { session.cart = ['book'] })
    await grace.run(session => { session.cart = ['pen'] })
    t.same(await ada.members(), { cart: ['book'] })
    t.same(await grace.members(), { cart: ['pen'] })
    t.same(await visitor().members(), {})
  },

  'by the defaults of @fastify/session every visitor has a session, and a cookie with every answer': async (t, place) => {
    const { visitor } = await place.build()
    const ada = visitor()
    for (let time = 0; time < 2; time++) t.equal((await ada.run(() => {})).cookies.length, 1)
    const id = await ada.run(session => session.sessionId)
    await ada.run(session => { session.seen = true })
    t.equal(await ada.run(session => session.sessionId).then(({ body }) => body), id.body)
  },

  'as recommended only a visitor of whom something is kept has a session, and the cookie is set when it changes': async (t, place) => {
    const { visitor } = await place.build(RECOMMENDED)
    const ada = visitor()
    t.same((await ada.run(() => {})).cookies, [])
    t.equal((await ada.run(session => { session.cart = 1 })).cookies.length, 1)
    t.same((await ada.run(session => session.cart)).cookies, [])
    t.equal((await ada.run(session => { session.cart = 2 })).cookies.length, 1)
    t.same(await ada.members(), { cart: 2 })
  },

  'H3 two requests change different members, and both stay': async (t, place) => {
    const { visitor } = await place.build()
    const [ada, gate] = [visitor(), new Gate()]
    await ada.run(session => { Object.assign(session, { cart: 1, removed: 1 }) })
    const slow = await gate.hold(headers => ada.run(async (session, request) => {
      await gate.pass(request)
      session.theme = 'dark'
    }, headers))
    await ada.run(session => {
      session.cart = 2
      delete session.removed
    })
    t.equal((await slow.release()).statusCode, 200)
    t.same(await ada.members(), { cart: 2, theme: 'dark' })
  },

  'a member that is removed is gone, and no other': async (t, place) => {
    const { visitor } = await place.build()
    const ada = visitor()
    await ada.run(session => { Object.assign(session, { a: 1, b: 2, c: 3 }) })
    await ada.run(session => {
      delete session.a
      session.b = undefined
    })
    t.same(await ada.members(), { c: 3 })
  },

  'H1 destroyed stays destroyed, with a slow request under way': async (t, place) => {
    for (const way of ['writes', 'saves', 'reloads', 'regenerates']) {
      const { visitor } = await place.build()
      const [ada, gate] = [visitor(), new Gate()]
      await ada.run(session => { session.user = 'ada' })
      const stolen = ada.cookie
      const slow = await gate.hold(headers => ada.run(async (session, request) => {
        await gate.pass(request)
        session.seen = true
        if (way === 'saves') await session.save()
        if (way === 'reloads') await session.reload()
        if (way === 'regenerates') await session.regenerate(['seen'])
      }, headers))
      await ada.run(session => session.destroy())
      t.equal((await slow.release()).statusCode, 200)
      ada.cookie = stolen
      t.same(await ada.members(), {}, way)
      t.not(ada.cookie, stolen, 'another session')
    }
  },

  'H4 a session that is over is not revived by a request under way': async (t, place) => {
    const { visitor } = await place.build({}, { idleTimeout: HOUR })
    const [ada, gate] = [visitor(), new Gate()]
    await ada.run(session => { session.user = 'ada' })
    const id = ada.cookie
    const slow = await gate.hold(headers => ada.run(async (session, request) => {
      await gate.pass(request)
      session.seen = true
    }, headers))
    await place.pass(HOUR)
    await slow.release()
    ada.cookie = id
    t.same(await ada.members(), {})
  },

  'regenerate: another id, with those members alone that are to be kept, and the old one is dead': async (t, place) => {
    const { visitor } = await place.build()
    const [ada, thief] = [visitor(), visitor()]
    await ada.run(session => { Object.assign(session, { cart: 1, seen: 1 }) })
    thief.cookie = ada.cookie
    await ada.run(async (session, request) => {
      await session.regenerate(['cart'])
      Object.assign(request.session, { user: 'ada' })
    })
    t.same(await ada.members(), { cart: 1, user: 'ada' })
    t.same(await thief.members(), {})
  },

  'regenerate: keeps whatever has a name, when it is told to': async (t, place) => {
    const { visitor } = await place.build()
    const ada = visitor()
    await ada.run(session => { Object.assign(session, { cart: 1, seen: 1 }) })
    await ada.run(session => session.regenerate(Object.keys(session)))
    t.same(await ada.members(), { cart: 1, seen: 1 })
    await ada.run(session => { session.seen = 2 })
    t.same(await ada.members(), { cart: 1, seen: 2 })
  },

  'reload: has what others wrote meanwhile': async (t, place) => {
    const { visitor } = await place.build()
    const [ada, gate] = [visitor(), new Gate()]
    await ada.run(session => { session.cart = 1 })
    const slow = await gate.hold(headers => ada.run(async (session, request) => {
      session.lost = true
      await gate.pass(request)
      await session.reload()
      Object.assign(request.session, { seen: (request.session as unknown as Members).cart })
    }, headers))
    await ada.run(session => { session.cart = 2 })
    await slow.release()
    t.same(await ada.members(), { cart: 2, seen: 2 })
  },

  'save: as often as one likes in a request': async (t, place) => {
    const { visitor } = await place.build()
    const [ada, grace] = [visitor(), visitor()]
    const save = async (session: Members) => {
      for (const number of [1, 2, 3]) {
        Object.assign(session, { last: number, [`saved ${number}`]: true })
        await session.save()
      }
      delete session['saved 1']
    }
    const saved = { last: 3, 'saved 2': true, 'saved 3': true }
    await ada.run(save)
    t.same(await ada.members(), saved, 'one that begins')
    await grace.run(() => {})
    await grace.run(save)
    t.same(await grace.members(), saved, 'one that is there')
    await visitor().run(async session => {
      session.cart = 1
      await Promise.all([session.save(), session.save()])
      session.seen = 1
    }).then(({ statusCode }) => t.equal(statusCode, 200, 'twice at once'))
  },

  'save: tells when it is done, by callback, too': async (t, place) => {
    const { visitor } = await place.build()
    const ada = visitor()
    await ada.run(session => {
      session.cart = 1
      return new Promise(resolve => { session.save(resolve) })
    })
    t.same(await ada.members(), { cart: 1 })
    await ada.run(session => new Promise(resolve => { session.destroy(resolve) }))
    ada.cookie = null
    t.same(await ada.members(), {})
  },

  'touch and options change the cookie, and nothing else': async (t, place) => {
    const { visitor } = await place.build({ cookie: { secure: false, maxAge: 60_000 } })
    const ada = visitor()
    await ada.run(session => { session.cart = 1 })
    await ada.run(session => session.touch())
    const { cookies: [set] } = await ada.run(session => session.options({ path: '/', sameSite: 'strict' }))
    t.match(set, { name: 'sessionId', sameSite: 'Strict' })
    t.same(await ada.members(), { cart: 1 })
  },

  'values are what JSON makes of them': async (t, place) => {
    const { visitor } = await place.build()
    const ada = visitor()
    const date = new Date('2024-02-29T12:00:00Z')
    const nested = { list: [1, [2, { three: null }]], empty: {}, text: 'é🔑\0"\\' }
    await ada.run(session => {
      Object.assign(session, { nested, date, nothing: null, no: false, zero: 0, absent: undefined, act: () => 1, own: { toJSON: () => 'mine' }, symbol: Symbol('s') })
    })
    const kept = { nested, date: date.toISOString(), nothing: null, no: false, zero: 0, own: 'mine' }
    t.same(await ada.members(), kept)
    await ada.run(session => { (session.nested as typeof nested).list.push(3) })
    t.same((await ada.members()).nested, { ...nested, list: [...nested.list, 3] }, 'a change deep inside counts')
  },

  'what JSON cannot hold is an error, and nothing is half written': async (t, place) => {
    const { visitor } = await place.build({ rolling: false })
    const ada = visitor()
    await ada.run(session => { session.cart = 1 })
    t.equal((await ada.run(session => { Object.assign(session, { cart: 2, large: 10n }) })).statusCode, 500)
    t.same(await ada.members(), { cart: 1 })
  },

  'H13 a member that would be the prototype is dropped, and pollutes nothing': async (t, place) => {
    const { visitor, store } = await place.build()
    const ada = visitor()
    await ada.run(session => {
      Object.defineProperty(session, '__proto__', { value: { isAdmin: true }, enumerable: true })
      session.nested = JSON.parse('{ "__proto__": { "isAdmin": true } }')
    })
    const id = await ada.run(session => session.sessionId)
    t.equal((await ada.run(session => [session.isAdmin, Object.hasOwn(session, '__proto__'), typeof session.save].join())).body, ',false,function')
    await store.records.commit(nameOf(id.body), Object.fromEntries([['__proto__', '{"isAdmin":true}']]))
    t.equal((await ada.run(session => [session.isAdmin, typeof session.save].join())).body, ',function', 'nor one that another wrote')
    t.equal(({} as Record<string, unknown>).isAdmin, undefined)
  },

  'members have whatever names': async (t, place) => {
    const { visitor } = await place.build()
    const ada = visitor()
    const members = Object.fromEntries(['', 'd:x', 't', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '0', 'é🔑', 'a b', 'line\nbreak'].map(name => [name, name]))
    await ada.run(session => { Object.assign(session, members) })
    t.same(await ada.members(), members)
    await ada.run(session => { for (const name of Object.keys(members)) session[name] = `${name}!` })
    t.same(await ada.members(), Object.fromEntries(Object.keys(members).map(name => [name, `${name}!`])))
    await ada.run(session => { for (const name of Object.keys(members)) delete session[name] })
    t.same(await ada.members(), {})
  },

  'what is @fastify/session\'s own is not kept as a member': async (t, place) => {
    const { visitor, store } = await place.build()
    const ada = visitor()
    const id = (await ada.run(session => { session.cart = 1; return session.sessionId })).body
    await store.records.commit(nameOf(id), { sessionId: '"mine"', encryptedSessionId: '"mine"', cookie: '{"secure":true}' })
    t.equal((await ada.run(session => session.sessionId)).body, id)
    t.match((await ada.run(() => {})).cookies, [{ name: 'sessionId', secure: undefined }])
    const given = await new Promise<object>((resolve, reject) => store.get(id, (error, session) => error ? reject(error) : resolve(session as never)))
    t.same(Object.keys(given), ['cart', HANDLE])
  },

  'nothing but members is kept, nor what an application puts in our place': async (t, place) => {
    const { visitor, store } = await place.build()
    const ada = visitor()
    const id = (await ada.run(session => { session.cart = 1; return session.sessionId })).body
    const fields = async () => (await store.records.read(nameOf(id)))?.fields
    t.strictSame({ ...await fields() }, { cart: '1' })
    for (const [number, spoilt] of ['mine', { session: nameOf(id), record: { fields: {} }, failure: null }].entries()) {
      const answer = await ada.run(session => { Object.assign(session, { [HANDLE]: spoilt, cart: number }) })
      t.equal(answer.statusCode, 200)
      t.strictSame({ ...await fields() }, { cart: String(number) })
      t.equal((await ada.run(session => session.sessionId)).body, id)
    }
  },

  'our own member is not in JSON, and no change': async (t, place) => {
    const { visitor } = await place.build(RECOMMENDED)
    const ada = visitor()
    await ada.run(session => { session.cart = 1 })
    const { body } = await ada.run(async (session, _request, reply) => {
      if (handleOf(session) === null || session.isModified()) throw new Error('no handle, or it counts')
      return reply.send(session)
    })
    t.same(Object.keys(JSON.parse(body)).sort(), ['cart', 'cookie'])
    t.equal((await ada.run(session => JSON.stringify(session))).body, body)
    t.equal((await ada.run(async session => {
      session.cart = 2
      await session.save()
      return session.isModified()
    })).body, 'false')
  },

  'a session ends after its idle time-out, and each use puts that off': async (t, place) => {
    for (const options of [{}, RECOMMENDED]) {
      const { visitor } = await place.build(options, { idleTimeout: HOUR })
      const ada = visitor()
      await ada.run(session => { session.cart = 1 })
      for (let time = 0; time < 3; time++) {
        await place.pass(HOUR - 60)
        t.same(await ada.members(), { cart: 1 })
      }
      await place.pass(HOUR)
      t.same(await ada.members(), {})
    }
  },

  'a session ends after its absolute time-out, whatever its use': async (t, place) => {
    const { visitor } = await place.build({}, { idleTimeout: HOUR, absoluteTimeout: 2 * HOUR })
    const ada = visitor()
    await ada.run(session => { session.seen = 0 })
    for (const seen of [1, 2]) {
      await place.pass(HOUR - 60)
      t.same(await ada.members(), { seen: seen - 1 })
      await ada.run(session => { session.seen = seen })
    }
    await place.pass(121)
    t.same(await ada.members(), {})
  },

  'by default a session ends a day after its last use, and after three at the latest': async (t, place) => {
    const { visitor } = await place.build()
    const [ada, grace] = [visitor(), visitor()]
    for (const one of [ada, grace]) await one.run(session => { session.cart = 1 })
    for (let day = 0; day < 2; day++) {
      await place.pass(DAY - 60)
      t.same(await ada.members(), { cart: 1 })
    }
    t.same(await grace.members(), {})
    await place.pass(DAY - 60)
    t.same(await ada.members(), { cart: 1 })
    await place.pass(4 * 60)
    t.same(await ada.members(), {})
  },

  'the maxAge of the cookie counts when it is shorter than the idle time-out': async (t, place) => {
    for (const [maxAge, idleTimeout, ends] of [[60_000.5, HOUR, 61], [DAY * 1000, HOUR, HOUR], [undefined, HOUR, HOUR]] as const) {
      const { visitor } = await place.build({ ...RECOMMENDED, cookie: { secure: false, ...maxAge !== undefined && { maxAge } } }, { idleTimeout })
      const ada = visitor()
      await ada.run(session => { session.cart = 1 })
      await place.pass(ends - 10)
      t.same(await ada.members(), { cart: 1 })
      await place.pass(ends)
      t.same(await ada.members(), {})
    }
  }
}

t.test('in memory', async t => {
  for (const [name, behave] of Object.entries(behaviours)) t.test(name, async t => behave(t, await memoryPlace(t)))
})

t.test('in Redis', { skip: skipWithoutRedis }, async t => {
  for (const [name, behave] of Object.entries(behaviours)) t.test(name, async t => behave(t, await redisPlace(t)))
})
