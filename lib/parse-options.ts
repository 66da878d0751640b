import { closestMatch } from 'leven'
import { parseAuthorizationParams } from './authorization-params.ts'
import { FST_AUTH0_OPTIONS_INVALID } from './errors.ts'
import type { Auth0Options, Config, RoutePaths } from './options.ts'
import { isLoopback } from './provider/bounded-fetch.ts'
import { auth0, oidc, type ProviderPreset } from './provider/presets.ts'

const DEFAULTS = {
  name: 'auth0',
  scope: 'openid profile email',
  routes: { login: '/login', callback: '/callback', logout: '/logout' },
  session: { idleTimeout: 86_400, absoluteTimeout: 259_200 },
  cookie: { sameSite: 'lax', maxSize: 12_288 },
  userInfo: 'missing',
  rolesClaim: 'roles',
  permissionsClaim: 'permissions',
  clientAuthMethod: 'client_secret_post',
  httpTimeout: 5000,
  clockTolerance: 30
} as const

const OPTIONS = [
  'domain', 'issuer', 'clientId', 'clientSecret', 'secret', 'appBaseUrl', 'redirectUri', 'authorizationParams', 'routes', 'session',
  'userInfo', 'rolesClaim', 'permissionsClaim', 'pushedAuthorizationRequests', 'clientAuthMethod', 'onLogin', 'onLogout', 'onError',
  'name', 'fetch', 'httpTimeout', 'clockTolerance', 'prefix', 'logLevel', 'logSerializers'
]

const MIN_SECRET = 32 // characters
const MIN_DISTINCT = 5 // different characters; fewer are a pattern, not chance
const SAMPLE = /change.?(me|this)|replace.?(me|this|with)|placeholder|your.?(own|long|secret)|long.?random|openssl|password|01234567|abcdefgh|qwerty|[<[].*[\]>]/i

type Environment = Record<string, string | undefined>

/**
 * Makes of what people write what we use.
 *
 * @param prefix of the Fastify instance; option `prefix` comes behind it
 * @throws {FST_AUTH0_OPTIONS_INVALID} that lists everything wrong, by name
 */
export function parseOptions (options: Auth0Options, environment: Environment, prefix: string): Config {
  const parser = new OptionsParser(options, environment, prefix)
  const config = parser.parse()
  if (parser.problems.length > 0) throw new FST_AUTH0_OPTIONS_INVALID(parser.problems.map(problem => `- ${problem}`).join('\n'))
  return config
}

class OptionsParser {
  readonly problems: string[] = []
  readonly #options: Auth0Options
  readonly #environment: Environment
  readonly #prefix: string
  readonly #name: string

  constructor (options: Auth0Options, environment: Environment, prefix: string) {
    this.#options = options
    this.#name = options.name ?? DEFAULTS.name
    this.#prefix = withoutSlash(withoutSlash(prefix) + (options.prefix ?? ''))
    // Another instance is for another client; it must not send this one's secret to its own provider by default.
    const { AUTH0_SECRET, APP_BASE_URL } = environment
    this.#environment = this.#name === DEFAULTS.name ? environment : { AUTH0_SECRET, APP_BASE_URL }
  }

