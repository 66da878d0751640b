const MAX_LENGTH = 2048 // characters; it travels in a sealed cookie

/** Where a person may be sent after a login or a logout. */
export interface ReturnToRules {
  /** The application's own base URL: what a relative `returnTo` is relative to. */
  home: URL
  /** Origins that an absolute `returnTo` may name: those of option `appBaseUrl`. */
  origins: ReadonlySet<string>
  /** Paths that would loop: callback, login and logout. */
  forbidden: ReadonlySet<string>
}

/**
 * Makes of an untrusted `returnTo` an address to redirect to: a path when it is on the home origin, else a URL on one of the
 * allowed origins. Whatever is not surely one of these becomes the home page.
 *
 * @see RFC 9700 §4.11.1 (open redirectors)
 */
export function safeReturnTo (value: unknown, rules: ReturnToRules): string {
  const home = rules.home.pathname
  if (typeof value !== 'string' || value.length > MAX_LENGTH || isSuspicious(value)) return home
  const url = URL.canParse(value, rules.home.href) ? new URL(value, rules.home) : null
  if (url === null || !rules.origins.has(url.origin) || url.username !== '' || url.password !== '') return home
  // `/.//evil.com` has the path `//evil.com`, which as a Location would name a host.
  if (url.pathname.startsWith('//') || rules.forbidden.has(url.pathname)) return home
  return url.origin === rules.home.origin ? url.pathname + url.search + url.hash : url.href
}

/** Parsers disagree about control characters and backslashes: WHATWG's drops or turns them, others do not. */
function isSuspicious (value: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f\u007f-\u009f\\]/.test(value)
}
