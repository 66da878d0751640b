// npm run bench -- [--check] [--json file] [--quick] [--profile folder]; see README.md.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { measure, visitsPerProcess, type Effort } from './measure.ts'
import { createReport, findExcesses, formatReport } from './report.ts'
import { createRows, PEOPLE } from './rows.ts'
import { makeSessions } from './sessions.ts'
import { spreadOf } from './spread.ts'
import { measureStartUp } from './start-up.ts'

const NORMAL: Effort = { generations: 6, rounds: 10, slice: 1000, warmUp: 10_000 }
const QUICK: Effort = { ...NORMAL, generations: 1 }

const { values: flags } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/results/latest.json' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' }
  }
})

const effort = flags.quick ? QUICK : NORMAL
const cookies = await makeSessions(PEOPLE, visitsPerProcess(effort))
const rows = createRows(cookies)
const measured = await measure(rows.flatMap(row => row.candidates), effort, flags.profile)
const startUps = await measureStartUp(flags.quick ? 3 : 9)

const report = createReport(rows, measured, [
  { title: 'session cookie, name and value', value: spreadOf(cookies.ours.map(cookie => cookie.length)), unit: 'bytes', atMost: 3600 },
  { title: 'start of the process, over bare Fastify', value: spreadOf(startUps.map(({ wallClock }) => wallClock)), unit: 'ms', atMost: 30 },
  { title: 'the same, CPU time of all threads', value: spreadOf(startUps.map(({ cpu }) => cpu)), unit: 'ms', atMost: null }
])

console.log(formatReport(report))
await mkdir(dirname(flags.json), { recursive: true })
await writeFile(flags.json, JSON.stringify(report, null, 2))

const excesses = findExcesses(report)
if (flags.check && excesses.length > 0) {
  console.error(`\nAbove the limit:\n${excesses.join('\n')}`)
  process.exitCode = 1
}
