// npm run bench -- [--check] [--json file] [--quick] [--profile folder]; see README.md.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { measure, type Effort } from './measure.ts'
import { createReport, findExcesses, formatReport } from './report.ts'
import { createRows, PEOPLE } from './rows.ts'
import { logInEverybody } from './sessions.ts'
import { spreadOf } from './spread.ts'
import { measureStartUp } from './start-up.ts'

const NORMAL: Effort = { generations: 3, rounds: 15, slice: 2000, warmUp: 15_000 }
const QUICK: Effort = { generations: 1, rounds: 10, slice: 1000, warmUp: 10_000 }

const { values: flags } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/results/latest.json' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' }
  }
})

const cookies = await logInEverybody(PEOPLE)
const rows = createRows(cookies)
const measured = await measure(rows.flatMap(row => row.candidates), flags.quick ? QUICK : NORMAL, flags.profile)
const report = createReport(rows, measured, [
  { title: 'session cookie, name and value', value: spreadOf(cookies.ours.map(cookie => cookie.length)), unit: 'bytes', atMost: 3600 },
  { title: 'start of the process, over bare Fastify', value: spreadOf(await measureStartUp(flags.quick ? 3 : 9)), unit: 'ms', atMost: 30 }
])

console.log(formatReport(report))
await mkdir(dirname(flags.json), { recursive: true })
await writeFile(flags.json, JSON.stringify(report, null, 2))

const excesses = findExcesses(report)
if (flags.check && excesses.length > 0) {
  console.error(`\nAbove the limit:\n${excesses.join('\n')}`)
  process.exitCode = 1
}
