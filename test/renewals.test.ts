import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { FST_AUTH0_PROVIDER_UNAVAILABLE, FST_AUTH0_REFRESH_TOKEN_REFUSED } from '../lib/errors.ts'
import { Renewals, type Kept, type LoginKeeper } from '../lib/session/renewals.ts'
import type { Login, Renewal, RenewedLogin } from '../lib/session/sessions.ts'
import { isNewer } from '../lib/session/successors.ts'
import { MemoryRecords } from '../lib/store/memory-records.ts'
import type { Records } from '../lib/store/records.ts'
import { travelInTime } from './helpers/clock.ts'

const LEASE = 3000 // milliseconds

type Leases = Pick<Records, 'lease' | 'release'>

interface Wanted {
  name?: string
  isDone?: Renewal['isDone']
  /** What happens while the provider is asked, for which time. */
  during?: (attempt: number) => unknown
}

/** A session, kept in a variable. */
class Session {
  login: Login | null = loginOf(0)
  isAway = false
  ends = 0
  /** Of each login that the provider was asked with, how often it was refreshed before. */
  readonly runs: number[] = []
  readonly discarded: number[] = []
  readonly #name: string

  constructor (name = 'session') { this.#name = name }

  keeper (): LoginKeeper<Kept> {
    return {
      name: this.#name,
      load: async () => this.login && { login: this.login },
      replace: async (_before, renewed) => {
        if (this.isAway) throw new Error('the store is away')
        if (this.login === null) return null
        if (!isNewer(renewed, this.login)) return { kept: { login: this.login }, isOwn: false }
        this.login = { ...this.login, ...renewed }
        return { kept: { login: this.login }, isOwn: true }
      },
      end: async () => { this.ends++ }
    }
  }

  work ({ name = 'a', isDone = () => false, during = () => {} }: Wanted = {}): Renewal {
    let attempt = 0
    return {
      name,
      isDone,
      run: async ({ tokens }) => {
        this.runs.push(tokens.refreshes)
        await during(++attempt)
        return loginOf(tokens.refreshes + 1)
      },
      discard: ({ tokens }: RenewedLogin) => { this.discarded.push(tokens.refreshes) }
    }
  }
}

t.test('D14 of many who want the same at once one does the work, and all get what it brought', async t => {
  const { renewals, session, work } = build()
  const results = await Promise.all(Array.from({ length: 50 }, () => renewals.run(session.keeper(), work())))
  t.same(session.runs, [0])
  t.equal(results.filter(({ isOwn }) => isOwn).length, 1)
  t.same(new Set(results.map(({ kept }) => kept.login.tokens.refreshes)), new Set([1]))
})

t.test('D14 who comes while it is under way joins, be it done, failed or over', async t => {
  const { renewals, session, work } = build()
  const { opened, open } = gate()
  const first = renewals.run(session.keeper(), work({ during: () => opened }))
  await delay(50)
  const second = renewals.run(session.keeper(), work({ during: async () => t.fail('not asked') }))
  open()
  t.same([(await first).isOwn, (await second).isOwn], [true, false])
  const failures = await Promise.allSettled([1, 2].map(() => renewals.run(session.keeper(), work({ name: 'failing', during: () => { throw new Error('it is away') } }))))
  t.same(failures.map(({ status }) => status), ['rejected', 'rejected'])
  t.equal(session.runs.length, 2)
  await renewals.run(session.keeper(), work())
  t.equal(session.runs.length, 3, 'who comes later does not')
})

t.test('D14 who joins one that finds nothing to do, and wants more, has it done', async t => {
  const { renewals, session, work } = build()
  const { opened, open } = gate()
  const content = renewals.run({ ...session.keeper(), load: () => opened.then(session.keeper().load) }, work({ isDone: () => true }))
  const isDone = ({ tokens }: Login) => tokens.refreshes > 0
  const others = [1, 2, 3].map(() => renewals.run(session.keeper(), work({ isDone })))
  open()
  t.match(await content, { isOwn: false, kept: { login: { tokens: { refreshes: 0 } } } })
  for (const other of others) t.match(await other, { kept: { login: { tokens: { refreshes: 1 } } } })
  t.same(session.runs, [0], 'once')
})

t.test('D14 different things that are wanted of one session take turns; other sessions do not wait', async t => {
  const { renewals, session, work } = build()
  let atOnce = 0
  let most = 0
  const during = async () => {
    most = Math.max(most, ++atOnce)
    await delay(20)
    atOnce--
  }
  const results = await Promise.all(['a', 'b', 'c', 'd'].map(name => renewals.run(session.keeper(), work({ name, during }))))
  t.equal(most, 1)
  t.same(session.runs, [0, 1, 2, 3], 'each with what the one before it brought')
  t.ok(results.every(({ isOwn }) => isOwn))

  const other = new Session('other')
  const { opened, open } = gate()
  const slow = renewals.run(session.keeper(), work({ during: () => opened }))
  await renewals.run(other.keeper(), other.work())
  open()
  await slow
})

t.test('D14 within one process turns are in order, and none is asked for before it has come, however long that takes', async t => {
  const clock = patchPerformance(t)
  const names: string[] = []
  const records = new MemoryRecords(10)
  const leases: Leases = {
    lease: async (...args) => {
      names.push(args[0])
      return records.lease(...args)
    },
    release: records.release.bind(records)
  }
  const session = new Session()
  const renewals = new Renewals(leases)
  const wanted = ['a', 'b', 'c', 'd']
  const done: string[] = []
  await Promise.all(wanted.map(async name => {
    await renewals.run(session.keeper(), session.work({ name, during: () => clock.advance(20_000) })).catch(() => {})
    done.push(name)
  }))
  t.same(done, wanted)
  t.same(session.runs, [0, 1, 2, 3])
  t.equal(names.length, 4)

  const failing = renewals.run(session.keeper(), session.work({ name: 'failing', during: () => { throw new Error('it is away') } }))
  const next = renewals.run(session.keeper(), session.work({ name: 'next' }))
  await t.rejects(failing, /it is away/)
  t.equal((await next).isOwn, true, 'whatever became of the one before')
})

t.test('work that never ends keeps no process alive', async t => {
  const held = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length
  const { renewals, session, work } = build()
  const before = held()
  const { opened, open } = gate()
  const begun = gate()
  const run = renewals.run(session.keeper(), work({
    during: () => {
      begun.open()
      return opened
    }
  }))
  await begun.opened
  t.equal(held(), before)
  open()
  await run
})

t.test('D14 waits while another process is at it, and then finds the work done', async t => {
  const records = new MemoryRecords(10)
  const session = new Session()
  const [one, two] = [new Renewals(records), new Renewals(records)]
  const { opened, open } = gate()
  const isDone = ({ tokens }: Login) => tokens.refreshes > 0
  const first = one.run(session.keeper(), session.work({ isDone, during: () => opened }))
  await delay(50)
  let hasAnswered = false
  const second = two.run(session.keeper(), session.work({ isDone })).finally(() => { hasAnswered = true })
  await delay(150)
  t.notOk(hasAnswered)
  open()
  t.equal((await first).isOwn, true)
  t.match(await second, { isOwn: false, kept: { login: { tokens: { refreshes: 1 } } } })
  t.same(session.runs, [0])
})

t.test('a lease is kept while the work takes long, and ends by itself when its process died', async t => {
  const records = new MemoryRecords(10)
  const calls: string[] = []
  const failing: Leases = {
    lease: async (name, owner, lifetime) => {
      calls.push(name)
      if (calls.length > 1) throw new Error('Redis is away')
      return records.lease(name, owner, lifetime)
    },
    release: async () => {}
  }
  const [alive, unlucky, dead] = [new Session('alive'), new Session('unlucky'), new Session('dead')]
  const startedAt = performance.now()
  const isDone = ({ tokens }: Login) => tokens.refreshes > 0
  const long = new Renewals(records).run(alive.keeper(), alive.work({ isDone, during: () => delay(LEASE + 800) }))
  const unextended = new Renewals(failing).run(unlucky.keeper(), unlucky.work({ during: () => delay(LEASE - 500) }))
  await records.lease('dead', 'a process that died', LEASE)
  const waits = new Renewals(records).run(dead.keeper(), dead.work()).then(() => performance.now() - startedAt)
  await delay(50)
  t.equal((await new Renewals(records).run(alive.keeper(), alive.work({ isDone }))).isOwn, false)
  t.ok(performance.now() - startedAt > LEASE + 700)
  t.equal((await long).isOwn, true)
  t.same(alive.runs, [0])
  t.equal((await unextended).isOwn, true, 'that it could not be kept is no harm')
  t.equal(calls.length, 3, 'it is asked for every second')
  const waited = await waits
  t.ok(waited > LEASE - 50 && waited < LEASE + 500, `the next one waited ${waited.toFixed()} ms`)
  const count = calls.length
  await delay(1200)
  t.equal(calls.length, count, 'and no longer than the work takes')
})

t.test('the lease is given back after success and after failure; that this fails is no harm', async t => {
  const records = new MemoryRecords(10)
  const isFree = async () => records.lease('session', 'another', 1)
  const session = new Session()
  const renewals = new Renewals(records)
  await renewals.run(session.keeper(), session.work())
  t.ok(await isFree())
  await delay(5)
  await t.rejects(renewals.run(session.keeper(), session.work({ during: () => { throw new Error('it is away') } })), /it is away/)
  t.ok(await isFree())
  await delay(5)
  session.login = null
  await t.rejects(renewals.run(session.keeper(), session.work()), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
  t.ok(await isFree())

  let isGivenBack = false
  const slow: Leases = {
    lease: async () => true,
    release: async () => {
      await delay(30)
      isGivenBack = true
    }
  }
  const next = new Session()
  await new Renewals(slow).run(next.keeper(), next.work())
  t.ok(isGivenBack, 'before anybody is told: who comes next does not wait')

  const stuck: Leases = { lease: async () => true, release: async () => { throw new Error('Redis is away') } }
  const other = new Session()
  t.equal((await new Renewals(stuck).run(other.keeper(), other.work())).isOwn, true)
  await t.rejects(new Renewals(stuck).run(other.keeper(), other.work({ during: () => { throw new Error('the provider is away') } })), /the provider is away/)
})

t.test('each run has an owner of its own, which tells nothing', async t => {
  const owners: string[] = []
  const leases: Leases = { lease: async (_name, owner) => owners.push(owner) > 0, release: async (_name, owner) => { owners.push(owner) } }
  const { session } = build()
  for (let time = 0; time < 2; time++) await new Renewals(leases).run(session.keeper(), session.work())
  t.same([owners[0], owners[2]], [owners[1], owners[3]])
  t.equal(new Set(owners).size, 2)
  for (const owner of owners) t.match(owner, /^[\w-]{22}$/)
})

t.test('a store that is away is no wait: the error is the store\'s', async t => {
  const { session } = build()
  const away: Leases = { lease: async () => { throw new Error('Redis is away') }, release: async () => {} }
  await t.rejects(new Renewals(away).run(session.keeper(), session.work()), /Redis is away/)
  t.same(session.runs, [])
})

t.test('who waits asks now and then, and not in step with others who wait', async t => {
  const askedAt: number[] = []
  const leases: Leases = { lease: async () => askedAt.push(performance.now()) > 25, release: async () => {} }
  const { session } = build()
  await new Renewals(leases).run(session.keeper(), session.work())
  const waits = askedAt.slice(1).map((at, before) => at - askedAt[before]!).sort((a, b) => a - b)
  const [shortest, usual] = [waits[0]!, waits[12]!]
  t.ok(shortest > 20 && usual < 100, `${shortest} to ${usual} ms`)
  t.ok(usual - shortest > 3, `${shortest} to ${usual} ms`)
})

t.test('who waits for others for too long is told to try again', async t => {
  const clock = patchPerformance(t)
  let asked = 0
  const leases: Leases = {
    lease: async () => {
      if (++asked === 2) clock.advance(14_000)
      if (asked === 4) clock.advance(1000)
      return false
    },
    release: async () => { t.fail('nothing to give back') }
  }
  const { session } = build()
  await t.rejects(new Renewals(leases).run(session.keeper(), session.work()), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE', statusCode: 503 })
  t.equal(asked, 4)
  t.same(session.runs, [])
})

t.test('D14 the work is done already: nothing is asked for', async t => {
  const { renewals, session, work } = build()
  let loads = 0
  const keeper = {
    ...session.keeper(),
    load: async () => {
      loads++
      return session.keeper().load()
    }
  }
  const results = await Promise.all([1, 2, 3].map(() => renewals.run(keeper, work({ isDone: () => true }))))
  for (const result of results) t.match(result, { isOwn: false, kept: { login: { tokens: { refreshes: 0 } } } })
  t.same(session.runs, [])
  t.equal(loads, 1, 'for all of them')
})

t.test('promise 4: what the session does not need any more is discarded: it ended meanwhile', async t => {
  const { renewals, session, work } = build()
  await t.rejects(renewals.run(session.keeper(), work({ during: () => { session.login = null } })), { code: 'FST_AUTH0_LOGIN_REQUIRED', statusCode: 401 })
  t.same(session.discarded, [1])
  session.login = loginOf(5)
  await renewals.run(session.keeper(), work())
  t.same(session.discarded, [1], 'and what it needs is not')
})

t.test('promise 4: what could not be kept', async t => {
  const buildUnkept = async (t: Test) => {
    const built = build()
    const { renewals, session, work } = built
    session.isAway = true
    await t.rejects(renewals.run(session.keeper(), work()), /the store is away/)
    session.isAway = false
    return { ...built, isDone: ({ tokens }: Login) => tokens.refreshes > 0 }
  }

  t.test('is kept by the next one, and not asked for again', async t => {
    const { renewals, session, work, isDone } = await buildUnkept(t)
    session.isAway = true
    await t.rejects(renewals.run(session.keeper(), work({ isDone })), /the store is away/)
    session.isAway = false
    t.match(await renewals.run(session.keeper(), work({ isDone })), { isOwn: true, kept: { login: { tokens: { refreshes: 1 } } } })
    t.match(session.login, { tokens: { refreshes: 1 } })
    t.match(await renewals.run(session.keeper(), work({ isDone })), { isOwn: false })
    t.same(session.runs, [0])
    session.login = loginOf(0)
    await renewals.run(session.keeper(), work({ isDone }))
    t.same(session.runs, [0, 0], 'once')
  })

  t.test('is kept first, whatever the next one wants', async t => {
    const { renewals, session, work } = await buildUnkept(t)
    t.match(await renewals.run(session.keeper(), work({ name: 'b' })), { isOwn: true, kept: { login: { tokens: { refreshes: 2 } } } })
    t.same(session.runs, [0, 1])
    const other = new Session('other')
    await renewals.run(other.keeper(), other.work())
    t.same(other.runs, [0], 'but it is of that session alone')
  })

  t.test('takes the place of nothing that somebody else kept', async t => {
    const { renewals, session, work, isDone } = await buildUnkept(t)
    session.login = { ...loginOf(1), idToken: 'of somebody else' }
    t.match(await renewals.run(session.keeper(), work({ isDone })), { isOwn: false, kept: { login: { idToken: 'of somebody else' } } })
  })

  t.test('does not bring back a session that ended', async t => {
    const { renewals, session, work } = await buildUnkept(t)
    session.login = null
    await t.rejects(renewals.run(session.keeper(), work()), { code: 'FST_AUTH0_LOGIN_REQUIRED' })
    t.equal(session.login, null)
    t.same(session.runs, [0])
  })

  t.test('stays for an hour', async t => {
    const clock = travelInTime(t)
    for (const [seconds, runs] of [[3590, [0]], [3610, [0, 0]]] as const) {
      const { renewals, session, work, isDone } = await buildUnkept(t)
      clock.advance(seconds)
      await renewals.run(session.keeper(), work({ isDone }))
      t.same(session.runs, runs)
    }
  })

  t.test('stays for a thousand sessions', async t => {
    const { renewals } = build()
    const sessions = Array.from({ length: 1001 }, (_, number) => new Session(`session ${number}`))
    for (const session of sessions) {
      session.isAway = true
      await t.rejects(renewals.run(session.keeper(), session.work()))
      session.isAway = false
    }
    const asked = []
    for (const session of sessions.reverse()) {
      await renewals.run(session.keeper(), session.work({ isDone: ({ tokens }) => tokens.refreshes > 0 }))
      asked.push(session.runs.length)
    }
    t.same(asked, [...Array.from({ length: 1000 }, () => 1), 2])
  })
})

t.test('D14 somebody else was faster: it is looked at again, and done again when it has to be', async t => {
  const { renewals, session, work } = build()
  const others = () => { session.login = loginOf(session.login!.tokens.refreshes + 1) }
  const result = await renewals.run(session.keeper(), work({ during: attempt => { if (attempt === 1) others() } }))
  t.match(result, { isOwn: true, kept: { login: { tokens: { refreshes: 2 } } } })
  t.same(session.runs, [0, 1], 'with the newest login')

  const { renewals: again, session: next, work: wanted } = build()
  const isDone = ({ tokens }: Login) => tokens.refreshes > 0
  t.match(await again.run(next.keeper(), wanted({ isDone, during: () => { next.login = loginOf(1) } })), { isOwn: false })
  t.same(next.runs, [0])
})

t.test('others are faster twice, and then the session ends: that is what is told', async t => {
  const { renewals, session, work } = build()
  const during = (attempt: number) => { session.login = attempt < 3 ? loginOf(attempt) : null }
  await t.rejects(renewals.run(session.keeper(), work({ during })), { code: 'FST_AUTH0_LOGIN_REQUIRED', statusCode: 401 })
  t.same(session.discarded, [3])
})

t.test('D14 it is not tried more than three times', async t => {
  const { renewals, session, work } = build()
  const others = () => { session.login = loginOf(session.login!.tokens.refreshes + 1) }
  await t.rejects(renewals.run(session.keeper(), work({ during: others })), { code: 'FST_AUTH0_PROVIDER_UNAVAILABLE', statusCode: 503 })
  t.same(session.runs, [0, 1, 2])
  t.not(session.login, null)
})

t.test('a refresh token that is refused ends the session when it is the one that the session has', async t => {
  const { renewals, session, work } = build()
  await t.rejects(renewals.run(session.keeper(), work({ during: refuse })), { code: 'FST_AUTH0_REFRESH_TOKEN_REFUSED', statusCode: 401 })
  t.equal(session.ends, 1)

  const away = { ...session.keeper(), end: async () => { throw new Error('the store is away') } }
  await t.rejects(renewals.run(away, work({ during: refuse })), /the store is away/, 'or tells that it could not be ended')
})

t.test('one of yesterday ends nothing: the newest is tried', async t => {
  const { renewals, session, work } = build()
  const during = (attempt: number) => {
    if (attempt > 1) return
    session.login = loginOf(7)
    refuse()
  }
  t.match(await renewals.run(session.keeper(), work({ during })), { isOwn: true, kept: { login: { tokens: { refreshes: 8 } } } })
  t.same(session.runs, [0, 7])
  t.equal(session.ends, 0)

  await t.rejects(renewals.run(session.keeper(), work({
    during: () => {
      session.login = null
      refuse()
    }
  })), { code: 'FST_AUTH0_LOGIN_REQUIRED' }, 'and what has ended need not be')
  t.equal(session.ends, 0)
})

t.test('any other failure ends nothing, and is not tried again', async t => {
  const { renewals, session, work } = build()
  for (const error of [new FST_AUTH0_PROVIDER_UNAVAILABLE(), new TypeError('a mistake')]) {
    await t.rejects(renewals.run(session.keeper(), work({ during: () => { throw error } })), error)
  }
  t.equal(session.runs.length, 2)
  t.equal(session.ends, 0)
})

function build () {
  const session = new Session()
  return { renewals: new Renewals(new MemoryRecords(10)), session, work: (wanted?: Wanted) => session.work(wanted) }
}

function loginOf (refreshes: number): Login {
  return { id: 'login', tokens: { refreshToken: `token ${refreshes}`, access: [], refreshes } } as unknown as Login
}

function refuse (): never {
  throw new FST_AUTH0_REFRESH_TOKEN_REFUSED()
}

function gate (): { opened: Promise<void>, open: () => void } {
  let open = () => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open }
}

/** Lets a test go forward in the time that does not know what day it is. */
function patchPerformance (t: Test): { advance: (milliseconds: number) => void } {
  const real = performance.now
  let offset = 0
  performance.now = () => real.call(performance) + offset
  t.teardown(() => { performance.now = real })
  return { advance: milliseconds => { offset += milliseconds } }
}
