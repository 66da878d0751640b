import { APP_BASE_URL } from './candidates/ours.ts'
import { get, type Visit } from './load.ts'
import type { Candidate } from './measure.ts'
import { nameOf } from './people.ts'
import type { SessionCookies, StoredSessionCookies } from './sessions.ts'
import type { AccessTokens } from './tokens.ts'

/** What is compared: candidates that do the same work. */
export interface Row {
  title: string
  candidates: Candidate[]
  limits: Limit[]
}

/** How many times the floor's CPU time a candidate may take; `null` when that is only good to know. */
export interface Limit {
  candidate: Candidate
  floor: Candidate
  atMost: number | null
}

/** People who must have logged in: more than the plugin remembers sessions of (2,000). */
export const PEOPLE = 3000

/** People who take turns, where that is not more than the plugin remembers. */
export const USERS = 1000

/** The rows of the bench, for the cookies of at least `PEOPLE` sessions, and of `USERS` in Redis, and access tokens. */
export function createRows (cookies: SessionCookies, stored: StoredSessionCookies, tokens: AccessTokens): Row[] {
  return [guardedPage(cookies), publicPage(cookies), storedSession(stored), guardedApi(tokens)]
}

function guardedPage ({ ours, unseen, floor }: SessionCookies): Row {
  const bare = { name: 'bare Fastify', app: 'bare', visits: visits('/profile', floor.slice(0, USERS), () => nameOf(0)) }
  const bareAgain = { ...bare, name: 'bare Fastify, once more (control)' }
  const open = { name: '@fastify/cookie, one open, JSON.parse', app: 'open', visits: visits('/profile', floor.slice(0, USERS), nameOf) }
  const isNew = { name: 'ours, cookie new', app: 'ours', visits: visits('/profile', unseen, number => nameOf(number % PEOPLE)) }
  const openedLately = { name: 'ours, cookie opened lately', app: 'ours', visits: visits('/profile', ours.slice(0, USERS), nameOf) }
  const crowd = { name: 'ours, 3,000 users in turn', app: 'ours', visits: visits('/profile', ours, nameOf) }
  return {
    title: 'guarded page, encrypted cookie, 1,000 users in turn',
    candidates: [bare, bareAgain, open, isNew, openedLately, crowd],
    limits: [
      { candidate: isNew, floor: open, atMost: 1.1 },
      { candidate: openedLately, floor: bare, atMost: 1.3 },
      { candidate: crowd, floor: open, atMost: null },
      { candidate: bareAgain, floor: bare, atMost: null }
    ]
  }
}

function publicPage (cookies: SessionCookies): Row {
  const floor = { name: '@fastify/cookie', app: 'cookie', visits: visits('/', cookies.floor.slice(0, USERS), () => nameOf(0)) }
  const ours = { name: 'ours', app: 'ours', visits: visits('/', cookies.ours.slice(0, USERS), () => nameOf(0)) }
  const beside = { ...ours, name: 'ours, beside @fastify/cookie', app: 'ours-and-cookie' }
  return {
    title: 'public page, session cookie sent',
    candidates: [floor, ours, beside],
    limits: [
      { candidate: ours, floor, atMost: 1.05 },
      { candidate: beside, floor, atMost: 1.05 }
    ]
  }
}

function storedSession (cookies: StoredSessionCookies): Row {
  const get = { name: 'bare Fastify, one GET', app: 'redis-get', visits: visits('/profile', cookies.floor, () => nameOf(0)) }
  const ours = { name: 'ours', app: 'ours-redis', visits: visits('/profile', cookies.ours, nameOf) }
  const byHand = { name: '@fastify/session, a store by hand', app: 'by-hand', visits: visits('/profile', cookies.byHand, nameOf) }
  return {
    title: 'guarded page, session in Redis, 1,000 users in turn',
    candidates: [get, ours, byHand],
    limits: [
      { candidate: ours, floor: get, atMost: 1.6 },
      { candidate: ours, floor: byHand, atMost: 1 }
    ]
  }
}

function guardedApi ({ lately, unseen }: AccessTokens): Row {
  const bare = { name: 'bare Fastify', app: 'bare', visits: calls(lately, () => nameOf(0)) }
  const once = { name: 'bare Fastify, one crypto.verify', app: 'api-verify', visits: calls(unseen, nameOf) }
  const jose = { name: 'jose', app: 'api-jose', visits: calls(unseen, nameOf) }
  const isNew = { name: 'ours, token new', app: 'api', visits: calls(unseen, nameOf) }
  const seenLately = { name: 'ours, token seen lately', app: 'api', visits: calls(lately, nameOf) }
  return {
    title: 'API, RS256 token, 1,000 tokens in turn',
    candidates: [bare, once, jose, isNew, seenLately],
    limits: [
      { candidate: isNew, floor: once, atMost: 1.5 },
      { candidate: seenLately, floor: bare, atMost: 1.4 },
      { candidate: isNew, floor: jose, atMost: null }
    ]
  }
}

function calls (tokens: string[], nameFor: (number: number) => string): Visit[] {
  const { host } = new URL(APP_BASE_URL)
  return tokens.map((token, number) => ({ request: get(host, '/profile', `Authorization: Bearer ${token}`), body: JSON.stringify({ name: nameFor(number % USERS) }) }))
}

function visits (path: string, cookies: string[], nameFor: (number: number) => string): Visit[] {
  const { host } = new URL(APP_BASE_URL)
  return cookies.map((cookie, number) => ({ request: get(host, path, `Cookie: ${cookie}`), body: JSON.stringify({ name: nameFor(number) }) }))
}
