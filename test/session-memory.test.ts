import t from 'tap'
import { SessionMemory } from '../lib/session/session-memory.ts'
import { travelInTime } from './helpers/clock.ts'

t.test('promise 1: remembers the end of a session for as long as it could have lived', t => {
  const clock = travelInTime(t, { isFrozen: true })
  const memory = new SessionMemory(60)
  memory.end('ada')
  clock.advance(59)
  t.ok(memory.hasEnded('ada'))
  t.notOk(memory.hasEnded('grace'))
  clock.advance(1)
  t.notOk(memory.hasEnded('ada'))
  t.end()
})

t.test('promise 1: remembers 100,000 ends, the oldest go first', t => {
  const memory = new SessionMemory(60)
  for (let id = 0; id <= 100_000; id++) memory.end(String(id))
  t.same(['0', '1', '100000'].map(id => memory.hasEnded(id)), [false, true, true])
  t.end()
})
