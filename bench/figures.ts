import type { Bytes, Ends } from './ends.ts'
import type { Refreshes } from './refreshes.ts'
import type { Figure, FigureGroup } from './report.ts'
import { exactly, spreadOf } from './spread.ts'
import type { StartUps } from './start-up.ts'

/** Of each errand: its time in the largest crowd, and how much more it took there than in the smallest. */
export function figuresOfEnds (ends: readonly Ends[]): FigureGroup {
  const crowds = ends.map(({ crowd }) => crowd)
  const [few, many] = [Math.min(...crowds), Math.max(...crowds)]
  const figures = ends.filter(({ crowd }) => crowd === many).flatMap(({ errand, milliseconds, sent, commands }): Figure[] => {
    const among = ends.find(end => end.errand === errand && end.crowd === few) as Ends
    const ratios = milliseconds.map((took, person) => took / (among.milliseconds[person] as number))
    return [
      { title: errand, value: spreadOf(milliseconds), unit: 'ms', digits: 2, atMost: 2 },
      { title: '  time, over that among few', value: spreadOf(ratios), unit: '×', digits: 2, atMost: 1.5 },
      { title: '  commands sent', value: exactly(sent), unit: 'for a person', digits: 1, atMost: null },
      { title: '  commands of Redis, in scripts too', value: exactly(commands), unit: 'for a person', digits: 1, atMost: null },
      { title: '  the same, over that among few', value: exactly(commands / among.commands), unit: '×', digits: 2, atMost: 1.5 }
    ]
  })
  return { title: `one person of one to three sessions, among ${many.toLocaleString('en')} sessions of others in Redis; few: ${few.toLocaleString('en')}`, figures }
}

export function figuresOfRefreshes (refreshes: readonly Refreshes[]): FigureGroup {
  return {
    title: '50 requests at once, access token expired, rotating refresh tokens, token endpoint 100 ms',
    figures: refreshes.flatMap(({ sessionsIn, milliseconds, calls, failures }): Figure[] => [
      { title: `session in ${sessionsIn}`, value: spreadOf(milliseconds), unit: 'ms', atMost: 130 },
      { title: '  calls of the token endpoint', value: exactly(calls), unit: 'for an expiry', digits: 2, atMost: 1 },
      { title: '  requests that failed', value: exactly(failures), unit: 'in all', atMost: 0 }
    ])
  }
}

export function figuresOfSizes (cookies: readonly string[], bytes: Bytes): FigureGroup {
  return {
    title: 'sizes',
    figures: [
      { title: 'session cookie, name and value', value: spreadOf(cookies.map(cookie => cookie.length)), unit: 'bytes', atMost: 3600 },
      { title: 'session in Redis, with its indexes', value: exactly(bytes.perSession), unit: 'bytes of memory', atMost: null },
      { title: '  the session itself', value: exactly(bytes.itself), unit: 'bytes of memory', atMost: null },
      { title: '  what is sealed in it', value: exactly(bytes.sealed), unit: 'bytes', atMost: null }
    ]
  }
}

export function figuresOfStartUps ({ cookie, redis }: StartUps): FigureGroup {
  return {
    title: 'start of the process',
    figures: [
      { title: 'over bare Fastify', value: spreadOf(cookie.map(({ wallClock }) => wallClock)), unit: 'ms', atMost: 30 },
      { title: 'the same, CPU time of all threads', value: spreadOf(cookie.map(({ cpu }) => cpu)), unit: 'ms', atMost: null },
      { title: 'more with session: { redis }', value: spreadOf(redis.map(({ wallClock }) => wallClock)), unit: 'ms', atMost: null },
      { title: 'the same, CPU time of all threads', value: spreadOf(redis.map(({ cpu }) => cpu)), unit: 'ms', atMost: null }
    ]
  }
}
