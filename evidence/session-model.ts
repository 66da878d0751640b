// One subject of the model of sessions, for many runs: `tsx evidence/session-model.ts MemoryStore 10000`. Prints what it found as JSON.
import type { Test } from 'tap'
import { controlSubject } from '../test/helpers/session-model/control-subject.ts'
import { memorySubject } from '../test/helpers/session-model/memory-subject.ts'
import { clusterSubject, redisSubject } from '../test/helpers/session-model/redis-subjects.ts'
import { runModel } from '../test/helpers/session-model/run.ts'

const subjects = { memory: memorySubject, redis: redisSubject, cluster: clusterSubject, control: controlSubject }
const [, , name = 'memory', runs = '10000'] = process.argv

const teardowns: Array<() => unknown> = []
// All that a subject wants of a test.
const lifetime = { teardown: (end: () => unknown) => { teardowns.unshift(end) }, comment: () => {} } as unknown as Test

const subject = await subjects[name as keyof typeof subjects](lifetime)
const findings = await runModel(subject, { runs: Number(runs), ...name === 'control' && { judged: new Set(['promise 1'] as const) } })
console.log(JSON.stringify({ subject: subject.name, ...findings }))
for (const end of teardowns) await end()
process.exit()
