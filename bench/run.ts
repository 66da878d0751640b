// npm run bench -- [--check] [--json file] [--quick] [--profile folder]; see README.md.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { measureEnds } from './ends.ts'
import { figuresOfEnds, figuresOfRefreshes, figuresOfSizes, figuresOfStartUps } from './figures.ts'
import { measure, visitsPerProcess, type Effort } from './measure.ts'
import { announceRedis, startRedis } from './redis.ts'
import { measureRefreshes } from './refreshes.ts'
import { createReport, findExcesses, formatReport } from './report.ts'
import { createRows, PEOPLE, USERS } from './rows.ts'
import { makeSessions, makeStoredSessions } from './sessions.ts'
import { measureStartUp } from './start-up.ts'
import { makeAccessTokens } from './tokens.ts'

const NORMAL: Effort = { generations: 6, rounds: 10, slice: 1000, warmUp: 10_000 }
const QUICK: Effort = { ...NORMAL, generations: 1 }

/** Sessions of others, of those in Redis: the second is compared with the first. */
const CROWDS = [1000, 100_000] as const

const { values: flags } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/results/latest.json' },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' }
  }
})

const effort = flags.quick ? QUICK : NORMAL
const redis = await startRedis()
announceRedis(redis)
const cookies = await makeSessions(PEOPLE, visitsPerProcess(effort))
const tokens = makeAccessTokens(USERS, visitsPerProcess(effort))
const rows = createRows(cookies, await makeStoredSessions(USERS, redis.url), tokens)
const measured = await measure(rows.flatMap(row => row.candidates), effort, flags.profile)
const startUps = await measureStartUp(flags.quick ? 3 : 9)
const refreshes = await measureRefreshes(redis.url, flags.quick ? 3 : 9)
redis.end()
const { ends, bytes } = await measureEnds(CROWDS, flags.quick ? 100 : 300)

const report = createReport(rows, measured, [figuresOfEnds(ends), figuresOfRefreshes(refreshes), figuresOfSizes(cookies.ours, bytes), figuresOfStartUps(startUps)])
console.log(formatReport(report))
await mkdir(dirname(flags.json), { recursive: true })
await writeFile(flags.json, JSON.stringify(report, null, 2))

const excesses = findExcesses(report)
if (flags.check && excesses.length > 0) {
  console.error(`\nAbove the limit:\n${excesses.join('\n')}`)
  process.exitCode = 1
}
