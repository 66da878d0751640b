import t from 'tap'
import { createNonces } from '../lib/api/nonces.ts'
import { travelInTime } from './helpers/clock.ts'

const TURN = 300 // seconds

t.test('a nonce is good until the end of the turn after its own, to the second, and not before its own (RFC 9449 §11.2)', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  clock.advance(TURN - clock.now() % TURN)
  const { current, isGood } = createNonces(['a'], ['auth0'])
  const nonce = current()
  clock.advance(TURN - 1)
  t.equal(current(), nonce)
  clock.advance(1)
  t.not(current(), nonce)
  clock.advance(TURN - 1)
  t.ok(isGood(nonce))
  clock.advance(1)
  t.notOk(isGood(nonce))
  clock.advance(-2 * TURN - 1)
  t.notOk(isGood(nonce), 'one from the future')
  t.ok(isGood(current()))
  t.notOk(isGood(null))
})

t.test('nonces are of a secret and of an instance: the first secret makes, all are good', async t => {
  travelInTime(t, { isFrozen: true })
  const nonces = createNonces(['a', 'b'], ['auth0'])
  t.equal(nonces.current(), createNonces(['a'], ['auth0']).current())
  t.ok(nonces.isGood(createNonces(['b'], ['auth0']).current()))
  t.ok(nonces.isGood(createNonces(['a'], ['auth0']).current()))
  t.notOk(nonces.isGood(createNonces(['c'], ['auth0']).current()))
  t.notOk(nonces.isGood(createNonces(['a'], ['partners']).current()))
})
