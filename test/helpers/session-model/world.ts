import type { Browser, BrowserResponse } from '../browser.ts'
import { Flight, type Errand } from './flights.ts'
import type { Claim, KnownSession, Model } from './model.ts'
import { toHost, type Departure, type Subject } from './subjects.ts'

/** Who logs in. */
export const PEOPLE = ['ada', 'grace'] as const
export const BROWSERS = 2
export const HOSTS = 2
export const MAX_FLIGHTS = 4
const MOST_LATE = 20 // seconds
/** Of a logout token, in seconds. */
export const TOKEN_LIFETIME = 280

/** A login that left for the provider, and has not come back. */
export interface Leaving extends Departure {
  sub: string
  sid: string
  /** The session that it began with. */
  replaces: KnownSession | null
}

/** A browser, and the session that it was told of last. */
export interface Tab {
  browser: Browser
  at: number
  leaving: Leaving[]
  /** The cookie that it had after the last answer. */
  cookie: string | null
}

/** Who sends a request, with which cookie: a browser, or (`tab` is `null`) somebody who has a copy. */
export interface Sender {
  tab: Tab | null
  cookie: string | null
}

/** A logout token, to be sent more than once. */
export interface LogoutToken {
  jwt: string
  /** By the clock of the provider. */
  issuedAt: number
  covers: (session: KnownSession) => boolean
  /** `lost`: it was taken, and the store lost everything since. */
  state: 'new' | 'sent' | 'taken' | 'lost'
}

let runs = 0

/** One run: fresh people in fresh browsers, on hosts that were there before. */
export class World {
  readonly subject: Subject
  readonly model: Model
  readonly tabs: readonly Tab[]
  readonly tokens: LogoutToken[] = []
  readonly flights: Flight[] = []
  /** Logins that are coming back. */
  logins = 0
  readonly #run = `${process.pid}.${++runs}`
  readonly #startedAt = Math.floor(Date.now() / 1000) - MOST_LATE
  #passed = 0
  #values = 0

  constructor (subject: Subject, model: Model) {
    this.subject = subject
    this.model = model
    this.tabs = Array.from({ length: BROWSERS }, (_, at) => ({ browser: subject.newBrowser(), at, leaving: [], cookie: null }))
  }

  get hasRoom (): boolean {
    return this.flights.length < MAX_FLIGHTS
  }

  /** Now, by the clock of the provider, in seconds since the epoch. */
  get now (): number {
    return this.#startedAt + this.#passed
  }

  pass (seconds: number): void {
    this.#passed += seconds
  }

  /** Whether a logout token is still taken. */
  isFresh ({ issuedAt }: LogoutToken): boolean {
    return this.now - issuedAt < TOKEN_LIFETIME - MOST_LATE - 10
  }

  person (at: number): string {
    return `${PEOPLE[at % PEOPLE.length]}.${this.#run}`
  }

  /** The session at the provider of a person in a browser. */
  sid ({ at }: Tab, sub: string): string {
    return `${sub}.${at}`
  }

  /** A value that nobody wrote before. */
  value (): string {
    return String(++this.#values)
  }

  senderOf (tab: Tab): Sender {
    return { tab, cookie: tab.browser.cookie(this.subject.cookieName) }
  }

  /** Somebody who has a copy of a cookie. */
  thiefOf ({ cookie }: KnownSession): Sender {
    return { tab: null, cookie }
  }

  /** Asks for something that ends no session: an answer that comes late must not bring back the cookie that there was before a login. */
  async visit (sender: Sender, host: number, method: string, path: string, json?: unknown): Promise<BrowserResponse> {
    const response = await this.#send(sender, host, method, path, json)
    const { tab, cookie } = sender
    if (tab === null) return response
    const before = tab.cookie
    this.note(tab, response)
    this.judge('stays logged in', before === cookie || tab.cookie !== cookie, 'a late answer took away the cookie of a session since')
    return response
  }

  /** Asks for something that may begin or end a session. */
  async request (sender: Sender, host: number, method: string, path: string, json?: unknown): Promise<BrowserResponse> {
    const response = await this.#send(sender, host, method, path, json)
    return sender.tab === null ? response : this.note(sender.tab, response)
  }

  /** Looks at the cookie that a browser has after an answer. */
  note (tab: Tab, response: BrowserResponse): BrowserResponse {
    tab.cookie = this.senderOf(tab).cookie
    return response
  }

  /** The cookie of another session than the sender's that an answer brings; `null` when it brings none. */
  newCookie ({ setCookies }: BrowserResponse, { cookie }: Pick<Sender, 'cookie'>): string | null {
    const start = `${this.subject.cookieName}=`
    const values = setCookies.filter(header => header.startsWith(start)).map(header => header.slice(start.length).split(';', 1)[0] as string)
    return values.find(value => value !== '' && value !== cookie) ?? null
  }

  expectStatus ({ statusCode, url, body }: BrowserResponse, ...expected: number[]): void {
    this.judge('answers', expected.includes(statusCode), `${url.pathname} answered ${statusCode}: ${body.slice(0, 300)}`)
  }

  judge (claim: Claim, holds: boolean, text: string): void {
    this.model.judge(claim, holds, text)
  }

  /** Does it, or, when it is slow, begins it. */
  async do (errand: Errand, isSlow: boolean): Promise<void> {
    if (!isSlow) return errand()
    const flight = new Flight(errand)
    this.flights.push(flight)
    await flight.begin()
    this.#land()
  }

  async step (at: number, steps: number): Promise<void> {
    const flight = this.flights[at % this.flights.length] as Flight
    for (let step = 0; step < steps && !flight.isOver; step++) await flight.step()
    this.#land()
  }

  async finish (at: number): Promise<void> {
    const flight = this.flights[at % this.flights.length] as Flight
    await flight.finish()
    this.#land()
  }

  /** Lets whatever is under way come to an end, whatever that is. */
  async abandon (): Promise<void> {
    for (const flight of this.flights) await flight.finish().catch(() => {})
  }

  #send ({ tab, cookie }: Sender, host: number, method: string, path: string, json?: unknown): Promise<BrowserResponse> {
    const { newBrowser, cookieName } = this.subject
    if (tab === null) return newBrowser().fetch(path, { method, json, headers: { ...toHost(host), cookie: `${cookieName}=${cookie}` } })
    return tab.browser.fetch(path, { method, json, headers: toHost(host) })
  }

  #land (): void {
    for (const flight of this.flights.filter(flight => flight.isOver)) this.flights.splice(this.flights.indexOf(flight), 1)
  }
}
