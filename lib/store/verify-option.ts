import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'

/**
 * Verifies what a store is made with.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} 500 that names the option, and what it must be
 */
export function verifyOption (isRight: boolean, name: string, must: string): void {
  if (!isRight) throw new FST_AUTH0_OPTIONS_INVALID(`- Option "${name}" of a store ${must}`)
}