  parse (): Config {
    const options = this.#options
    this.#refuseUnknown('', options, OPTIONS)
    const redirectUri = this.#redirectUri()
    const appBaseUrls = this.#appBaseUrls(redirectUri)
    const authorizationParams = this.#authorizationParams()
    const routes = this.#routes(redirectUri, appBaseUrls)
    const isSecure = appBaseUrls.every(url => url.startsWith('https:'))
    return {
      name: this.#parseName(),
      preset: this.#preset(),
      clientId: this.#text('clientId', 'AUTH0_CLIENT_ID', 'the "Client ID" of the application at the provider'),
      clientSecret: this.#text('clientSecret', 'AUTH0_CLIENT_SECRET', 'the "Client Secret" of the application at the provider'),
      secrets: this.#secrets(),
      appBaseUrls,
      isSecure,
      redirectUri,
      authorizationParams,
      isFormPost: this.#isFormPost(authorizationParams, appBaseUrls),
      routes,
      paths: { login: this.#prefixed(routes.login), callback: this.#prefixed(routes.callback), logout: this.#prefixed(routes.logout) },
      session: this.#session(),
      cookie: this.#cookie(isSecure),
      userInfo: this.#oneOf('userInfo', options.userInfo, DEFAULTS.userInfo, ['missing', 'always', false]),
      clientAuthMethod: this.#oneOf('clientAuthMethod', options.clientAuthMethod, DEFAULTS.clientAuthMethod, ['client_secret_post', 'client_secret_basic']),
      pushedAuthorizationRequests: this.#oneOf('pushedAuthorizationRequests', options.pushedAuthorizationRequests, false, [true, false]),
      rolesClaim: this.#claimPath('rolesClaim'),
      permissionsClaim: this.#claimPath('permissionsClaim'),
      fetch: this.#function('fetch') ?? ((...call) => globalThis.fetch(...call)),
      httpTimeout: this.#positive('httpTimeout', options.httpTimeout, DEFAULTS.httpTimeout, 'milliseconds'),
      clockTolerance: this.#clockTolerance(),
      onLogin: this.#function('onLogin'),
      onLogout: this.#function('onLogout'),
      onError: this.#function('onError')
    }
  }

  #problem (name: string, text: string): void {
    this.problems.push(`Option "${name}" ${text}`)
  }

