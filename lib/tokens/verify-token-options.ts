import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'
import { suggest } from '../suggest.ts'
import type { AccessTokenOptions } from './access-tokens.ts'
import type { TargetOptions } from './login-tokens.ts'

/** What an option may be, and how to say so. */
type Rule = [holds: (value: unknown) => boolean, remedy: string]

const TEXT: Rule = [value => typeof value === 'string' && value.trim() !== '', 'must be a string that is not empty']
const TARGET_RULES: Record<keyof TargetOptions, Rule> = { audience: TEXT, scope: TEXT, organization: TEXT }
const RULES: Record<keyof AccessTokenOptions, Rule> = {
  ...TARGET_RULES,
  minimumLifetime: [value => Number.isFinite(value) && (value as number) >= 0, 'must be a number of seconds'],
  forceRefresh: [value => typeof value === 'boolean', 'must be true or false']
}

/**
 * Refuses options that would do nothing, and so give another token than was meant.
 *
 * @param where they were given, as the caller of it knows that
 * @throws {FST_AUTH0_OPTIONS_INVALID} 500 that names the option, with the remedy
 */
export function verifyTokenOptions (where: string, options: unknown = {}): AccessTokenOptions {
  return verify(where, options, RULES)
}

/** As `verifyTokenOptions`, where it can only be said what the token is for. */
export function verifyTargetOptions (where: string, options: unknown = {}): TargetOptions {
  return verify(where, options, TARGET_RULES)
}

function verify (where: string, options: unknown, rules: Record<string, Rule>): object {
  const known = Object.keys(rules)
  if (!isPlainObject(options)) throw new FST_AUTH0_OPTIONS_INVALID(`- ${where}: takes a plain object with options: ${known.join(', ')}`)
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name)) throw new FST_AUTH0_OPTIONS_INVALID(`- ${where}: option "${name}" is unknown. ${suggest(name, known)}`)
    const [holds, remedy] = rules[name] as Rule
    if (value !== undefined && !holds(value)) throw new FST_AUTH0_OPTIONS_INVALID(`- ${where}: option "${name}" ${remedy}`)
  }
  return options
}

/** Of what is none, such as a URL or a list, no names would be seen. */
function isPlainObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && [Object.prototype, null].includes(Object.getPrototypeOf(value))
}
