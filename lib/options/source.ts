import type { Auth0Options } from '../options.ts'
import { DEFAULTS } from './defaults.ts'

/** Variables of the environment, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Notes what is wrong with an option. Never with its value: boot errors are logged, and variables get mixed up. */
export type Report = (name: string, text: string) => void

/** What options are read from, and where it is noted what is wrong with them. */
export interface Source {
  options: Auth0Options
  /** Only the variables that this instance reads; without empty ones, such as a `.env` has for what is not used. */
  environment: Environment
  report: Report
}

/** What an instance with a name of its own reads, too: it is for another client, which must not get this one's secret by default. */
const SHARED = ['AUTH0_SECRET', 'APP_BASE_URL', 'NODE_ENV']

export function createSource (options: Auth0Options, environment: Environment, report: Report): Source {
  const isMain = (options.name ?? DEFAULTS.name) === DEFAULTS.name
  const read = Object.entries(environment).filter(([variable, value]) => value !== '' && (isMain || SHARED.includes(variable)))
  return { options, environment: Object.fromEntries(read), report }
}

/** Where a value may come from, for a message. */
export function fromOptionOr (variable: string, { options: { name = DEFAULTS.name } }: Source): string {
  return name === DEFAULTS.name || SHARED.includes(variable) ? `as option or in ${variable}` : 'as option'
}
