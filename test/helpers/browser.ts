import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { getPublicSuffix } from 'tough-cookie'
import { BrowserCookies, type SameSiteContext } from './cookie-jar.ts'
import type { AuthorizeOptions, Provider } from './provider.ts'

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

  /** Opens a guarded page, logs in on the way, and is back; throws when that fails. */
  async login (address = '/profile', options: RequestOptions = {}): Promise<BrowserResponse> {
    const response = await this.navigate(address, options)
    if (response.statusCode >= 300) throw new Error(`the login ended with ${response.statusCode} at ${response.url.pathname}: ${response.body.slice(0, 500)}`)
    return response
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
    return { url, method, mode, body, type, initiator: initiators[site](url), history: [], options }
  }

  async #travel (journey: Journey): Promise<BrowserResponse> {
    const response = await this.#send(journey)
    if (response.location === null) return response
    if (response.history.length > REDIRECTS) throw new Error(`redirected in circles: ${response.history.map(url => url.pathname).join(' → ')}`)
    const next = this.#after(journey, response, response.location)
    return next === null ? response : this.#travel(next)
  }

  /** The request that follows a redirect; `null` when it leads out of our world. */
  #after (journey: Journey, { statusCode, history }: BrowserResponse, target: URL): Journey | null {
    const { provider } = this.#options
    const get = { method: 'GET', body: undefined, type: undefined }
    if (provider !== undefined && target.origin === new URL(provider.issuer).origin) {
      const isLogin = target.origin + target.pathname === provider.document.authorization_endpoint
      const next = isLogin ? provider.authorize(target, journey.options.authorize) : { method: 'GET', url: provider.logout(target), parameters: undefined }
      if (next.url === null) return null
      const isPost = next.method === 'POST'
      const form = isPost ? { method: 'POST', body: String(next.parameters), type: 'application/x-www-form-urlencoded' } : get
      return { ...journey, ...form, url: next.url, initiator: target.origin, history: [...history, target] }
    }
    if (!this.#reaches(target)) return null
    const keepsMethod = statusCode === 307 || statusCode === 308
    return { ...journey, ...(keepsMethod ? {} : get), url: target, history }
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

const isLoopback = ({ hostname }: URL) => /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(hostname)
const site = (hostname: string) => getPublicSuffix(hostname, { allowSpecialUseDomain: true, ignoreError: true }) ?? hostname

/** `Sec-Fetch-Site`, which looks at every address of a chain of redirects (Fetch Metadata §2.3). */
function siteOf ({ initiator, history, url }: Journey): Site {
  if (initiator === null) return 'none'
  const origins = [new URL(initiator), ...history]
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
