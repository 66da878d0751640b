import { isLoopback } from '../provider/bounded-fetch.ts'
import { fromOptionOr, type Report, type Source } from './source.ts'

/** An absolute http or https URL with nothing behind its path; else a problem and `null`. */
export function parseUrl (name: string, given: unknown, report: Report): URL | null {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : null
  if (url !== null && isPlain(url)) return url
  report(name, 'must be an absolute URL such as "https://app.example.com", without query, fragment, user, wildcard and empty path segments')
  return null
}

function isPlain ({ protocol, href, hostname, pathname, username, password }: URL): boolean {
  return /^https?:$/.test(protocol) && !/[?#]/.test(href) && username + password === '' && !hostname.includes('*') && !/\/\/(?!$)/.test(pathname)
}

/** The callback as one URL, or `null` when it is put together of `appBaseUrl`, prefix and route. */
export function parseRedirectUri ({ options, environment, report }: Source): string | null {
  const given = options.redirectUri ?? environment.AUTH0_REDIRECT_URI
  return given === undefined ? null : parseUrl('redirectUri', given, report)?.href ?? null
}

/** The application's own base URLs, without a slash behind. Empty when there is a problem, or where they need not be given. */
export function parseAppBaseUrls (source: Source, redirectUri: string | null, isNeeded: boolean): readonly string[] {
  const { options, environment, report } = source
  const given: unknown = options.appBaseUrl ?? environment.APP_BASE_URL ?? (redirectUri === null ? undefined : new URL(redirectUri).origin)
  if (given === undefined && !isNeeded) return []
  if (given === undefined || given === '' || (Array.isArray(given) && given.length === 0)) {
    report('appBaseUrl', `is missing: give the public URL of this application, such as "http://localhost:3000", ${fromOptionOr('APP_BASE_URL', source)}`)
    return []
  }
  const urls = Array.isArray(given) ? given.map((url, index) => parseUrl(`appBaseUrl[${index}]`, url, report)) : [parseUrl('appBaseUrl', given, report)]
  const valid = urls.filter(url => url !== null)
  verifyTogether(valid, source)
  return valid.map(url => withoutSlash(url.href))
}

function verifyTogether (urls: readonly URL[], { environment, report }: Source): void {
  if (new Set(urls.map(url => url.protocol)).size > 1) report('appBaseUrl', 'must list URLs of one scheme, all https or all http: the names of cookies depend on it')
  if (new Set(urls.map(url => url.origin)).size < urls.length) report('appBaseUrl', 'must list every host once: a request tells no more than its host')
  if (environment.NODE_ENV === 'production' && urls.some(isReadByOthers)) {
    report('appBaseUrl', 'must be https in production (NODE_ENV): over http, sessions can be stolen on their way')
  }
}

/** Whether what goes there can be read on its way. */
export function isReadByOthers (url: URL): boolean {
  return url.protocol === 'http:' && !isLoopback(url)
}

export function withoutSlash (text: string): string {
  return text.replace(/\/+$/, '')
}
