import t, { type Test } from 'tap'
import { BIRTH, sessionOf, SUSPECTS, TOMBSTONE, type Entered, type Place, type Records } from '../lib/store/records.ts'
import { DAY, HOUR, kinds, newEntry, newRecord, type Subject } from './helpers/records.ts'
import { skipWithoutRedis } from './helpers/redis.ts'

const SECOND = 1000

type Behaviour = (t: Test, subject: Subject) => Promise<void>

/** What sessions do, wherever they are kept. */
const behaviours: Record<string, Behaviour> = {
  'create: a session is there, with fields, login and times': async (t, { records }) => {
    t.equal(await records.read('a'), null)
    t.equal(await records.create('a', newRecord({ fields: { cart: '["book"]' }, login: 'sealed' })), true)
    const { usedAt = 0, ...record } = await records.read('a') ?? {}
    t.match(record, { fields: { cart: '["book"]' }, login: 'sealed', version: 1, idleTimeout: HOUR })
    t.ok(Math.abs(Date.now() - usedAt) < 10 * SECOND)
  },

  'create: never over a login': async (t, { records }) => {
    await records.create('a', newRecord({ login: 'first', fields: { who: '"Ada"' } }))
    t.equal(await records.create('a', newRecord({ login: 'second', fields: { who: '"Eve"' } })), false)
    t.equal(await records.create('a', newRecord({ login: null, fields: { who: '"Eve"' } })), false)
    t.match(await records.read('a'), { login: 'first', fields: { who: '"Ada"' }, version: 1 })
  },

  'H1 create: never over what ended, be it there or about to be': async (t, { records, pass }) => {
    await records.create('there', newRecord())
    for (const session of ['there', 'not yet']) {
      await records.end(session)
      await pass(TOMBSTONE - 5 * SECOND)
      for (const login of ['sealed', null]) t.equal(await records.create(session, newRecord({ login, fields: { a: '1' } })), false)
      t.equal(await records.read(session), null)
      await pass(10 * SECOND)
      t.equal(await records.create(session, newRecord()), true, 'ids are not used twice: this is only not to keep them for ever')
    }
  },

  'create: not after the time that enter gave': async (t, { records }) => {
    t.equal(await records.create('late', newRecord({ notAfter: Date.now() - 10 * SECOND })), false)
    t.equal(await records.read('late'), null)
    t.equal(await records.create('in time', newRecord({ notAfter: Date.now() + 10 * SECOND })), true)
  },

  'create: somebody logs in to a session that nobody is logged in to, and its time begins': async (t, { records, pass }) => {
    await records.create('a', newRecord({ login: null, fields: { cart: '1', seen: '1' }, absoluteTimeout: HOUR }))
    await pass(HOUR - 10 * SECOND)
    t.equal(await records.create('a', newRecord({ fields: { seen: '2' } })), true)
    t.match(await records.read('a'), { login: 'sealed', fields: { cart: '1', seen: '2' }, version: 1 })
    await pass(HOUR - 10 * SECOND)
    t.not(await records.read('a'), null)
  },

  'create: a session without a login that is created twice keeps its times': async (t, { records, pass }) => {
    await records.create('a', newRecord({ login: null, fields: { cart: '1' }, idleTimeout: DAY, absoluteTimeout: HOUR }))
    t.equal(await records.create('a', newRecord({ login: null, fields: { seen: '1' }, idleTimeout: 5 * DAY, absoluteTimeout: 5 * DAY })), true)
    t.match(await records.read('a'), { login: null, fields: { cart: '1', seen: '1' }, idleTimeout: DAY })
    await pass(HOUR)
    t.equal(await records.read('a'), null)
  },

  'H3 commit: changes, adds and removes those fields alone': async (t, { records }) => {
    await records.create('a', newRecord({ fields: { changed: '1', removed: '1', kept: '1' } }))
    t.equal(await records.commit('a', { changed: '2', removed: null, added: '1', 'never there': null }), true)
    t.match(await records.read('a'), { login: 'sealed', version: 1 })
    t.same((await records.read('a'))?.fields, { changed: '2', kept: '1', added: '1' })
  },

  'H3 commit: of two at once, both stay': async (t, { records }) => {
    await records.create('a', newRecord())
    await Promise.all(range(100).map(number => records.commit('a', { [`field ${number}`]: String(number) })))
    t.equal(Object.keys((await records.read('a'))?.fields ?? {}).length, 100)
  },

  'H1 commit: changes only what is there': async (t, { records }) => {
    await records.create('ended', newRecord())
    await records.end('ended')
    for (const session of ['ended', 'never there']) {
      t.equal(await records.commit(session, { a: '1' }), false)
      t.equal(await records.touch(session), false)
      t.equal(await records.replaceLogin(session, 1, 'sealed'), 'absent')
      t.equal(await records.read(session), null)
    }
    t.equal(await records.create('ended', newRecord()), false, 'and does not take away that it ended')
  },

  'H4 idle: a session that was not used is over, and no write revives it': async (t, { records, pass }) => {
    await records.create('a', newRecord({ login: null }))
    await records.create('b', newRecord())
    await pass(HOUR)
    t.equal(await records.commit('a', { a: '1' }), false)
    t.equal(await records.touch('b'), false)
    t.equal(await records.replaceLogin('b', 1, 'sealed'), 'absent')
    for (const session of ['a', 'b']) t.equal(await records.read(session), null)
  },

  'uses: each write extends a session by its idle time-out': async (t, { records, pass }) => {
    await records.create('a', newRecord({ idleTimeout: HOUR, absoluteTimeout: 4 * HOUR }))
    const uses = [() => records.commit('a', { a: '1' }), () => records.touch('a'), () => records.replaceLogin('a', 1, 'sealed')]
    for (const use of uses) {
      await pass(HOUR - 10 * SECOND)
      t.ok(await use())
      t.ok(Math.abs(Date.now() - (await records.read('a'))!.usedAt) < 5 * SECOND)
    }
    await pass(HOUR - 10 * SECOND)
    t.not(await records.read('a'), null)
    await pass(10 * SECOND)
    t.equal(await records.read('a'), null)
  },

  'uses: none goes beyond the absolute time-out': async (t, { records, pass }) => {
    await records.create('a', newRecord({ idleTimeout: HOUR, absoluteTimeout: 2 * HOUR }))
    for (let time = 0; time < 2; time++) {
      await pass(HOUR - 5 * SECOND)
      t.equal(await records.touch('a'), true)
      await records.commit('a', { a: '1' })
      await records.replaceLogin('a', time + 1, 'sealed')
    }
    await pass(10 * SECOND)
    t.equal(await records.read('a'), null)
    t.equal(await records.touch('a'), false)
  },

  'replaceLogin: of two writers exactly one wins': async (t, { records }) => {
    await records.create('a', newRecord({ login: 'first', fields: { cart: '1' } }))
    const outcomes = await Promise.all(range(10).map(number => records.replaceLogin('a', 1, `by ${number}`)))
    t.same(outcomes.filter(outcome => outcome !== 'changed'), ['replaced'])
    t.match(await records.read('a'), { login: `by ${outcomes.indexOf('replaced')}`, version: 2, fields: { cart: '1' } })
    t.equal(await records.replaceLogin('a', 2, 'next'), 'replaced')
    t.equal((await records.read('a'))?.version, 3)
  },

  'replaceLogin: nobody is logged in': async (t, { records }) => {
    await records.create('a', newRecord({ login: null }))
    t.equal(await records.replaceLogin('a', 1, 'sealed'), 'absent')
    t.equal((await records.read('a'))?.login, null)
  },

  'end: says whether it was there, however often': async (t, { records }) => {
    await records.create('a', newRecord())
    await records.create('anonymous', newRecord({ login: null }))
    for (const session of ['a', 'anonymous']) {
      t.equal(await records.end(session), true)
      t.equal(await records.end(session), false)
      t.equal(await records.read(session), null)
    }
    t.equal(await records.end('never there'), false)
  },

  'end: removes a session from its indexes, and no other': async (t, { records }) => {
    const places = [await place(records, 'sub', 'a'), await place(records, 'sid', 'a')]
    const other = await place(records, 'sub', 'b')
    await records.create('a', newRecord({ places }))
    await records.create('b', newRecord({ places: [other] }))
    await records.commit('a', { x: '1' })
    await records.replaceLogin('a', 1, 'sealed')
    await records.end('a')
    t.same(await records.list('sub'), [other.entry])
    t.same(await records.list('sid'), [])
  },

  'H1 end: beside create and commit, in whatever order, a session that ended is over': async (t, { records }) => {
    const names = range(100).map(number => `session ${number}`)
    await Promise.all(names.slice(50).map(name => records.create(name, newRecord())))
    await Promise.all(names.flatMap((name, number) => shuffled(number, [
      () => records.end(name), () => records.create(name, newRecord()), () => records.commit(name, { a: '1' }), () => records.replaceLogin(name, 1, 'sealed'), () => records.touch(name)
    ])))
    t.same(await Promise.all(names.map(name => records.read(name))), names.map(() => null))
  },

  'enter: gives an entry that names the session, and sorts by time': async (t, { records, enterLongAgo }) => {
    const old = await enterLongAgo('sub', 'a')
    const { entry, notAfter, ...rest } = entered(await records.enter('sub', newEntry('b')))
    t.match(rest, { surplus: [] })
    t.match(entry, /^\d{15}\.b$/)
    t.ok(Math.abs(notAfter - Date.now() - BIRTH) < 10 * SECOND)
    t.same([entry, old].sort().map(sessionOf), ['a', 'b'])
    t.same([...await records.list('sub')].sort(), [old, entry])
    t.same(await records.list('other'), [])
  },

  'close: nothing enters that was issued before then, what is not does': async (t, { records }) => {
    const before = entered(await records.enter('sub', newEntry('a')))
    t.same(await records.close('sub', 1000, HOUR), [before.entry])
    for (const issuedAt of [1, 999.5, Number.NaN]) t.same(await records.enter('sub', newEntry('b', { issuedAt })), { outcome: 'ended' }, String(issuedAt))
    t.equal((await records.enter('sub', newEntry('c', { issuedAt: 1000 }))).outcome, 'entered')
    t.equal((await records.enter('other', newEntry('d'))).outcome, 'entered')
    t.same((await records.list('sub')).map(sessionOf).sort(), ['a', 'c'])
  },

  'close: an index that is not there, too': async (t, { records }) => {
    t.same(await records.close('sub', 1000, HOUR), [])
    t.same(await records.enter('sub', newEntry('a', { issuedAt: 999 })), { outcome: 'ended' })
  },

  'close: the highest time counts, for the longest lifetime': async (t, { records, pass }) => {
    await records.close('sub', 2000, HOUR)
    await records.close('sub', 1000, 2 * HOUR)
    await records.close('sub', 1500, SECOND)
    await pass(2 * HOUR - 10 * SECOND)
    t.same(await records.enter('sub', newEntry('a', { issuedAt: 1999 })), { outcome: 'ended' })
    await pass(10 * SECOND)
    t.equal((await records.enter('sub', newEntry('a', { issuedAt: 1 }))).outcome, 'entered')
  },

  'enter: names the oldest that are too many': async (t, { records, enterLongAgo }) => {
    const oldest = await enterLongAgo('sub', 'a')
    const older = entered(await records.enter('sub', newEntry('b', { limit: 2 })))
    t.same(older.surplus, [])
    const third = entered(await records.enter('sub', newEntry('c', { limit: 2 })))
    t.same(third.surplus, [oldest])
    t.same(entered(await records.enter('sub', newEntry('d', { limit: 1 }))).surplus, [oldest, older.entry, third.entry].sort())
    t.same(entered(await records.enter('sub', newEntry('e', { limit: null }))).surplus, [])
  },

  'enter: the oldest began first, whichever was used last': async (t, { records, enterLongAgo }) => {
    const oldest = await enterLongAgo('sub', 'a')
    await records.create('a', newRecord({ idleTimeout: DAY, places: [{ index: 'sub', entry: oldest }] }))
    const { suspects } = entered(await records.enter('sub', newEntry('b')))
    await records.prune('sub', suspects)
    t.same(entered(await records.enter('sub', newEntry('c', { limit: 2 }))).surplus, [oldest])
  },

  'enter: refuses beyond the limit': async (t, { records }) => {
    const limited = { limit: 2, refusesBeyond: true }
    for (const session of ['a', 'b']) t.equal((await records.enter('sub', newEntry(session, limited))).outcome, 'entered')
    t.same(await records.enter('sub', newEntry('c', limited)), { outcome: 'full' })
    t.same((await records.list('sub')).map(sessionOf).sort(), ['a', 'b'])
    t.equal((await records.enter('sub', newEntry('c', { ...limited, limit: 3 }))).outcome, 'entered')
  },

  'enter: of a hundred at once as many get in as may': async (t, { records }) => {
    const outcomes = await Promise.all(range(100).map(number => records.enter('sub', newEntry(`session ${number}`, { limit: 3, refusesBeyond: true }))))
    t.equal(outcomes.filter(({ outcome }) => outcome === 'entered').length, 3)
    t.equal(outcomes.filter(({ outcome }) => outcome === 'full').length, 97)
    t.equal((await records.list('sub')).length, 3)
  },

  'enter: of a hundred at once no more stay than may': async (t, { records }) => {
    const names = range(100).map(number => `session ${number}`)
    await Promise.all(names.map(async name => {
      const { entry, notAfter, surplus } = entered(await records.enter('sub', newEntry(name, { limit: 3 })))
      await Promise.all(surplus.map(other => records.end(sessionOf(other))))
      await records.create(name, newRecord({ places: [{ index: 'sub', entry }], notAfter }))
    }))
    const alive = (await Promise.all(names.map(name => records.read(name)))).filter(record => record !== null).length
    t.ok(alive > 0 && alive <= 3, `${alive} stay`)
  },

  'enter: suspects those alone whose sessions may be over, and twenty at most': async (t, { records, enterLongAgo }) => {
    await records.enter('sub', newEntry('young'))
    const old: string[] = []
    for (const session of range(SUSPECTS + 5)) old.push(await enterLongAgo('sub', String(session)))
    const { suspects } = entered(await records.enter('sub', newEntry('new')))
    t.equal(suspects.length, SUSPECTS)
    t.same(suspects.filter(entry => !old.includes(entry)), [])
  },

  'prune: drops what is over, and no longer suspects what lives': async (t, { records, enterLongAgo }) => {
    for (const session of ['alive', 'over', 'ended']) await enterLongAgo('sub', session)
    await records.create('alive', newRecord())
    await records.end('ended')
    const { suspects } = entered(await records.enter('sub', newEntry('unborn')))
    t.same(suspects.map(sessionOf).sort(), ['alive', 'ended', 'over'])
    await records.prune('sub', await records.list('sub'))
    t.same((await records.list('sub')).map(sessionOf).sort(), ['alive', 'unborn'])
    t.same(entered(await records.enter('sub', newEntry('next'))).suspects, [])
  },

  'prune: puts nothing back that has left, and needs nothing to do': async (t, { records, enterLongAgo }) => {
    const entry = await enterLongAgo('sub', 'a')
    await records.create('a', newRecord({ places: [{ index: 'sub', entry }] }))
    await records.end('a')
    await records.create('b', newRecord())
    await records.prune('sub', [entry, entry.replace('.a', '.b')])
    await records.prune('nothing there', [entry])
    await records.prune('sub', [])
    for (const index of ['sub', 'nothing there']) t.same(await records.list(index), [])
  },

  'index: is there as long as the last of its sessions': async (t, { records, pass }) => {
    const { entry } = await place(records, 'sub', 'a')
    await records.enter('sub', newEntry('b', { idleTimeout: SECOND, absoluteTimeout: SECOND }))
    await pass(BIRTH - 5 * SECOND)
    await records.create('a', newRecord({ idleTimeout: DAY, absoluteTimeout: DAY, places: [{ index: 'sub', entry }] }))
    await pass(DAY - SECOND)
    t.not(await records.read('a'), null)
    t.ok((await records.list('sub')).includes(entry))
    await pass(HOUR)
    t.same(await records.list('sub'), [])
  },

  'mark: gives the time, and marks with it when it is given none': async (t, { records }) => {
    const before = await records.mark('a', 1000, HOUR)
    t.ok(Math.abs(before - Date.now()) < 10 * SECOND)
    const now = await records.mark('a', null, HOUR)
    t.ok(now >= before)
    t.same(await records.marks(['a']), [now])
  },

  'mark: the highest value counts, for the longest lifetime': async (t, { records, pass }) => {
    await records.mark('a', 1000, HOUR)
    await records.mark('a', 500, 2 * HOUR)
    await records.mark('a', 700, SECOND)
    await records.mark('b', Number.MAX_SAFE_INTEGER, HOUR)
    await records.mark('b', 1_700_000_000, HOUR)
    await records.mark('c', 0, HOUR)
    await records.mark('d', 1_700_000_000.25, HOUR)
    t.same(await records.marks(['a', 'never', 'b', 'c', 'd']), [1000, null, Number.MAX_SAFE_INTEGER, 0, 1_700_000_000.25])
    t.same(await records.marks([]), [])
    await pass(2 * HOUR - 10 * SECOND)
    t.same(await records.marks(['a', 'b']), [1000, null])
    await pass(10 * SECOND)
    t.same(await records.marks(['a']), [null])
  },

  'D14 lease: one owner at a time, and each name for itself': async (t, { records }) => {
    const owners = range(20).map(number => `owner ${number}`)
    const outcomes = await Promise.all(owners.map(owner => records.lease('a', owner, HOUR)))
    t.equal(outcomes.filter(isOwner => isOwner).length, 1)
    const owner = owners[outcomes.indexOf(true)] as string
    t.equal(await records.lease('a', 'another', HOUR), false)
    t.equal(await records.lease('b', 'another', HOUR), true)
    t.equal(await records.lease('a', owner, HOUR), true, 'which keeps it')
  },

  'D14 lease: ends by itself, by the clock of the store': async (t, { records, pass }) => {
    await records.lease('a', 'first', HOUR)
    await pass(HOUR - 10 * SECOND)
    t.equal(await records.lease('a', 'second', HOUR), false)
    await pass(10 * SECOND)
    t.equal(await records.lease('a', 'second', HOUR), true)
    t.equal(await records.lease('a', 'first', HOUR), false, 'whose it was must not take it back')
  },

  'D14 lease: its owner keeps it for longer': async (t, { records, pass }) => {
    await records.lease('a', 'first', HOUR)
    for (let time = 0; time < 3; time++) {
      await pass(HOUR - 10 * SECOND)
      t.equal(await records.lease('a', 'first', HOUR), true)
    }
    await pass(HOUR - 10 * SECOND)
    t.equal(await records.lease('a', 'second', HOUR), false)
    await pass(10 * SECOND)
    t.equal(await records.lease('a', 'second', HOUR), true)
  },

  'D14 release: by the owner alone': async (t, { records, pass }) => {
    await records.release('never there', 'first')
    await records.lease('a', 'first', HOUR)
    await records.release('a', 'second')
    t.equal(await records.lease('a', 'second', HOUR), false)
    await records.release('a', 'first')
    t.equal(await records.lease('a', 'second', HOUR), true)
    await pass(HOUR)
    await records.lease('a', 'third', HOUR)
    await records.release('a', 'second')
    t.equal(await records.lease('a', 'first', HOUR), false, 'nor by one whose lease is over')
  },

  'keep: a text is there for its time, and the last one counts': async (t, { records, pass }) => {
    t.equal(await records.recall('a'), null)
    await records.keep('a', 'first', HOUR)
    await records.keep('b', '', HOUR)
    t.same([await records.recall('a'), await records.recall('b')], ['first', ''])
    await pass(HOUR - 10 * SECOND)
    t.equal(await records.recall('a'), 'first')
    await records.keep('a', 'second é🔑\0', HOUR)
    await pass(HOUR - 10 * SECOND)
    t.same([await records.recall('a'), await records.recall('b')], ['second é🔑\0', null])
    await pass(10 * SECOND)
    t.equal(await records.recall('a'), null)
  },

  'leases, texts, marks and sessions of one name are different things': async (t, { records }) => {
    await records.lease('a', 'owner', HOUR)
    t.equal(await records.recall('a'), null)
    await records.keep('a', 'text', HOUR)
    t.same([await records.marks(['a']), await records.read('a')], [[null], null])
    await records.release('a', 'owner')
    t.equal(await records.recall('a'), 'text')
    t.equal(await records.lease('a', 'text', HOUR), true)
    t.equal(await records.create('a', newRecord()), true)
  },

  'names of fields are whatever people think of': async (t, { records }) => {
    const odd = ['', 'd:x', 'l', 't', 'constructor', 'toString', 'hasOwnProperty', '__proto__', '0', 'with space', 'line\nbreak', 'zero\0', 'é🔑', 'x'.repeat(1000)]
    const fields = Object.fromEntries(odd.map(name => [name, JSON.stringify(name)]))
    await records.create('a', newRecord({ fields }))
    t.same(Object.entries((await records.read('a'))?.fields ?? {}).sort(), Object.entries(fields).sort())
    await records.commit('a', Object.fromEntries(odd.map((name, at) => [name, at % 2 === 0 ? null : '1'])))
    const kept = (await records.read('a'))?.fields ?? {}
    t.same(Object.keys(kept).sort(), odd.filter((_name, at) => at % 2 !== 0).sort())
    t.ok([Object.prototype, null].includes(Object.getPrototypeOf(kept)))
    await records.commit('a', Object.fromEntries(odd.map(name => [name, null])))
    t.match(await records.read('a'), { fields: {}, login: 'sealed' })
  },

  'names of sessions are whatever a hash gives, and more': async (t, { records }) => {
    for (const session of ['{a}', '}{', 'é🔑', 'with.dot', 'with:colon', 'constructor', '__proto__']) {
      await records.create(session, newRecord({ places: [await place(records, 'sub', session)] }))
      t.not(await records.read(session), null)
      t.ok((await records.list('sub')).map(sessionOf).includes(session))
      t.equal(await records.end(session), true)
      t.same(await records.list('sub'), [])
    }
  },

  'fields are large, and many': async (t, { records }) => {
    const large = JSON.stringify('é'.repeat(500_000))
    const many = Object.fromEntries(range(1000).map(number => [`field ${number}`, String(number)]))
    await records.create('a', newRecord({ fields: { large, ...many } }))
    t.equal(Object.keys((await records.read('a'))!.fields).length, 1001)
    t.equal((await records.read('a'))!.fields.large, large)
    await records.commit('a', { large: null, ...Object.fromEntries(Object.keys(many).map(name => [name, null])) })
    t.same((await records.read('a'))?.fields, {})
  }
}

for (const [kind, needsRedis, begin] of kinds) {
  t.test(kind, { skip: needsRedis && skipWithoutRedis }, async t => {
    const start = await begin(t)
    for (const [name, behave] of Object.entries(behaviours)) {
      t.test(name, async t => {
        const subject = await start(t)
        await behave(t, subject)
        t.same(await subject.eternal(), [], 'nothing stays for ever')
        t.equal(subject.corrupt(), 0)
      })
    }
  })
}

async function place (records: Records, index: string, session: string): Promise<Place> {
  return { index, entry: entered(await records.enter(index, newEntry(session))).entry }
}

function entered (outcome: Entered): Extract<Entered, { outcome: 'entered' }> {
  if (outcome.outcome !== 'entered') throw new Error(outcome.outcome)
  return outcome
}

function range (length: number): number[] {
  return Array.from({ length }, (_, number) => number)
}

/** Begins them all at once, each time in another order. */
function shuffled (seed: number, acts: Array<() => Promise<unknown>>): Array<Promise<unknown>> {
  const from = seed % acts.length
  const turned = [...acts.slice(from), ...acts.slice(0, from)]
  return (seed % 2 === 0 ? turned : turned.reverse()).map(act => act())
}
