import { isObject } from './document.ts'
import { isTooDeep } from './nesting.ts'

/** Of `sub`, characters (OpenID Connect Core 1.0 §2). */
export const MAX_SUBJECT = 255
/** Of `exp`: the end of the year 9999. */
export const LATEST_EXPIRY = 253_402_300_799

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A signed token taken apart. */
export interface ParsedJwt {
  header: Record<string, unknown>
  payload: Record<string, unknown>
}

/** Makes the error that says why. */
type Invalid = (reason: string) => Error

/**
 * Takes a signed token apart, verifying nothing. Refuses what two parsers could read in two ways.
 *
 * @see RFC 7515 §2 (base64url), §7.1 (three parts); RFC 7519 §4 (members); RFC 8725 §3.7 (UTF-8)
 */
export function parseJwt (token: string, invalid: Invalid): ParsedJwt {
  const parts = token.split('.').map(part => decode(part, invalid))
  if (parts.length !== 3) throw invalid('not three parts')
  const [header, payload] = parts as [Buffer, Buffer, Buffer]
  return { header: parseObject(header, invalid), payload: parseObject(payload, invalid) }
}

function decode (part: string, invalid: Invalid): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.toString('base64url') !== part) throw invalid('not base64url')
  return bytes
}

/** As JSON.parse, but two members of one name are refused. */
function parseObject (bytes: Buffer, invalid: Invalid): Record<string, unknown> {
  const text = decodeUtf8(bytes, invalid)
  const parsed = parseJson(text)
  if (!isObject(parsed)) throw invalid('not a JSON object')
  if (isTooDeep(parsed)) throw invalid('nested too deep')
  if (countWrittenMembers(text) !== countMembers(parsed)) throw invalid('a member appears twice')
  return parsed
}

function decodeUtf8 (bytes: Buffer, invalid: Invalid): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw invalid('not UTF-8')
  }
}

function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Counts the strings of a JSON text that have a colon behind them. A loop, since every access token comes by here. */
function countWrittenMembers (text: string): number {
  let count = 0
  for (let start = text.indexOf('"'); start !== -1;) {
    let next = start + 1
    while (text[next] !== '"') next += text[next] === '\\' ? 2 : 1
    do next++; while (text[next] === ' ' || text[next] === '\n' || text[next] === '\r' || text[next] === '\t')
    if (text[next] === ':') count++
    start = text.indexOf('"', next)
  }
  return count
}

function countMembers (value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const members = Object.values(value)
  return (Array.isArray(value) ? 0 : members.length) + members.reduce((sum, member) => sum + countMembers(member), 0)
}
