// npm run evidence -- [runs]: what takes too long for `npm test`. Writes docs/evidence.md.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { arch, cpus, platform } from 'node:os'
import { text } from 'node:stream/consumers'
import type { KeyRotation } from '../test/helpers/key-rotation.ts'
import type { Findings } from '../test/helpers/session-model/run.ts'
import type { Refreshes } from './refreshes.ts'

const runs = process.argv[2] ?? '10000'

type Result = Findings & { subject: string }

async function run<T> (...args: string[]): Promise<T> {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const found = JSON.parse(output) as T
  console.log(found)
  return found
}

const model = (subject: string) => run<Result>('evidence/session-model.ts', subject, runs)
const [ours, redis] = await Promise.all([model('memory'), model('redis')])
const [cluster, control] = await Promise.all([model('cluster'), model('control')])
const results: Result[] = [ours, redis, cluster, control]
const refreshes = await run<Refreshes[]>('evidence/refreshes.ts')
const rotations = await run<KeyRotation[]>('evidence/keys.ts')

const row = ({ subject, runs, happenings, logins, undecided, seconds, seed, counterexample }: Result) =>
  `| ${subject} | ${runs} | ${happenings} | ${logins} | ${undecided} | ${Math.round(seconds)} s | ${seed} | ${counterexample === null ? 'none' : 'found'} |`

const refreshRow = ({ sessions, processes, requests, expiries, tokenCalls, reuses, failures, slowest }: Refreshes) =>
  `| ${sessions} | ${processes} | ${requests} | ${expiries} | ${tokenCalls} | ${reuses} | ${failures} | ${Math.round(slowest)} ms |`

const rotationRow = ({ isAnnounced, clients, rotations, requests, wronglyRefused, fetches, withdrawnPassed, withdrawnRefused, latestPassed, slowest }: KeyRotation) =>
  `| ${isAnnounced ? 'one second before' : 'when it signs'} | ${clients} | ${rotations} | ${requests} | ${wronglyRefused} | ${fetches} | ${withdrawnPassed} | ${withdrawnRefused} | ${Math.round(latestPassed)} ms | ${Math.round(slowest)} ms |`

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

## One refresh

Requests at once for an access token that has expired, spread over processes that share a redis-server, and the same with one browser and one process. The provider exchanges each
refresh token for the next, takes the use of a spent one for theft, and answers after 0, 0.5, 1 and 2 s in turn ([evidence/refreshes.ts](../evidence/refreshes.ts)). There is
to be one token call for each expiry, no reuse, and no failure.

| sessions | processes | requests at once | expiries | token calls | reuses | failures | slowest answer |
| --- | --- | --- | --- | --- | --- | --- | --- |
${refreshes.map(refreshRow).join('\n')}

## Keys that change

A provider that signs with another key each second and publishes the one before no more, an API in another process, and clients that ask it over sockets, each time with a token signed
for it; one in ten tokens is signed with the key before ([evidence/keys.ts](../evidence/keys.ts)). "Wrongly refused" are tokens that did not pass though their key was published from
before they were signed until after they were answered: there is to be none, and at most two requests for keys for each change. Tokens whose key was withdrawn before they
were answered may pass or not, for five minutes; "latest" says how long after the end of its key the last of them was sent.

| a key is published | clients | changes | requests | wrongly refused | requests for keys | withdrawn: passed | refused | latest | slowest answer |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${rotations.map(rotationRow).join('\n')}

The five minutes themselves are shown with a clock that the test moves, in [test/api-keys.test.ts](../test/api-keys.test.ts).
`)

const isOneRefresh = refreshes.every(({ expiries, tokenCalls, reuses, failures }) => tokenCalls === expiries && reuses === 0 && failures === 0)
const areKeysFound = rotations.every(({ rotations, wronglyRefused, fetches }) => wronglyRefused === 0 && fetches <= 2 * rotations + 1)
const isAsExpected = isOneRefresh && areKeysFound && control.counterexample !== null && [ours, redis, cluster].every(({ counterexample }) => counterexample === null)
if (!isAsExpected) process.exitCode = 1
