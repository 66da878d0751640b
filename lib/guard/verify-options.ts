import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'
import { suggest } from '../suggest.ts'

const MAX_AGE = 999_999_999 // seconds; what our login route passes on
const MAX_ACR_VALUES = 1024 // characters of all together, for the same reason

/** What each option may be, and how to say so. */
const RULES: Record<string, [holds: (value: unknown) => boolean, remedy: string]> = {
  via: [isVia, 'must be "session", "bearer", or a list of both'],
  optional: [value => typeof value === 'boolean', 'must be true or false'],
  scopes: [isWantedScopes, 'must be a scope, scopes, or { anyOf: scopes }, each without spaces'],
  check: [value => typeof value === 'function', 'must be a function'],
  claims: [isClaims, 'must be a function, or an object with values, lists of values or functions'],
  organization: [isName, 'must be the id or the name of an organization'],
  roles: [isWanted, 'must be a name, names, or { anyOf: names }'],
  permissions: [isWanted, 'must be a name, names, or { anyOf: names }'],
  maxAge: [isAge, `must be a whole number of seconds, at most ${MAX_AGE}`],
  acr: [isAcr, `must be a name or names without spaces, at most ${MAX_ACR_VALUES} characters`]
}
const OPTIONS = Object.keys(RULES)

/**
 * Refuses options that would guard less than they seem to, or never admit anybody.
 *
 * An option that is there and `undefined` is refused too: `roles: process.env.ADMIN_ROLE` must not admit everybody.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} that names the option, with the remedy
 */
export function verifyGuardOptions (options: unknown): void {
  if (!isRecord(options) || ![Object.prototype, null].includes(Object.getPrototypeOf(options))) throw new FST_AUTH0_OPTIONS_INVALID(`- requireAuth: takes a plain object with options: ${OPTIONS.join(', ')}`)
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name)) throw invalid(name, `is unknown. ${suggest(name, OPTIONS)}`)
    const [holds, remedy] = RULES[name] as typeof RULES[string]
    if (!holds(value)) throw invalid(name, value === undefined ? `is undefined: leave it out, or give it a value. It ${remedy}` : remedy)
  }
}

function isClaims (claims: unknown): boolean {
  if (typeof claims === 'function') return true
  return isRecord(claims) && Object.keys(claims).length > 0 && Object.values(claims).every(isWantedClaim)
}

function isWantedClaim (wanted: unknown): boolean {
  return typeof wanted === 'function' || (Array.isArray(wanted) ? wanted.length > 0 && wanted.every(isPlain) : isPlain(wanted))
}

function isVia (via: unknown): boolean {
  return isNames(via) && [via].flat().every(one => one === 'session' || one === 'bearer')
}

/** @see RFC 6749 §3.3 */
function isWantedScopes (wanted: unknown): boolean {
  const names = isRecord(wanted) ? wanted.anyOf : wanted
  return isWanted(wanted) && [names].flat().every(name => /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(String(name)))
}

function isPlain (value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

function isWanted (wanted: unknown): boolean {
  return isRecord(wanted) ? Object.keys(wanted).join() === 'anyOf' && Array.isArray(wanted.anyOf) && isNames(wanted.anyOf) : isNames(wanted)
}

/** One name, or several. An empty list would be met by everybody, or by nobody: surely not what was meant. */
function isNames (names: unknown): names is string | string[] {
  return Array.isArray(names) ? names.length > 0 && Array.from(names).every(isName) : isName(names) // `every` alone skips holes
}

function isName (name: unknown): boolean {
  return typeof name === 'string' && name !== ''
}

function isAge (age: unknown): boolean {
  return Number.isInteger(age) && (age as number) >= 0 && (age as number) <= MAX_AGE
}

function isAcr (acr: unknown): boolean {
  if (!isNames(acr)) return false
  const acrValues = [acr].flat()
  return acrValues.every(value => !/\s/.test(value)) && acrValues.join(' ').length <= MAX_ACR_VALUES
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid (name: string, text: string): Error {
  return new FST_AUTH0_OPTIONS_INVALID(`- requireAuth: option "${name}" ${text}`)
}
