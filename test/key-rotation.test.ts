import t from 'tap'
import { rotateUnderLoad } from './helpers/key-rotation.ts'

// Over sockets, with an API in a process of its own; npm run evidence does the same for longer.

const ROTATIONS = 8

for (const [name, isAnnounced] of [['without notice', false], ['that were announced', true]] as const) {
  t.test(`keys that change ${name}, while clients ask: no good token is refused, and no key is asked for by each of them`, async t => {
    const found = await rotateUnderLoad(t, { clients: 20, rotations: ROTATIONS, isAnnounced, pace: everybodyIsAnswered => everybodyIsAnswered() })
    t.comment(JSON.stringify(found))
    t.equal(found.wronglyRefused, 0)
    t.ok(found.requests > 20 * ROTATIONS)
    t.ok(found.withdrawnPassed + found.withdrawnRefused > 0)
    t.ok(found.fetches <= 2 + 2 * ROTATIONS)
  })
}
