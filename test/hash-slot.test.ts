import fc from 'fast-check'
import t from 'tap'
import { hashSlot } from '../lib/store/hash-slot.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'

const known: Array<[key: string, slot: number]> = [
  ['123456789', 0x31c3], ['', 0], ['foo', 12182], ['{foo}.bar', 12182], ['before{foo}after{bar}', 12182]
]
for (const [key, slot] of known) {
  t.test(`the slot of "${key}" (Redis Cluster Specification)`, async t => {
    t.equal(hashSlot(key), slot)
  })
}

t.test('any key has the slot that Redis says', { skip: skipWithoutRedis }, async t => {
  const server = await startRedis(t, { args: ['--cluster-enabled', 'yes'] })
  const redis = server.client()
  const keys = fc.stringMatching(/^[a-c{}é🔑:]{0,12}$/u)
  await fc.assert(fc.asyncProperty(keys, async key => hashSlot(key) === await redis.call('CLUSTER', 'KEYSLOT', key)), { numRuns: 1000 })
  t.pass()
})
