import type { Config, SessionOptions } from '../options.ts'
import { DEFAULTS } from './defaults.ts'
import type { Source } from './source.ts'
import { parseObject, parseOneOf, parseWholeNumber } from './values.ts'

const LONGEST = { unit: 'seconds', max: 34_560_000 } // 400 days; browsers keep no cookie longer (RFC 6265bis §5.5)
const LARGEST = { unit: 'bytes', max: 65_536 }

/** How long sessions last. */
export function parseSession ({ options, report }: Source): Config['session'] {
  const given: SessionOptions = parseObject('session', options.session, report)
  const idleTimeout = parseWholeNumber('session.idleTimeout', given.idleTimeout, DEFAULTS.session.idleTimeout, LONGEST, report)
  const longer = Math.max(idleTimeout, DEFAULTS.session.absoluteTimeout)
  const absoluteTimeout = parseWholeNumber('session.absoluteTimeout', given.absoluteTimeout, longer, LONGEST, report)
  if (idleTimeout > absoluteTimeout) report('session.idleTimeout', 'must not be longer than "session.absoluteTimeout"')
  return { idleTimeout, absoluteTimeout }
}

/** @param name of the instance */
export function parseCookie ({ options, report }: Source, name: string, isSecure: boolean): Config['cookie'] {
  const given: NonNullable<SessionOptions['cookie']> = parseObject('session.cookie', options.session?.cookie, report)
  const own: unknown = given.name ?? name
  // A dot would make one name the beginning of another's parts: `auth0.1` is the second part of `auth0`.
  if (typeof own !== 'string' || !/^[\w-]{1,64}$/.test(own)) report('session.cookie.name', 'must consist of 1 to 64 letters, digits, "_" and "-"')
  return {
    name: isSecure ? `__Host-${own}` : String(own),
    sameSite: parseOneOf('session.cookie.sameSite', given.sameSite, DEFAULTS.cookie.sameSite, ['lax', 'strict'], report),
    maxSize: parseWholeNumber('session.cookie.maxSize', given.maxSize, DEFAULTS.cookie.maxSize, LARGEST, report)
  }
}
