import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Outage } from '../lib/store/outage.ts'
import { until } from './helpers/redis.ts'

/** An outage whose questions are answered by hand. */
function start (t: Test) {
  const questions: Array<(isBack: boolean) => void> = []
  let ends = 0
  const outage = new Outage(new Error('gone'), () => new Promise(resolve => { questions.push(resolve) }), () => { ends++ })
  t.teardown(() => outage.stop())
  return { outage, questions, ends: () => ends }
}

t.test('asks again and again until it is over, one question at a time', async t => {
  const { questions, ends } = start(t)
  for (let asked = 1; asked <= 3; asked++) {
    await until('a question', () => questions.length === asked)
    await delay(250)
    t.equal(questions.length, asked, 'waits for the answer')
    t.equal(ends(), 0)
    questions.at(-1)!(asked === 3)
  }
  await until('the end', () => ends() === 1)
  await delay(250)
  t.equal(questions.length, 3)
})

t.test('asks at once when there is reason to hope, and ends once, also when a question that was lost is answered after all', async t => {
  const { outage, questions, ends } = start(t)
  await until('a question', () => questions.length === 1)
  const asked = outage.ask()
  t.equal(questions.length, 2)
  for (const answer of questions) answer(true)
  await asked
  await delay(10)
  t.equal(ends(), 1)
})

t.test('asks no more once it is stopped, also when a question is open', async t => {
  const { outage, questions, ends } = start(t)
  await until('a question', () => questions.length === 1)
  outage.stop()
  questions[0]!(false)
  await delay(250)
  t.equal(questions.length, 1)
  t.equal(ends(), 0)
})
