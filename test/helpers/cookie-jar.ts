import { Cookie, CookieJar } from 'tough-cookie'

/** A cookie that a real browser would not have kept. */
export interface RefusedCookie {
  name: string
  reason: string
  header: string
}

/** How a request came about, as far as cookies mind. */
export type SameSiteContext = 'strict' | 'lax' | 'none'

const LONGEST = 4096 // bytes of name and value (RFC 6265bis §5.7)

/**
 * The cookies of a browser, by the rules of Chromium: prefixes, `Secure`, sites, `Lax` by default, 4096 bytes. What breaks them
 * is not kept but noted in `refused`.
 */
export class BrowserCookies {
  readonly refused: RefusedCookie[] = []
  readonly #jar = new CookieJar(undefined, { prefixSecurity: 'strict', allowSpecialUseDomain: true, rejectPublicSuffixes: false })

  /** Keeps what a `Set-Cookie` header says. */
  keep (header: string, url: URL, context: SameSiteContext): void {
    const cookie = Cookie.parse(header)
    try {
      if (cookie === undefined) throw new Error('it is no cookie')
      if (Buffer.byteLength(cookie.key) + Buffer.byteLength(cookie.value) > LONGEST) throw new Error(`name and value are longer than ${LONGEST} bytes`)
      if (/[\x00-\x08\x0a-\x1f\x7f]/.test(header)) throw new Error('it has a control character') // eslint-disable-line no-control-regex -- they are what is looked for
      if (/SameSite=None/i.test(header) && !cookie.secure) throw new Error('SameSite=None without Secure')
      cookie.sameSite ??= 'lax'
      // tough-cookie counts Max-Age from the last use, browsers from the time it was set.
      if (typeof cookie.maxAge === 'number') cookie.expires = new Date(Date.now() + cookie.maxAge * 1000)
      cookie.maxAge = null
      this.#jar.setCookieSync(cookie, url.href, { sameSiteContext: context })
    } catch (error) {
      this.refused.push({ name: cookie?.key ?? '', reason: (error as Error).message, header })
    }
  }

  /** The `Cookie` header for a request; empty when there is none to send. */
  header (url: URL, context: SameSiteContext = 'strict'): string {
    return this.#jar.getCookieStringSync(url.href, { sameSiteContext: context })
  }

  /** Value of the cookie that a page of the same site would send, or `null`. */
  value (name: string, url: URL): string | null { return this.at(url).find(({ key }) => key === name)?.value ?? null }

  /** The cookies that a page of the same site would send. */
  at (url: URL): Cookie[] { return this.#jar.getCookiesSync(url.href, { sameSiteContext: 'strict' }) }

  /** Forgets all cookies. */
  clear (): void { this.#jar.removeAllCookiesSync() }
}
