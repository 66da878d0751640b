import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import { decodeHTMLAttribute } from 'entities'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { getPublicSuffix } from 'tough-cookie'
import { BrowserCookies, type SameSiteContext } from './cookie-jar.ts'
import type { AuthorizeOptions, Callback, Provider } from './provider.ts'

/** Who caused a request: the value of `Sec-Fetch-Site`. `none`: the person, at the address bar. */
export type Site = 'none' | 'same-origin' | 'same-site' | 'cross-site'

export interface BrowserOptions {
  /** Origin of the application, before relative addresses. */
  baseUrl: string
  /** Reached by `inject`, as behind a proxy that ends TLS. Without it: real sockets, to loopback only. */
  app?: Pick<FastifyInstance, 'inject'>
  /** In memory: whoever is sent to its pages logs in, or out, at once. */
  provider?: Provider
  /** Cookies that a browser refuses: an error (default), or just noted in `browser.cookies.refused`. */
  refusedCookies?: 'throw' | 'note'
}

export interface RequestOptions {
  method?: string
  /** Put over those that the browser sends; `undefined` removes. */
  headers?: Record<string, string | undefined>
  form?: Record<string, string> | URLSearchParams
  json?: unknown
  /** Default: `none` for addresses, `same-origin` for forms and scripts. */
  site?: Site
  /** As a browser from before Fetch Metadata. */
  legacy?: boolean
  /** How the person logs in, when sent to the provider. */
  authorize?: AuthorizeOptions
}

export interface BrowserResponse {
  url: URL
  statusCode: number
  headers: IncomingHttpHeaders | OutgoingHttpHeaders
  body: string
  /** Where it redirects to, or `null`. */
  location: URL | null
  setCookies: string[]
  /** The addresses that led here, the last being this one's. */
  history: URL[]
  json: () => any // eslint-disable-line @typescript-eslint/no-explicit-any -- as Fastify's own
}

/** A request on its way, with whatever is needed to go on after a redirect. */
interface Journey {
  url: URL
  method: string
  mode: 'navigate' | 'cors'
  body: string | undefined
  type: string | undefined
  /** Origin of the page that caused it; `null`: the person. */
  initiator: string | null
  /** The redirects since. */
  chain: URL[]
  history: URL[]
  options: RequestOptions
}

type Answer = Pick<BrowserResponse, 'statusCode' | 'headers' | 'body'>

const REDIRECTS = 20
const initiators = { none: () => null, 'same-origin': (url: URL) => url.origin, 'same-site': (url: URL) => `https://sibling.${site(url.hostname)}`, 'cross-site': () => 'https://elsewhere.example' }

/**
 * A browser with a cookie jar, honest about what it sends: `Sec-Fetch-*`, `Origin`, `SameSite`. A redirect from another site makes
 * what follows cross-site, as in Chromium, so that a `Strict` cookie is missing right after a login.
 */
export class Browser {
  readonly cookies = new BrowserCookies()
  readonly #options: BrowserOptions
  readonly #base: URL

  constructor (options: BrowserOptions) {
    this.#options = options
    this.#base = new URL(options.baseUrl)
  }

  /** Opens an address, without going where it redirects to. */
  get (address: string | URL, options: RequestOptions = {}): Promise<BrowserResponse> {
    return this.#send(this.#start(address, 'navigate', { site: 'none', ...options }))
  }

  /** Sends a form, without going where it redirects to. */
  post (address: string | URL, form: RequestOptions['form'] = {}, options: RequestOptions = {}): Promise<BrowserResponse> {
    return this.#send(this.#start(address, 'navigate', { method: 'POST', form, ...options }))
  }

  /** Sends a request as a script does; follows no redirect. */
  fetch (address: string | URL, options: RequestOptions = {}): Promise<BrowserResponse> {
    return this.#send(this.#start(address, 'cors', options))
  }

  /** Opens an address and goes wherever that leads, through the provider too. */
  navigate (address: string | URL, options: RequestOptions = {}): Promise<BrowserResponse> {
    return this.#travel(this.#start(address, 'navigate', { site: 'none', ...options }))
  }

  /** Sends a form and goes wherever that leads, through the provider too. */
  submit (address: string | URL, form: RequestOptions['form'] = {}, options: RequestOptions = {}): Promise<BrowserResponse> {
    return this.#travel(this.#start(address, 'navigate', { method: 'POST', form, ...options }))
  }

