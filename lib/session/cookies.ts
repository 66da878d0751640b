import { stringifySetCookie } from 'cookie'
import type { AnyReply, AnyRequest } from '../fastify.ts'

/** Attributes of a cookie of ours, the same when it is set and when it is cleared, else browsers keep the old one. */
export interface CookieAttributes {
  secure: boolean
  sameSite: 'lax' | 'strict' | 'none'
}

/**
 * The value of one cookie, or `null` when it is absent or there twice.
 *
 * Not a cookie parser's job: it would decode all cookies for the one we look for, and takes the first of two with one name,
 * which another host of the same site may have planted.
 */
export function readCookie (request: AnyRequest, name: string): string | null {
  const header = request.headers.cookie
  if (header === undefined) return null
  const start = findCookie(header, name, 0)
  if (start === -1) return null
  const semicolon = header.indexOf(';', start)
  const end = semicolon === -1 ? header.length : semicolon
  return findCookie(header, name, end) === -1 ? header.slice(start, end).trimEnd() : null
}

/** Where the value of the next cookie of this name begins, or -1. */
function findCookie (header: string, name: string, from: number): number {
  const wanted = `${name}=`
  for (let at = header.indexOf(wanted, from); at !== -1; at = header.indexOf(wanted, at + 1)) {
    if (isStartOfCookie(header, at)) return at + wanted.length
  }
  return -1
}

/**
 * Only a semicolon parts cookies. A space does not: the value of a cookie that another host of the same site planted may be
 * `x __Host-auth0=…`, which the prefix would else not keep out.
 */
function isStartOfCookie (header: string, at: number): boolean {
  let before = at - 1
  while (header[before] === ' ' || header[before] === '\t') before--
  return before === -1 || header[before] === ';'
}

/** The names of all cookies that begin with a prefix. */
export function cookieNames (request: AnyRequest, prefix: string): string[] {
  const pairs = (request.headers.cookie ?? '').split(';').filter(pair => pair.includes('='))
  const names = pairs.map(pair => pair.slice(0, pair.indexOf('=')).replace(/^[ \t]+/, ''))
  return [...new Set(names.filter(name => name.startsWith(prefix)))]
}

/**
 * Adds a `Set-Cookie` to the answer: `HttpOnly`, for the whole host and no other.
 *
 * By the header itself, not by @fastify/cookie, so that an application may register that before us, after us or not at all.
 *
 * @param maxAge seconds
 */
export function setCookie (reply: AnyReply, name: string, value: string, maxAge: number, attributes: CookieAttributes): void {
  reply.header('set-cookie', stringifySetCookie({ name, value, maxAge, path: '/', httpOnly: true, ...attributes }, { encode: String }))
}

/** Whether the answer sets a cookie, as far as it is made. */
export function isSet (reply: AnyReply, name: string): boolean {
  return setCookies(reply).some(header => header.startsWith(`${name}=`))
}

/** Takes a cookie back that the answer sets. */
export function unsetCookie (reply: AnyReply, name: string): void {
  if (!isSet(reply, name)) return
  const others = setCookies(reply).filter(header => !header.startsWith(`${name}=`))
  reply.removeHeader('set-cookie')
  for (const header of others) reply.header('set-cookie', header)
}

function setCookies (reply: AnyReply): string[] {
  return [reply.getHeader('set-cookie') ?? []].flat().map(String)
}

/** Makes the browser forget a cookie. */
export function clearCookie (reply: AnyReply, name: string, attributes: CookieAttributes): void {
  setCookie(reply, name, '', 0, attributes)
}
