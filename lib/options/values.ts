import type { Auth0Options } from '../options.ts'
import type { Report, Source } from './source.ts'

/** What a number may be. */
export interface Bounds {
  unit: string
  /** Default: 1. */
  min?: number
  max: number
}

/** What the clock of another may be off. */
export const CLOCK_TOLERANCE: Bounds = { unit: 'seconds', min: 0, max: 300 }

export function parseWholeNumber (name: string, given: unknown, fallback: number, { unit, min = 1, max }: Bounds, report: Report): number {
  if (given === undefined) return fallback
  if (typeof given === 'number' && Number.isInteger(given) && given >= min && given <= max) return given
  report(name, `must be a whole number of ${unit} from ${min} to ${max}`)
  return fallback
}

export function parseOneOf<T extends string | boolean> (name: string, given: T | undefined, fallback: T, allowed: readonly T[], report: Report): T {
  if (given === undefined) return fallback
  if (allowed.includes(given)) return given
  report(name, `must be one of ${allowed.map(value => JSON.stringify(value)).join(', ')}`)
  return fallback
}

export function parseFunction<Name extends 'fetch' | 'onLogin' | 'onRefresh' | 'onLogout' | 'onError'> (name: Name, { options, report }: Source): Auth0Options[Name] {
  const given = options[name]
  if (given !== undefined && typeof given !== 'function') report(name, 'must be a function')
  return given
}

/** An object with options in it; empty when it is absent or something else. */
export function parseObject<T extends object> (name: string, given: T | undefined, report: Report): Partial<T> {
  if (given === undefined) return {}
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return given
  report(name, 'must be an object')
  return {}
}

export function parseClaimPath (name: string, given: unknown, report: Report): readonly string[] {
  const path: unknown[] = [given].flat()
  if (path.length > 0 && path.every(part => typeof part === 'string' && part !== '')) return path as string[]
  report(name, 'must be the name of a claim, or the path to it as an array of names')
  return []
}