  /**
   * Opens a guarded page, logs in on the way, and is back; throws when that fails. `/login?returnTo=…` logs in a person who has a
   * session already.
   */
  async login (address = '/profile', options: RequestOptions = {}): Promise<BrowserResponse> {
    const before = this.#options.provider?.authorizations.length
    const response = await this.navigate(address, options)
    if (response.statusCode >= 300) throw new Error(`the login ended with ${response.statusCode} at ${response.url.pathname}: ${response.body.slice(0, 500)}`)
    if (this.#options.provider?.authorizations.length === before) throw new Error(`${address} did not ask for a login`)
    return response
  }

  /** Begins a login, and logs in at the provider: what comes back is still to be used, with `comeBack`. */
  async leave (address = '/login', options: RequestOptions = {}): Promise<Callback> {
    const { location, statusCode } = await this.get(address, options)
    if (location === null) throw new Error(`${address} did not lead to the provider, but to ${statusCode}`)
    return this.#options.provider!.authorize(location, options.authorize)
  }

  /** Comes back from the provider, without going where the callback redirects to. Once more is a repeated callback. */
  comeBack (callback: Callback, options: RequestOptions = {}): Promise<BrowserResponse> {
    const { origin } = new URL(this.#options.provider!.issuer)
    return this.#send({ ...this.#start(callback.url, 'navigate', options), ...asRequest(callback), initiator: origin })
  }

  /** Value of the application's cookie, or `null`. */
  cookie (name: string): string | null { return this.cookies.value(name, this.#base) }

  /** Names of the application's cookies that begin so. */
  cookieNames (start = ''): string[] {
    return this.cookies.at(this.#base).map(({ key }) => key).filter(name => name.startsWith(start)).sort()
  }

  /** Sets a cookie of the application, written as in `Set-Cookie`. */
  setCookie (header: string): void { this.cookies.keep(header, this.#base, 'strict') }

  #start (address: string | URL, mode: Journey['mode'], options: RequestOptions): Journey {
    const url = new URL(address, this.#base)
    const { method = 'GET', form, json, site = 'same-origin' } = options
    const body = form ? new URLSearchParams(form).toString() : json === undefined ? undefined : JSON.stringify(json)
    const type = form ? 'application/x-www-form-urlencoded' : json === undefined ? undefined : 'application/json'
    return { url, method, mode, body, type, initiator: initiators[site](url), chain: [], history: [], options }
  }

  async #travel (journey: Journey): Promise<BrowserResponse> {
    const response = await this.#send(journey)
    const next = this.#after(journey, response)
    if (next === null) return response
    if (response.history.length > REDIRECTS) throw new Error(`redirected in circles: ${response.history.map(url => url.pathname).join(' → ')}`)
    return this.#travel(next)
  }

  /** The request that follows by itself; `null` when there is none, or it leads out of our world. */
  #after (journey: Journey, { statusCode, history, location, url, body }: BrowserResponse): Journey | null {
    const get = { ...journey, method: 'GET', body: undefined, type: undefined, history }
    const refresh = refreshOf(body, url)
    if (refresh !== null) return { ...get, url: refresh, initiator: url.origin, chain: [] }
    if (location === null) return null
    if (this.#isProvider(location)) return this.#fromProvider({ ...get, url: location })
    if (!this.#reaches(location)) return null
    const keepsMethod = statusCode === 307 || statusCode === 308
    return { ...(keepsMethod ? { ...journey, history } : get), url: location, chain: [...journey.chain, url] }
  }

  /** What the person does at the provider, and the request that brings them back from there. */
  #fromProvider (journey: Journey): Journey | null {
    const { url, history, options } = journey
    const { provider } = this.#options
    const back = { ...journey, initiator: url.origin, chain: [], history: [...history, url] }
    if (url.origin + url.pathname !== provider!.document.authorization_endpoint) {
      const next = provider!.logout(url)
      return next && { ...back, url: next }
    }
    return { ...back, ...asRequest(provider!.authorize(url, options.authorize)) }
  }

  #isProvider (url: URL): boolean {
    return this.#options.provider !== undefined && new URL(this.#options.provider.issuer).origin === url.origin
  }

  #reaches (url: URL): boolean {
    return this.#options.app ? url.origin === this.#base.origin : isLoopback(url)
  }

  async #send (journey: Journey): Promise<BrowserResponse> {
    const { url, method, body, mode } = journey
    if (!this.#reaches(url)) throw new Error(`the browser cannot reach ${url.origin}`)
    const from = siteOf(journey)
    const context = contextOf(from, journey)
    const headers = this.#headers(journey, from, context)
    const answer = await (this.#options.app ? inject(this.#options.app, url, method, headers, body) : overSockets(url, method, headers, body))
    const setCookies = [answer.headers['set-cookie'] ?? []].flat().map(String)
    // A navigation may set SameSite cookies wherever it comes from (RFC 6265bis §5.7).
    for (const header of setCookies) this.cookies.keep(header, url, mode === 'navigate' ? 'strict' : context)
    this.#checkCookies()
    const { location } = answer.headers
    const isRedirect = [301, 302, 303, 307, 308].includes(answer.statusCode) && location !== undefined
    return {
      ...answer,
      url,
      location: isRedirect ? new URL(String(location), url) : null,
      setCookies,
      history: [...journey.history, url],
      json: () => JSON.parse(answer.body)
    }
  }

  #headers ({ url, method, mode, type, initiator, options }: Journey, from: Site, context: SameSiteContext): Record<string, string> {
    const isNavigation = mode === 'navigate'
    const knowsMetadata = !options.legacy && (url.protocol === 'https:' || isLoopback(url))
    const headers: Record<string, string | undefined> = {
      host: url.host,
      'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/140',
      accept: isNavigation ? 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' : '*/*',
      ...(knowsMetadata && { 'sec-fetch-site': from, 'sec-fetch-mode': mode, 'sec-fetch-dest': isNavigation ? 'document' : 'empty' }),
      ...(knowsMetadata && isNavigation && { 'sec-fetch-user': '?1' }),
      ...((method !== 'GET' && method !== 'HEAD') && { origin: initiator ?? 'null' }),
      ...(type !== undefined && { 'content-type': type }),
      ...(this.#options.app && url.protocol === 'https:' && { 'x-forwarded-proto': 'https' }),
      cookie: this.cookies.header(url, context) || undefined,
      ...options.headers
    }
    return Object.fromEntries(Object.entries(headers).filter((header): header is [string, string] => header[1] !== undefined))
  }

  #checkCookies (): void {
    const refused = this.cookies.refused.at(-1)
    if (refused === undefined || this.#options.refusedCookies === 'note') return
    throw new Error(`the browser refuses the cookie ${refused.name}: ${refused.reason}`)
  }
}

/** Where a page goes on to by itself, or `null`. */
function refreshOf (body: string, base: URL): URL | null {
  const [, address] = /<meta http-equiv="refresh" content="0;\s*url=([^"]*)"/i.exec(body) ?? []
  return address === undefined ? null : new URL(decodeHTMLAttribute(address), base)
}

function asRequest ({ method, url, parameters }: Callback): Pick<Journey, 'method' | 'url' | 'body' | 'type'> {
  const isPost = method === 'POST'
  return { method, url, body: isPost ? String(parameters) : undefined, type: isPost ? 'application/x-www-form-urlencoded' : undefined }
}

const isLoopback = ({ hostname }: URL) => /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(hostname)
const site = (hostname: string) => getPublicSuffix(hostname, { allowSpecialUseDomain: true, ignoreError: true }) ?? hostname

/** `Sec-Fetch-Site`, which looks at every address of a chain of redirects (Fetch Metadata §2.3). */
function siteOf ({ initiator, chain, url }: Journey): Site {
  if (initiator === null) return 'none'
  const origins = [new URL(initiator), ...chain]
  if (origins.every(({ origin }) => origin === url.origin)) return 'same-origin'
  return origins.every(({ hostname, protocol }) => protocol === url.protocol && site(hostname) === site(url.hostname)) ? 'same-site' : 'cross-site'
}

function contextOf (from: Site, { mode, method }: Journey): SameSiteContext {
  if (from !== 'cross-site') return 'strict'
  return mode === 'navigate' && (method === 'GET' || method === 'HEAD') ? 'lax' : 'none'
}

async function inject (app: Pick<FastifyInstance, 'inject'>, url: URL, method: string, headers: Record<string, string>, body: string | undefined): Promise<Answer> {
  const request = { url: url.pathname + url.search, method, headers, ...(body !== undefined && { payload: body }) } as InjectOptions
  const { statusCode, headers: answered, body: text } = await app.inject(request)
  return { statusCode, headers: answered, body: text }
}

/** By `node:http`, since Node's `fetch` sets `Sec-Fetch-Mode` by itself. */
function overSockets (url: URL, method: string, headers: Record<string, string>, body: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    const request = send(url, { method, headers, agent: false, rejectUnauthorized: false }, response => {
      text(response).then(body => resolve({ statusCode: response.statusCode!, headers: response.headers, body }), reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}
