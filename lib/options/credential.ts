import { fromOptionOr, type Source } from './source.ts'

/** What the provider's dashboard shows of the application, and no login goes without. */
export function parseCredential (name: 'clientId' | 'clientSecret', variable: string, what: string, source: Source): string {
  const given: unknown = source.options[name] ?? source.environment[variable]
  if (typeof given === 'string' && given !== '') return given
  const orNot = source.options.api === undefined ? '' : '. A server that only takes access tokens needs no option of logins at all'
  source.report(name, `is missing: give ${what}, ${fromOptionOr(variable, source)}${orNot}`)
  return ''
}
