import type { Happening } from './commands.ts'

type Run = (list: readonly Happening[]) => Promise<void>

/** Leaves out one by one what a counter-example does not need; fast-check leaves out parts of it. Gives what is left, and how that fails. */
export async function shorten (list: readonly Happening[], run: Run): Promise<[shortest: readonly Happening[], error: unknown]> {
  let shortest = list
  let error = await failureOf(run, shortest)

  async function attempt (shorter: readonly Happening[]): Promise<boolean> {
    const failure = await failureOf(run, shorter)
    if (failure === null) return false
    shortest = shorter
    error = failure
    return true
  }

  for (let at = 0; at < shortest.length;) if (!await attempt(shortest.toSpliced(at, 1))) at++
  return [shortest, error]
}

/** `null` when it does not fail. */
async function failureOf (run: Run, list: readonly Happening[]): Promise<unknown> {
  try {
    await run(list)
    return null
  } catch (error) {
    return error
  }
}
