import fc from 'fast-check'
import { happenings, type Happening } from './commands.ts'
import { list, look } from './errands.ts'
import { shorten } from './shorten.ts'
import { Model, Violation, type Claim } from './model.ts'
import { HOSTS, PEOPLE, World } from './world.ts'
import type { Subject } from './subjects.ts'

const MAX_HAPPENINGS = 40

export interface RunOptions {
  runs: number
  seed?: number | undefined
  /** Claims that the subject is held to. Default: all. */
  judged?: ReadonlySet<Claim>
  /** Attempts to find a shorter counter-example. Default: 1,000. */
  shrinks?: number
}

/** What many runs found. */
export interface Findings {
  runs: number
  seed: number
  seconds: number
  happenings: number
  logins: number
  /** Runs that say nothing, because the store gave no answer in time. */
  undecided: number
  /** The shortest that was found. */
  counterexample: { violation: string, happenings: string[] } | null
}

/** Lets things happen to a subject at random, and compares what it answers with the model. */
export async function runModel (subject: Subject, { runs, seed = Date.now() % 1_000_000_000, judged, shrinks = 1000 }: RunOptions): Promise<Findings> {
  const counted = { happenings: 0, logins: 0, undecided: 0 }
  const startedAt = performance.now()

  async function run (list: readonly Happening[]): Promise<void> {
    const world = new World(subject, new Model(judged))
    try {
      await happen(world, list)
    } catch (error) {
      if (!subject.tookTooLong()) throw error
      counted.undecided++
    } finally {
      await world.abandon()
      await subject.tidy()
      counted.happenings += list.length
      counted.logins += world.model.sessions.filter(({ login }) => login !== null).length
    }
  }

  /** Ends, too, what fast-check does to shrink a counter-example: it may take long. */
  let patience = shrinks
  const property = fc.asyncProperty(happenings(MAX_HAPPENINGS), async list => {
    fc.pre(patience > 0)
    if (patience < shrinks) patience--
    await run(list).catch(error => {
      if (patience === shrinks) patience--
      throw error
    })
  })

  const details = await fc.check(property, { numRuns: runs, seed })
  const findings = { runs: details.numRuns, seed, seconds: (performance.now() - startedAt) / 1000, ...counted }
  if (!details.failed) return { ...findings, counterexample: null }
  const [shortest, error] = await shorten(details.counterexample![0], run)
  return { ...findings, counterexample: { violation: wordsOfError(error), happenings: shortest.map(String) } }
}

async function happen (world: World, list: readonly Happening[]): Promise<void> {
  for (const happening of list) await happening.happen(world)
  while (world.flights.length > 0) await world.finish(0)
  await inspect(world)
}

/** Nothing is under way any more: what is there must be known, and what is known there. */
async function inspect (world: World): Promise<void> {
  const { model, subject } = world
  for (let person = 0; person < PEOPLE.length; person++) {
    const sub = world.person(person)
    for (let host = 0; host < HOSTS; host++) await world.do(list(world, host, sub), false)
    const alive = model.sessions.filter(({ login, fate }) => login?.sub === sub && fate === 'alive').length
    const size = await subject.indexSize(sub)
    world.judge('list', size <= alive + (model.stillborn.get(sub) ?? 0), `the index of ${sub} has ${size} entries, and ${alive} sessions are there`)
  }
  for (const [at, session] of model.sessions.entries()) await world.do(look(world, world.thiefOf(session), at % HOSTS), false)
}

/** Findings in words, with the seed by which they can be repeated. */
export function wordsOf ({ runs, seed, seconds, happenings, logins, undecided, counterexample }: Findings): string {
  const figures = `${runs} runs in ${seconds.toFixed(1)} s, ${happenings} happenings, ${logins} logins, ${undecided} runs undecided, seed ${seed}`
  if (counterexample === null) return `no counter-example: ${figures}`
  return `counter-example: ${figures}\n${counterexample.violation}\n${counterexample.happenings.map(happening => `  ${happening}`).join('\n')}`
}

function wordsOfError (error: unknown): string {
  if (error instanceof Violation) return error.message
  return error instanceof Error ? error.stack ?? `${error}` : String(error)
}
