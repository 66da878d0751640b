// Keys that change each second: `tsx evidence/keys.ts [rotations]`. Prints what it found as JSON.
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { rotateUnderLoad, type KeyRotation } from '../test/helpers/key-rotation.ts'

const CLIENTS = 100
const INTERVAL = 1000 // milliseconds

const rotations = Number(process.argv[2] ?? 20)
const teardowns: Array<() => unknown> = []
// All that the helpers want of a test.
const lifetime = { teardown: (end: () => unknown) => { teardowns.unshift(end) } } as unknown as Test

const found: KeyRotation[] = []
for (const isAnnounced of [false, true]) found.push(await rotateUnderLoad(lifetime, { clients: CLIENTS, rotations, isAnnounced, pace: () => delay(INTERVAL) }))
console.log(JSON.stringify(found))
for (const end of teardowns) await end()
process.exit()
