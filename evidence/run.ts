// npm run evidence -- [runs]: what takes too long for `npm test`. Writes docs/evidence.md.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { arch, cpus, platform } from 'node:os'
import { text } from 'node:stream/consumers'
import type { Findings } from '../test/helpers/session-model/run.ts'

const runs = process.argv[2] ?? '10000'

type Result = Findings & { subject: string }

async function run (subject: string): Promise<Result> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'evidence/session-model.ts', subject, runs], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const result = JSON.parse(output) as Result
  console.log(result)
  return result
}

const [ours, redis] = await Promise.all([run('memory'), run('redis')])
const [cluster, control] = await Promise.all([run('cluster'), run('control')])
const results: Result[] = [ours, redis, cluster, control]

const row = ({ subject, runs, happenings, logins, undecided, seconds, seed, counterexample }: Result) =>
  `| ${subject} | ${runs} | ${happenings} | ${logins} | ${undecided} | ${Math.round(seconds)} s | ${seed} | ${counterexample === null ? 'none' : 'found'} |`

await writeFile(new URL('../docs/evidence.md', import.meta.url), `# Evidence

Written by \`npm run evidence\` on ${new Date().toISOString().slice(0, 10)}: ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${platform()} ${arch()}, Node ${process.version}.

## Sessions against a model

Two hosts with one store; two browsers, two people and thieves with copies of cookies; logins, changes, logouts, logouts by the provider by \`sid\` and by \`sub\`, ends by an
administrator, expiry, loss of everything, at random, with requests that halt before each access to the store and go on when others have changed it
([test/session-model.test.ts](../test/session-model.test.ts)). The last row is what is written by hand, @fastify/session with a store that gets and sets sessions as a
whole: there a counter-example has to be found.

| store | runs | happenings | logins | undecided | took | seed | counter-example |
| --- | --- | --- | --- | --- | --- | --- | --- |
${results.map(row).join('\n')}

"Undecided" are runs in which the store gave no answer within its bound: they say nothing.

The shortest that was found for ${control.subject}: ${control.counterexample?.happenings.join('; ') ?? 'none'}. Then ${control.counterexample?.violation.replace(/^[^:]*: /, '') ?? 'nothing'}.
`)

const isAsExpected = control.counterexample !== null && [ours, redis, cluster].every(({ counterexample }) => counterexample === null)
if (!isAsExpected) process.exitCode = 1
