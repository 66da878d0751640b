import { html } from 'ghtml'

const UNITS: Array<[unit: Intl.RelativeTimeFormatUnit, seconds: number]> = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]]

const relative = new Intl.RelativeTimeFormat('en-GB')
const absolute = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })

/** Counts the seconds since the epoch, as tokens and sessions do. */
export function now (): number {
  return Math.floor(Date.now() / 1000)
}

/** Says how far away a point in time is: `in 3 hours`, `12 seconds ago`. */
export function fromNow (at: number): string {
  const seconds = at - now()
  if (seconds === 0) return 'just now'
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length)!
  return relative.format(Math.round(seconds / length), unit)
}

/** Says a point in time on the clock: `31 Jan 2025, 09:30:00`. */
export function onTheClock (at: number): string {
  return absolute.format(at * 1000)
}

/** Shows how far away a point in time is, and when that is to who points at it. */
export function time (at: number): string {
  return html`<time datetime="${new Date(at * 1000).toISOString()}" title="${onTheClock(at)}">${fromNow(at)}</time>`
}
