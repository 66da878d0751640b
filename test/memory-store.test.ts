import t from 'tap'
import { MemoryStore } from '../lib/index.ts'
import { handleOf } from '../lib/store/handle.ts'
import { MemoryRecords } from '../lib/store/memory-records.ts'
import { nameOf } from '../lib/store/session-store.ts'
import { newEntry, newRecord } from './helpers/records.ts'
import { buildSite, memoryPlace, RECOMMENDED } from './helpers/session-site.ts'

const HOUR = 3600 // seconds

t.test('O7 a MemoryStore holds so many sessions, and the one used longest ago makes room', async t => {
  const { visitor } = await buildSite(t, new MemoryStore({ maxEntries: 3 }), RECOMMENDED)
  const visitors = Array.from({ length: 4 }, visitor)
  for (const one of visitors.slice(0, 3)) await one.run(session => { session.cart = 1 })
  await visitors[0]!.members()
  await visitors[3]!.run(session => { session.cart = 1 })
  const there: boolean[] = []
  for (const one of visitors) there.push('cart' in await one.members())
  t.same(there, [true, false, true, true])
})

t.test('O7 nothing in memory grows without end: entries leave with their sessions', async t => {
  const records = new MemoryRecords(10)
  for (let number = 0; number < 1000; number++) await logIn(records, `session ${number}`, ['ada', `sid ${number}`])
  t.equal((await records.list('ada')).length, 10)
  t.same(await records.list('sid 5'), [])
  t.equal((await records.list('sid 999')).length, 1)
  await records.touch('session 999')
  t.equal((await records.list('ada')).length, 10, 'the use of one takes nothing from another')
})

t.test('whoever is in use can be found, however many came and went meanwhile', async t => {
  const records = new MemoryRecords(10)
  const uses = [() => records.read('a'), () => records.touch('a'), () => records.commit('a', { cart: '1' })]
  await logIn(records, 'a', ['ada', 'sid of ada'])
  for (let number = 0; number < 100; number++) {
    await logIn(records, `session ${number}`, [`sub ${number}`, `sid ${number}`])
    if (number % 2 === 0) await records.end(`session ${number}`)
    await uses[number % 3]!()
  }
  for (const index of ['ada', 'sid of ada']) t.equal((await records.close(index, 1, 1000)).length, 1)
})

t.test('O7 marks are bounded, too, and indexes of what was never created', async t => {
  const records = new MemoryRecords(10)
  for (let number = 0; number < 100; number++) await records.enter(`index ${number}`, newEntry('unborn'))
  t.same((await Promise.all([79, 80].map(number => records.list(`index ${number}`)))).map(({ length }) => length), [0, 1])
  for (let number = 0; number < 100; number++) await records.mark(`mark ${number}`, number, 1000)
  t.same(await records.marks(['mark 0', 'mark 79', 'mark 80', 'mark 99']), [null, null, 80, 99])
})

t.test('O7 so are leases and texts', async t => {
  const records = new MemoryRecords(10)
  for (let number = 0; number < 11; number++) {
    await records.keep(`text ${number}`, 'text', 1000)
    await records.lease(`lease ${number}`, 'owner', 1000)
  }
  t.same(await Promise.all([0, 1].map(number => records.recall(`text ${number}`))), [null, 'text'])
  t.same(await Promise.all([1, 0].map(number => records.lease(`lease ${number}`, 'another', 1000))), [false, true])
})

t.test('for the plugin', async t => {
  t.test('H3 a record that was read again, because its login changed, takes back nobody\'s change', async t => {
    const place = await memoryPlace(t)
    const { visitor, store } = await place.build()
    const ada = visitor()
    await ada.run(session => { Object.assign(session, { cart: 1, seen: 1 }) })
    await ada.run(async (session, request) => {
      const handle = handleOf(request.session)!
      await store.records.commit(handle.session, { cart: '2' })
      handle.record = await store.records.read(handle.session)
      session.seen = 2
    })
    t.same(await ada.members(), { cart: 2, seen: 2 })
  })

  t.test('a login that changed while the session was saved is not taken back', async t => {
    const store = new MemoryStore()
    await store.records.create(nameOf('id'), { fields: {}, login: 'first', places: [], idleTimeout: 60_000, absoluteTimeout: 60_000, notAfter: null })
    const session = await new Promise<Record<string, unknown>>((resolve, reject) => store.get('id', (error, found) => error ? reject(error) : resolve(found as never)))
    const handle = handleOf(session)!
    const save = () => new Promise<void>((resolve, reject) => store.set('id', session as never, error => error ? reject(error) : resolve()))
    session.cart = 1
    const saved = save()
    handle.record = { ...handle.record!, login: 'second', version: 2 }
    await saved
    t.match(handle.record, { login: 'second', version: 2 })
    t.same(handle.fields, { cart: '1' })

    session.cart = 2
    const over = save()
    handle.record = null
    await over
    t.equal(handle.record, null)
    session.cart = 3
    await save()
    t.same((await store.records.read(nameOf('id')))?.fields, { cart: '2' }, 'nothing is written to what is gone')
  })

  t.test('a session is used by what asks for it, not by being read', async t => {
    const place = await memoryPlace(t)
    const { visitor, store } = await place.build(RECOMMENDED, { idleTimeout: HOUR })
    store.tolerateFailures()
    const ada = visitor()
    await ada.run(session => { session.cart = 1 })
    await place.pass(HOUR - 60)
    t.same(await ada.members(), { cart: 1 })
    await place.pass(HOUR - 60)
    t.same(await ada.members(), {})
  })

  t.test('unless @fastify/session is told to roll it on', async t => {
    const place = await memoryPlace(t)
    const { visitor, store } = await place.build({ rolling: true }, { idleTimeout: HOUR })
    store.tolerateFailures()
    const ada = visitor()
    await ada.run(session => { session.cart = 1 })
    for (let time = 0; time < 2; time++) {
      await place.pass(HOUR - 60)
      t.same(await ada.members(), { cart: 1 })
    }
  })
})

const wrong: Array<[name: string, make: () => unknown, says: RegExp]> = [
  ['an absolute time-out that never ends', () => new MemoryStore({ absoluteTimeout: Infinity }), /"absoluteTimeout".* number of seconds/],
  ['a time-out that is a text', () => Reflect.construct(MemoryStore, [{ idleTimeout: '1h' }]), /"idleTimeout"/],
  ['room for nobody', () => new MemoryStore({ maxEntries: 0 }), /"maxEntries".* whole number of sessions/],
  ['room for half of one', () => new MemoryStore({ maxEntries: 0.5 }), /"maxEntries"/]
]
for (const [name, make, says] of wrong) {
  t.test(`says what is wrong with ${name}`, async t => {
    t.throws(make, { code: 'FST_AUTH0_OPTIONS_INVALID', message: says })
  })
}

async function logIn (records: MemoryRecords, session: string, indexes: string[]): Promise<void> {
  const places = []
  for (const index of indexes) {
    const entered = await records.enter(index, newEntry(session))
    if (entered.outcome === 'entered') places.push({ index, entry: entered.entry })
  }
  await records.create(session, newRecord({ places }))
}