  #refuseUnknown (parent: string, given: object | undefined, known: readonly string[]): void {
    for (const name of Object.keys(given ?? {})) {
      if (known.includes(name)) continue
      const nearest = closestMatch(name, known, { maxDistance: 4 })
      this.#problem(parent + name, nearest === undefined ? `is unknown. Known are ${known.join(', ')}` : `is unknown. Did you mean "${parent}${nearest}"?`)
    }
  }

  #parseName (): string {
    if (!/^[a-zA-Z_$][\w$]*$/.test(this.#name)) this.#problem('name', 'must be a word that can name a property, such as "auth0" or "staff"')
    return this.#name
  }

  #text (name: 'clientId' | 'clientSecret', variable: string, what: string): string {
    const value = this.#options[name] ?? this.#environment[variable]
    if (typeof value === 'string' && value !== '') return value
    this.#problem(name, `is missing: give ${what}, as option or in ${variable}`)
    return ''
  }

  #preset (): ProviderPreset {
    const isGiven = this.#options.domain !== undefined || this.#options.issuer !== undefined
    const domain = isGiven ? this.#options.domain : this.#environment.AUTH0_DOMAIN
    const issuer = isGiven ? this.#options.issuer : this.#environment.AUTH0_ISSUER
    if (domain !== undefined && issuer !== undefined) this.#problem('issuer', 'and "domain" exclude each other: give one, as option or in AUTH0_ISSUER or AUTH0_DOMAIN')
    if (issuer !== undefined) return this.#oidc(issuer)
    if (domain !== undefined) return this.#auth0(domain)
    this.#problem('domain', 'is missing: give the domain of your Auth0 tenant, as option or in AUTH0_DOMAIN; for another provider "issuer" or AUTH0_ISSUER')
    return oidc('https://missing.invalid')
  }

  #auth0 (domain: string): ProviderPreset {
    if (/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/i.test(domain)) return auth0(domain)
    this.#problem('domain', `must be a bare host such as "tenant.eu.auth0.com", without "https://" in front and without a slash or path behind; it is "${domain}"`)
    return oidc('https://missing.invalid')
  }

  #oidc (issuer: string): ProviderPreset {
    const url = this.#url('issuer', issuer)
    if (url?.protocol === 'http:' && !isLoopback(url)) this.#problem('issuer', 'must be https: only a provider on this machine may use http')
    return oidc(url?.href ?? 'https://missing.invalid')
  }

  /** An absolute http or https URL without query, fragment and credentials; else a problem and `null`. */
  #url (name: string, value: unknown): URL | null {
    const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
    if (url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '' && url.username === '') return url
    this.#problem(name, 'must be an absolute URL without query and fragment, such as "https://app.example.com"')
    return null
  }

  #secrets (): readonly string[] {
    const given = this.#options.secret ?? this.#environment.AUTH0_SECRET
    const secrets: unknown[] = Array.isArray(given) ? given : [given]
    secrets.forEach((secret, index) => this.#verifySecret(Array.isArray(given) ? `secret[${index}]` : 'secret', secret))
    if (secrets.length === 0) this.#verifySecret('secret', undefined)
    return secrets as string[]
  }

  /** Never with the value: boot errors are logged. */
  #verifySecret (name: string, secret: unknown): void {
    const remedy = 'give 32 or more random characters, e.g. from "openssl rand -hex 32", as option or in AUTH0_SECRET'
    if (secret === undefined || secret === '') return this.#problem(name, `is missing: ${remedy}`)
    if (typeof secret !== 'string') return this.#problem(name, `must be a string: ${remedy}`)
    if (secret.length < MIN_SECRET) return this.#problem(name, `is too short: ${remedy}`)
    if (SAMPLE.test(secret) || new Set(secret).size < MIN_DISTINCT) this.#problem(name, `is a sample or a pattern that others can guess: ${remedy}`)
  }

  #redirectUri (): string | null {
    const given = this.#options.redirectUri ?? this.#environment.AUTH0_REDIRECT_URI
    return given === undefined ? null : this.#url('redirectUri', given)?.href ?? null
  }

  #appBaseUrls (redirectUri: string | null): readonly string[] {
    const given = this.#options.appBaseUrl ?? this.#environment.APP_BASE_URL ?? (redirectUri === null ? undefined : new URL(redirectUri).origin)
    if (given === undefined || given.length === 0) {
      this.#problem('appBaseUrl', 'is missing: give the public URL of this application, such as "http://localhost:3000", as option or in APP_BASE_URL')
      return []
    }
    const urls = typeof given === 'string' ? [this.#url('appBaseUrl', given)] : given.map((url, index) => this.#url(`appBaseUrl[${index}]`, url))
    const valid = urls.filter(url => url !== null)
    if (new Set(valid.map(url => url.protocol)).size > 1) this.#problem('appBaseUrl', 'must list URLs of one scheme, all https or all http: the names of cookies depend on it')
    if (valid.some(url => url.protocol === 'http:' && !isLoopback(url)) && this.#environment.NODE_ENV === 'production') {
      this.#problem('appBaseUrl', 'must be https in production (NODE_ENV): over http, sessions can be stolen on their way')
    }
    return valid.map(url => withoutSlash(url.href))
  }

  #authorizationParams (): Readonly<Record<string, string>> {
    const { AUTH0_SCOPE: scope = DEFAULTS.scope, AUTH0_AUDIENCE: audience } = this.#environment
    const { params, problems } = parseAuthorizationParams({ scope, audience, ...this.#options.authorizationParams })
    if (!params.scope?.split(' ').includes('openid')) problems.push(['scope', 'must contain "openid": without it there is no ID token'])
    for (const [name, text] of problems) this.#problem(`authorizationParams.${name}`, text)
    return params
  }

  #isFormPost (params: Readonly<Record<string, string>>, appBaseUrls: readonly string[]): boolean {
    if (params.response_mode !== 'form_post') return false
    // The provider's POST is cross-site; only a `SameSite=None; Secure` cookie comes with it.
    if (appBaseUrls.some(url => url.startsWith('http:') && !isLoopback(new URL(url)))) {
      this.#problem('authorizationParams.response_mode', '"form_post" needs an https "appBaseUrl"')
    }
    return true
  }

  #routes (redirectUri: string | null, appBaseUrls: readonly string[]): RoutePaths {
    const given = this.#options.routes ?? {}
    this.#refuseUnknown('routes.', given, Object.keys(DEFAULTS.routes))
    const login = this.#route('login', given.login)
    const callback = redirectUri === null || given.callback === false ? this.#route('callback', given.callback) : this.#callbackRoute(redirectUri, appBaseUrls)
    const logout = this.#route('logout', given.logout)
    if (callback === null && redirectUri === null) this.#problem('redirectUri', 'is missing: with routes.callback false, say where your own callback is')
    const used = [login, callback, logout].filter(path => path !== null)
    if (new Set(used).size < used.length) this.#problem('routes', 'must be different from each other')
    return { login, callback, logout }
  }

  #route (name: keyof RoutePaths, given: string | false | undefined): string | null {
    if (given === false) return null
    const path = given ?? DEFAULTS.routes[name]
    if (typeof path !== 'string' || !/^\/[\w\-./~]*$/.test(path)) this.#problem(`routes.${name}`, 'must be a path such as "/login", or false')
    return path
  }

  /** The path, below the prefix, that a browser calls when it goes to the redirect URI. */
  #callbackRoute (redirectUri: string, appBaseUrls: readonly string[]): string {
    const base = appBaseUrls.map(url => url + this.#prefix).find(url => redirectUri.startsWith(`${url}/`))
    if (base === undefined) this.#problem('redirectUri', `must begin with "appBaseUrl"${this.#prefix === '' ? '' : ` and the prefix "${this.#prefix}"`}`)
    const path = base === undefined ? DEFAULTS.routes.callback : redirectUri.slice(base.length)
    const { callback = path } = this.#options.routes ?? {}
    if (base !== undefined && callback !== path) this.#problem('redirectUri', 'and "routes.callback" must be the same place: give one of them')
    return path
  }

  #prefixed (path: string | null): string | null {
    return path === null ? null : this.#prefix + path
  }

  #session (): Config['session'] {
    const { cookie: _cookie, ...given } = this.#options.session ?? {}
    this.#refuseUnknown('session.', given, [...Object.keys(DEFAULTS.session), 'cookie'])
    const idleTimeout = this.#positive('session.idleTimeout', given.idleTimeout, DEFAULTS.session.idleTimeout, 'seconds')
    const absoluteTimeout = this.#positive('session.absoluteTimeout', given.absoluteTimeout, Math.max(idleTimeout, DEFAULTS.session.absoluteTimeout), 'seconds')
    if (idleTimeout > absoluteTimeout) this.#problem('session.idleTimeout', 'must not be longer than "session.absoluteTimeout"')
    return { idleTimeout, absoluteTimeout }
  }

  #cookie (isSecure: boolean): Config['cookie'] {
    const given = this.#options.session?.cookie ?? {}
    this.#refuseUnknown('session.cookie.', given, ['name', ...Object.keys(DEFAULTS.cookie)])
    const { name = this.#name } = given
    if (!/^[A-Za-z0-9_-]+$/.test(name)) this.#problem('session.cookie.name', 'must consist of letters, digits, "_" and "-"')
    return {
      name: isSecure ? `__Host-${name}` : name,
      sameSite: this.#oneOf('session.cookie.sameSite', given.sameSite, DEFAULTS.cookie.sameSite, ['lax', 'strict']),
      maxSize: this.#positive('session.cookie.maxSize', given.maxSize, DEFAULTS.cookie.maxSize, 'bytes')
    }
  }

  #positive (name: string, given: unknown, fallback: number, unit: string): number {
    if (given === undefined) return fallback
    if (typeof given === 'number' && Number.isSafeInteger(given) && given > 0) return given
    this.#problem(name, `must be a whole number of ${unit} above zero`)
    return fallback
  }

  #clockTolerance (): number {
    const given = this.#options.clockTolerance ?? DEFAULTS.clockTolerance
    if (!(Number.isSafeInteger(given) && given >= 0 && given <= 300)) this.#problem('clockTolerance', 'must be a whole number of seconds from 0 to 300')
    return given
  }

  #oneOf<T extends string | boolean> (name: string, given: T | undefined, fallback: T, allowed: readonly T[]): T {
    if (given === undefined || allowed.includes(given)) return given ?? fallback
    this.#problem(name, `must be one of ${allowed.map(value => JSON.stringify(value)).join(', ')}`)
    return fallback
  }

  #claimPath (name: 'rolesClaim' | 'permissionsClaim'): readonly string[] {
    const given = this.#options[name] ?? DEFAULTS[name]
    const path = typeof given === 'string' ? [given] : given
    if (Array.isArray(path) && path.length > 0 && path.every(part => typeof part === 'string' && part !== '')) return path
    this.#problem(name, 'must be the name of a claim, or the path to it as an array of names')
    return []
  }

  #function<Name extends 'fetch' | 'onLogin' | 'onLogout' | 'onError'> (name: Name): Auth0Options[Name] {
    const given = this.#options[name]
    if (given !== undefined && typeof given !== 'function') this.#problem(name, 'must be a function')
    return given
  }
}

function withoutSlash (text: string): string {
  return text.replace(/\/+$/, '')
}
