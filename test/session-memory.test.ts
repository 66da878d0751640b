import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createSeal } from '../lib/session/seal.ts'
import { SessionMemory } from '../lib/session/session-memory.ts'
import { travelInTime } from './helpers/clock.ts'

const KB = 1024
const MB = 1024 * KB

t.test('O7 remembers no more of what it opened than 24 MB of seals, the least recently used go first', t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { memory, sealed, opened } = countingMemory(8 * MB) // so that three are the limit
  const [a, b, c, d] = Array.from({ length: 4 }, sealed)
  for (const one of [a, b, c, a, d]) memory.open(one!)
  t.same(opened, [a, b, c, d])
  clock.advance(1)
  for (const one of [a, c, d]) memory.open(one!)
  t.equal(opened.length, 4, 'these are remembered')
  memory.open(b!)
  t.equal(opened.length, 5, 'this one had to go')
  t.end()
})

t.test('a crowd larger than the memory does not push everybody out of it', t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { memory, sealed, opened } = countingMemory(8 * MB) // so that three are the limit
  const crowd = Array.from({ length: 6 }, sealed)
  for (const one of [...crowd, ...crowd]) memory.open(one)
  t.equal(opened.length, 6 + 3, 'of six in turn, three are known when they come again')
  clock.advance(1)
  memory.open(crowd[5]!)
  memory.open(crowd[5]!)
  t.equal(opened.length, 6 + 3 + 1)
  t.end()
})

t.test('O7 remembers what it opened, not the headers that it was cut from', t => {
  const { memory, sealed } = countingMemory(12 * KB)
  const before = heapUsed()
  for (let count = 0; count < 100; count++) {
    const header = Buffer.alloc(MB, ' ').toString('latin1') + sealed()
    memory.open(header.slice(MB))
  }
  t.ok(heapUsed() - before < 20 * MB)
  t.end()
})

t.test('remembers nothing of what does not open', t => {
  const { memory, opened } = countingMemory(12 * KB)
  for (let count = 0; count < 2; count++) t.equal(memory.open('garbage'), null)
  t.equal(opened.length, 2)
  t.end()
})

t.test('promise 1: remembers the end of a session for as long as it could have lived', t => {
  const clock = travelInTime(t, { isFrozen: true })
  const { memory } = countingMemory(12 * KB)
  memory.end('ada')
  clock.advance(59)
  t.ok(memory.hasEnded('ada'))
  t.notOk(memory.hasEnded('grace'))
  clock.advance(1)
  t.notOk(memory.hasEnded('ada'))
  t.end()
})

t.test('promise 1: remembers 100,000 ends, the oldest go first', t => {
  const { memory } = countingMemory(12 * KB)
  for (let id = 0; id <= 100_000; id++) memory.end(String(id))
  t.same(['0', '1', '100000'].map(id => memory.hasEnded(id)), [false, true, true])
  t.end()
})

/** A memory for sessions of a minute, what it had its seal open, and seals for it. */
function countingMemory (maxSize: number) {
  const seal = createSeal([randomBytes(32).toString('hex')], 'test', 60)
  const opened: string[] = []
  const memory = new SessionMemory({ seal: { ...seal, open: sealed => { opened.push(Buffer.from(sealed).toString()); return seal.open(sealed) } }, maxSize, absoluteTimeout: 60 })
  return { memory, opened, sealed: () => seal.seal({ user: {} }) }
}

function heapUsed (): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
