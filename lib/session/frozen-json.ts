import { FST_AUTH0_SESSION_DATA_INVALID } from '../errors.ts'

/**
 * Copies a value as a later request will read it: through JSON, frozen, without members named `__proto__`, with which whoever merges
 * what we keep would change all objects.
 *
 * @throws {FST_AUTH0_SESSION_DATA_INVALID} 500 for a cycle or a BigInt
 */
export function frozenCopy<T extends object> (value: T): T {
  return deepFreeze(JSON.parse(stringify(value), withoutPrototypes))
}

/**
 * Verifies that JSON keeps a whole value: it would leave out functions and symbols, and make `null` of `NaN`.
 *
 * @throws {FST_AUTH0_SESSION_DATA_INVALID} 500
 */
export function verifyJson (value: unknown): void {
  // Arrays, maps, dates, promises: their contents are no fields.
  if (Object.prototype.toString.call(value) !== '[object Object]') throw new FST_AUTH0_SESSION_DATA_INVALID()
  stringify(value, (_name, member) => {
    if (typeof member === 'function' || typeof member === 'symbol' || (typeof member === 'number' && !Number.isFinite(member))) {
      throw new TypeError(`JSON has no ${typeof member === 'number' ? member : typeof member}`)
    }
    return member
  })
}

/** Freezes an object and all that is in it. Not by recursion: nesting must not exhaust the stack. */
export function deepFreeze<T extends object> (value: T): T {
  const objects: object[] = [value]
  for (const object of objects) {
    Object.freeze(object)
    for (const member of Object.values(object)) if (typeof member === 'object' && member !== null) objects.push(member)
  }
  return value
}

function stringify (value: unknown, replacer?: (name: string, member: unknown) => unknown): string {
  try {
    return JSON.stringify(value, replacer)
  } catch (error) {
    throw new FST_AUTH0_SESSION_DATA_INVALID({ cause: error })
  }
}

function withoutPrototypes (name: string, member: unknown): unknown {
  return name === '__proto__' ? undefined : member
}
