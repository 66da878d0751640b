import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { OpenedSeals } from '../lib/session/opened-seals.ts'
import { createSeal } from '../lib/session/seal.ts'
import { travelInTime } from './helpers/clock.ts'

const KB = 1024
const MB = 1024 * KB

t.test('O7 remembers no more of what it opened than 24 MB of seals, the least recently used go first', t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { seals, sealed, opened } = countingSeals(8 * MB) // so that three are the limit
  const [a, b, c, d] = Array.from({ length: 4 }, () => sealed())
  for (const one of [a, b, c, a, d]) seals.open(one!)
  t.same(opened, [a, b, c, d])
  clock.advance(1)
  for (const one of [a, c, d]) seals.open(one!)
  t.equal(opened.length, 4, 'these are remembered')
  seals.open(b!)
  t.equal(opened.length, 5, 'this one had to go')
  t.end()
})

t.test('a crowd larger than the memory does not push everybody out of it', t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { seals, sealed, opened } = countingSeals(8 * MB) // so that three are the limit
  const crowd = Array.from({ length: 6 }, () => sealed())
  for (const one of [...crowd, ...crowd]) seals.open(one)
  t.equal(opened.length, 6 + 3, 'of six in turn, three are known when they come again')
  clock.advance(1)
  seals.open(crowd[5]!)
  seals.open(crowd[5]!)
  t.equal(opened.length, 6 + 3 + 1)
  t.end()
})

t.test('O7 remembers what it opened, not the headers that it was cut from', t => {
  const { seals, sealed } = countingSeals(12 * KB)
  const before = heapUsed()
  for (let count = 0; count < 100; count++) {
    const header = Buffer.alloc(MB, ' ').toString('latin1') + sealed()
    seals.open(header.slice(MB))
  }
  t.ok(heapUsed() - before < 20 * MB)
  t.end()
})

t.test('O7 remembers none that is longer than what it was made for: in a store a login may have any size', t => {
  const seals = countingSeals(300)
  const [short, long] = [seals.sealed(), seals.sealed('x'.repeat(300))]
  for (let count = 0; count < 2; count++) for (const one of [short, long]) t.match(seals.seals.open(one), { user: {} })
  t.same(seals.opened, [short, long, long])
  t.end()
})

t.test('remembers nothing of what does not open', t => {
  const { seals, opened } = countingSeals(12 * KB)
  for (let count = 0; count < 2; count++) t.equal(seals.open('garbage'), null)
  t.equal(opened.length, 2)
  t.end()
})

/** Seals that are remembered when opened, what the seal beneath had to open, and some to open. */
function countingSeals (maxSize: number) {
  const seal = createSeal([randomBytes(32).toString('hex')], 'test', 60)
  const opened: string[] = []
  const seals = new OpenedSeals({ ...seal, open: sealed => { opened.push(Buffer.from(sealed).toString()); return seal.open(sealed) } }, maxSize)
  return { seals, opened, sealed: (more?: string) => seal.seal({ user: {}, more }) }
}

function heapUsed (): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
