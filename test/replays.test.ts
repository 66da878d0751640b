import t from 'tap'
import { createReplays } from '../lib/api/replays.ts'
import type { Records } from '../lib/store/records.ts'
import { MemoryRecords } from '../lib/store/memory-records.ts'
import { travelInTime } from './helpers/clock.ts'

t.test('a proof is there for the first time once, in all processes that share records, until its time is over', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const shared = new MemoryRecords(100)
  const [one, two, other] = [createReplays(shared, ['auth0']), createReplays(shared, ['auth0']), createReplays(shared, ['partners'])]
  t.ok(await one.isFirst('proof', 91_000))
  for (const replays of [one, two]) t.notOk(await replays.isFirst('proof', 91_000))
  t.ok(await other.isFirst('proof', 91_000), 'of another instance')
  t.ok(await two.isFirst('another', 91_000))
  clock.advance(90)
  t.notOk(await one.isFirst('proof', 91_000))
  clock.advance(1)
  t.ok(await one.isFirst('proof', 91_000))
})

t.test('while shared records are away this process is all that knows', async t => {
  const away: Pick<Records, 'lease'> = { lease: async () => { throw new Error('away') } }
  for (const shared of [away, null]) {
    const replays = createReplays(shared, ['auth0'])
    t.ok(await replays.isFirst('proof', 1000))
    t.notOk(await replays.isFirst('proof', 1000))
  }
})

t.test('what shared records are told names no proof', async t => {
  const told: unknown[] = []
  const shared: Pick<Records, 'lease'> = { lease: async (...call) => { told.push(...call); return true } }
  await createReplays(shared, ['auth0']).isFirst('id of a proof', 1000)
  t.match(told, [/^[\w-]{43}$/, /^[\w-]{22}$/, 1000])
})

t.test('a hundred thousand proofs are remembered, and then the one that came first makes room', async t => {
  const replays = createReplays(null, ['auth0'])
  for (let count = 0; count < 100_000; count++) await replays.isFirst(`${count}`, 60_000)
  t.notOk(await replays.isFirst('0', 60_000))
  for (const count of [0, 1]) await replays.isFirst(`one more ${count}`, 60_000)
  t.ok(await replays.isFirst('1', 60_000))
})
