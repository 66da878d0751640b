import { FST_AUTH0_SESSION_DATA_INVALID } from '../errors.ts'

/**
 * Copies a value as a later request will read it: through JSON, frozen, without members named `__proto__`, with which whoever merges
 * what we keep would change all objects.
 *
 * @throws {FST_AUTH0_SESSION_DATA_INVALID} 500 for a cycle, a BigInt, or nesting beyond the stack
 */
export function frozenCopy<T extends object> (value: T): T {
  return deepFreeze(asJson(() => JSON.parse(JSON.stringify(value), withoutPrototypes)))
}

/**
 * Verifies that JSON keeps a whole value: it would leave out functions and symbols, and make `null` of `NaN`.
 *
 * @throws {FST_AUTH0_SESSION_DATA_INVALID} 500
 */
export function verifyJson (value: unknown): void {
  // Arrays, maps, dates, promises: their contents are no fields.
  if (Object.prototype.toString.call(value) !== '[object Object]') throw new FST_AUTH0_SESSION_DATA_INVALID()
  asJson(() => JSON.stringify(value, refuseForeign))
}

/** Freezes an object and all that is in it. Not by recursion: nesting must not exhaust the stack. */
export function deepFreeze<T extends object> (value: T): T {
  const objects: object[] = [value]
  for (const object of objects) {
    Object.freeze(object)
    for (const name in object) {
      const member: unknown = object[name as keyof typeof object]
      if (typeof member === 'object' && member !== null) objects.push(member)
    }
  }
  return value
}

function asJson<T> (work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new FST_AUTH0_SESSION_DATA_INVALID({ cause: error })
  }
}

function withoutPrototypes (name: string, member: unknown): unknown {
  return name === '__proto__' ? undefined : member
}

function refuseForeign (_name: string, member: unknown): unknown {
  if (typeof member === 'function' || typeof member === 'symbol') throw new TypeError(`JSON has no ${typeof member}`)
  if (typeof member === 'number' && !Number.isFinite(member)) throw new TypeError(`JSON has no ${member}`)
  return member
}
