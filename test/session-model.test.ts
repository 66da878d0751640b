import t from 'tap'
import { skipWithoutRedis } from './helpers/redis.ts'
import { controlSubject } from './helpers/session-model/control-subject.ts'
import { memorySubject } from './helpers/session-model/memory-subject.ts'
import type { Claim } from './helpers/session-model/model.ts'
import { clusterSubject, redisSubject } from './helpers/session-model/redis-subjects.ts'
import { runModel, wordsOf } from './helpers/session-model/run.ts'

const RUNS = 60
const CONTROL_RUNS = 2000

const subjects = {
  'a MemoryStore': memorySubject,
  'a redis-server': redisSubject,
  'a Redis Cluster of three masters': clusterSubject
}

t.test('promise 1, promise 2, promise 5, H1, H3, H4, H5: whatever happens on two hosts at once is what a model allows (property)', async t => {
  for (const [name, start] of Object.entries(subjects)) {
    t.test(name, { skip: start === memorySubject ? false : skipWithoutRedis }, async t => {
      const findings = await runModel(await start(t), { runs: RUNS })
      t.comment(wordsOf(findings))
      t.equal(findings.counterexample, null)
      t.ok(findings.undecided <= RUNS / 10, 'hardly any run was too slow to say')
    })
  }
})

/** What a store that writes whole sessions, there or not, cannot hold. */
const broken: Claim[] = ['promise 1', 'promise 2', 'H3']

t.test('the control: the same happenings find what is wrong with @fastify/session over a plain SET store', { skip: skipWithoutRedis }, async t => {
  const subject = await controlSubject(t)
  for (const claim of broken) {
    t.test(claim, async t => {
      const findings = await runModel(subject, { runs: CONTROL_RUNS, judged: new Set([claim]) })
      t.comment(wordsOf(findings))
      t.match(findings.counterexample?.violation, new RegExp(`^${claim}: `))
    })
  }
})
