import type { RoutePaths, Routes } from '../options.ts'
import { DEFAULTS } from './defaults.ts'
import type { Source } from './source.ts'
import { parseObject } from './values.ts'

/** Of a server where nobody logs in. */
export const NO_ROUTES: RoutePaths = { login: null, callback: null, logout: null, backchannelLogout: null }

/** Where a login comes back to, as far as that is settled already. */
export interface Home {
  appBaseUrls: readonly string[]
  redirectUri: string | null
  prefix: string
  /** Whether sessions can be ended from elsewhere than their browser. */
  knowsSessions: boolean
}

/**
 * What stands before all our routes, joined as Fastify does it.
 *
 * @param instancePrefix of the Fastify instance that we are registered on
 */
export function parsePrefix (instancePrefix: string, { options, report }: Source): string {
  const parts = [instancePrefix, String(options.prefix ?? '')].map(withoutLastSlash).map(part => part.replace(/^(?=[^/])/, '/'))
  // A parameter or a wildcard would stand in the `redirect_uri` as it is.
  if (!parts.every(part => part === '' || isPlainPath(part))) report('prefix', 'must be a path such as "/app", without parameters')
  return parts.join('')
}

/** Paths below the prefix. */
export function parseRoutes (home: Home, { options, report }: Source): RoutePaths {
  const given: Routes = parseObject('routes', options.routes, report)
  const routes = {
    login: parseRoute('login', given.login),
    callback: given.callback === false ? null : parseRoute('callback', given.callback ?? pathOfRedirectUri(home)),
    logout: parseRoute('logout', given.logout),
    backchannelLogout: parseRoute('backchannelLogout', home.knowsSessions ? given.backchannelLogout : given.backchannelLogout ?? false)
  }
  if (!home.knowsSessions && routes.backchannelLogout !== null) {
    report('routes.backchannelLogout', 'needs sessions that can be ended: set "session.redis" (or a RedisStore as "session.store"), or "revocations" for encrypted cookies and other stores')
  }
  const used = Object.values(routes).filter(path => path !== null)
  if (new Set(used).size < used.length) report('routes', 'must be different from each other')
  if (home.redirectUri === null) {
    if (routes.callback === null) report('redirectUri', 'is missing: with routes.callback false, say where your own callback is')
  } else verifyRedirectUri(home.redirectUri, routes.callback)
  return routes

  function parseRoute (name: keyof RoutePaths, path: string | false = DEFAULTS.routes[name]): string | null {
    if (path !== false && !isRoute(path)) report(`routes.${name}`, 'must be a path such as "/login", or false')
    return path === false ? null : path
  }

  /** A login must come back to the host that has its cookies, and to a route that is there. */
  function verifyRedirectUri (redirectUri: string, callback: string | null): void {
    const { appBaseUrls, prefix } = home
    if (appBaseUrls.length > 1) report('redirectUri', 'and a list of "appBaseUrl" exclude each other: a login comes back to the host it began at')
    if (appBaseUrls.length !== 1) return // said already
    const [base] = appBaseUrls as [string]
    if (callback === null) {
      if (new URL(base).origin !== new URL(redirectUri).origin) report('redirectUri', 'must be on the host of "appBaseUrl": the cookies of a login are there')
    } else if (pathOfRedirectUri(home) === undefined) {
      report('redirectUri', `must begin with "appBaseUrl"${prefix === '' ? '' : ` and the prefix "${prefix}"`}`)
    } else if (redirectUri !== base + prefix + callback) {
      report('redirectUri', 'and "routes.callback" must be the same place: give one of them')
    }
  }
}

/** The path, below the prefix, that a browser calls when it goes to the redirect URI; `undefined` when it does not come to us. */
function pathOfRedirectUri ({ appBaseUrls, redirectUri, prefix }: Home): string | undefined {
  const base = appBaseUrls.map(url => url + prefix).find(url => redirectUri?.startsWith(`${url}/`))
  return base === undefined ? undefined : redirectUri?.slice(base.length)
}

/** Whether a path means the same to Fastify, to a URL and to a browser: no parameters, wildcards, dots, escapes. */
function isPlainPath (path: string): boolean {
  return /^(\/[\w.~-]+)+$/.test(path) && new URL(path, 'http://localhost').pathname === path
}

function isRoute (path: unknown): boolean {
  return path === '/' || (typeof path === 'string' && isPlainPath(withoutLastSlash(path)))
}

function withoutLastSlash (path: string): string {
  return path.replace(/\/$/, '')
}
