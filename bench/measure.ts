import { Load, type Visit } from './load.ts'
import { startServer, type ServerProcess } from './server-process.ts'

const CONNECTIONS = 10

/** One way to answer, under the load that is made for it. */
export interface Candidate {
  name: string
  /** The file in `candidates/` that builds its application. */
  app: string
  visits: Visit[]
}

/** How much is measured. */
export interface Effort {
  /** How often all processes are started anew: what the optimizer makes of the same code differs from process to process. */
  generations: number
  /** Slices of each candidate in each generation. */
  rounds: number
  /** Requests in a slice. */
  slice: number
  /** Requests before the first slice, until the code is optimized and caches are full. */
  warmUp: number
}

/** How often one process is asked in a run: with so many visits, or more, every one of them is made once only. */
export function visitsPerProcess ({ rounds, slice, warmUp }: Effort): number {
  return warmUp + rounds * slice
}

/**
 * Measures the server's CPU time per request, in microseconds: a list for each candidate, a measurement for each round.
 *
 * Every round has a short slice of each candidate, in random order, so that noise of the machine hits all of them alike.
 */
export async function measure (candidates: Candidate[], effort: Effort, profileTo?: string): Promise<Map<Candidate, number[]>> {
  const results = new Map<Candidate, number[]>(candidates.map(candidate => [candidate, []]))
  for (let generation = 0; generation < effort.generations; generation++) {
    const subjects = await Promise.all(candidates.map(candidate => startSubject(candidate, profileTo)))
    for (const { load } of subjects) await load.run(effort.warmUp)
    for (let round = 0; round < effort.rounds; round++) {
      for (const { candidate, server, load } of shuffled(subjects)) {
        results.get(candidate)?.push(await cpuPerRequest(server, load, effort.slice))
      }
    }
    await Promise.all(subjects.map(stopSubject))
  }
  return results
}

interface Subject {
  candidate: Candidate
  server: ServerProcess
  load: Load
}

async function startSubject (candidate: Candidate, profileTo?: string): Promise<Subject> {
  const server = await startServer(candidate.app, profileTo)
  return { candidate, server, load: await Load.open(server.port, CONNECTIONS, candidate.visits) }
}

async function stopSubject ({ server, load }: Subject): Promise<void> {
  load.close()
  await server.stop()
}

async function cpuPerRequest (server: ServerProcess, load: Load, count: number): Promise<number> {
  const before = await server.cpuTime()
  await load.run(count)
  return (await server.cpuTime() - before) / count
}

function shuffled<T> (items: T[]): T[] {
  return items.map(item => ({ item, order: Math.random() })).sort((a, b) => a.order - b.order).map(({ item }) => item)
}
