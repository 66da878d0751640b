import t from 'tap'
import { createLastingKeys } from '../lib/api/lasting-keys.ts'
import type { Jwks } from '../lib/provider/key-set.ts'
import { travelInTime } from './helpers/clock.ts'

const DAY = 86_400

t.test('keys serve on for a day after they were last had, to the second', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  for (const [seconds, isServed] of [[DAY, true], [DAY + 1, false]] as const) {
    for (const wasOut of [false, true]) {
      const { keys, endpoint } = build()
      const jwks = await keys.current()
      endpoint.isAway = true
      if (wasOut) t.equal(await keys.current(), jwks)
      clock.advance(seconds)
      for (const ask of [keys.current, () => keys.renewed('a')]) {
        if (isServed) t.equal(await ask(), jwks)
        else await t.rejects(ask(), /away/)
      }
    }
  }
})

t.test('while they cannot be had they are asked for twice a minute, and nobody waits', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { keys, endpoint } = build()
  const jwks = await keys.current()
  endpoint.isAway = true
  for (const calls of [2, 2, 2]) {
    t.equal(await keys.current(), jwks)
    t.equal(endpoint.calls, calls)
  }
  for (const calls of [3, 4]) {
    clock.advance(29)
    t.equal(await keys.current(), jwks)
    t.equal(endpoint.calls, calls - 1)
    clock.advance(1)
    for (let count = 0; count < 3; count++) t.equal(await keys.current(), jwks)
    t.equal(endpoint.calls, calls)
  }
  endpoint.isAway = false
  clock.advance(30)
  t.equal(await keys.current(), jwks, 'whoever finds them back got the old ones yet')
  await endpoint.isAnswered
  t.not(await keys.current(), jwks)
})

t.test('an outage is told once, and the next one again', async t => {
  travelInTime(t, { isFrozen: true })
  const { keys, endpoint, outages } = build()
  await keys.current()
  for (const count of [1, 2]) {
    endpoint.isAway = true
    for (let call = 0; call < 3; call++) await keys.renewed('a')
    t.equal(outages.length, count)
    endpoint.isAway = false
    await keys.renewed('a')
  }
})

t.test('keys that were never had are a failure, and no outage', async t => {
  const { keys, endpoint, outages } = build()
  endpoint.isAway = true
  for (const ask of [keys.current, keys.renewed]) await t.rejects(ask(), /away/)
  t.equal(outages.length, 0)
})

t.test('which key is missing is passed on', async t => {
  const { keys, endpoint } = build()
  await keys.renewed('the key')
  t.same(endpoint.kids, ['the key'])
})

/** Keys whose endpoint may be away; each answer is another object. */
function build () {
  const endpoint = { isAway: false, calls: 0, kids: [] as unknown[], isAnswered: Promise.resolve() as Promise<unknown> }
  const outages: unknown[] = []
  const answer = async (): Promise<Jwks> => {
    endpoint.calls++
    if (endpoint.isAway) throw new Error('away')
    return { keys: [] }
  }
  const ask = () => {
    const answered = answer()
    endpoint.isAnswered = answered.catch(() => {}).then(() => {})
    return answered
  }
  const keys = createLastingKeys(async () => ({ current: ask, renewed: kid => { endpoint.kids.push(kid); return ask() } }), error => outages.push(error))
  return { keys, endpoint, outages }
}
