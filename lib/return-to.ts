const MAX_LENGTH = 2048 // characters; it travels in a sealed cookie

/** Where a person may be sent after a login or a logout. */
export interface ReturnToRules {
  /** The application's own base URL: what a relative `returnTo` is relative to. */
  home: URL
  /** Origins that an absolute `returnTo` may name: those of option `appBaseUrl`. */
  origins: ReadonlySet<string>
  /** Pages that would loop, as {@link pageOf} names them: callback, login and logout. */
  forbidden: ReadonlySet<string>
}

/**
 * Makes of an untrusted `returnTo` an address to redirect to: a path when it is on the home origin, else a URL on one of the
 * allowed origins. Whatever is not surely one of these becomes the home page.
 *
 * @see RFC 9700 §4.11.1 (open redirectors); ASVS 5.0 §3.7.2
 */
export function safeReturnTo (value: unknown, { home, origins, forbidden }: ReturnToRules): string {
  const url = parse(value, home)
  if (url === null || !origins.has(url.origin) || forbidden.has(pageOf(url))) return home.pathname
  const address = url.origin === home.origin ? url.pathname + url.search + url.hash : url.href
  // Escapes may have made it longer.
  return address.length <= MAX_LENGTH ? address : home.pathname
}

function parse (value: unknown, home: URL): URL | null {
  if (typeof value !== 'string' || value.length > MAX_LENGTH || isSuspicious(value) || !URL.canParse(value, home.href)) return null
  const url = new URL(value, home)
  // `blob:https://app.example.com/` has our origin, too. `/.//evil.com` has the path `//evil.com`, which as a Location would name a host.
  const isPlain = url.protocol === home.protocol && url.username + url.password === '' && !url.pathname.startsWith('//')
  return isPlain ? url : null
}

/** Parsers disagree about control characters and backslashes: WHATWG's drops or turns them, others do not. */
function isSuspicious (value: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f\u007f-\u009f\\]/.test(value)
}

/** Names the page that a URL leads to. Fastify can be told to ignore upper case, slashes too many, and what follows a semicolon: so does this. */
export function pageOf ({ origin, pathname }: URL): string {
  return origin + unescaped(pathname).toLowerCase().replace(/;.*/s, '').replace(/\/+/g, '/').replace(/\/$/, '')
}

function unescaped (path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path // no router would find a route for it
  }
}
