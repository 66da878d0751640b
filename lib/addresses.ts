import { FST_AUTH0_HOST_UNKNOWN } from './errors.ts'
import type { AnyRequest } from './fastify.ts'
import type { Config } from './options.ts'
import { pageOf, safeReturnTo } from './return-to.ts'

/** Our own addresses, as browsers see them. They come from configuration; a Host header only chooses from the allow-list. */
export interface Addresses {
  /** Origins that are ours: unsafe requests may come from them, and people may be sent to them. */
  readonly origins: ReadonlySet<string>
  /**
   * The base URL for this request, without a slash behind.
   *
   * @throws {FST_AUTH0_HOST_UNKNOWN} 400 when it comes to a host that is not on the list
   */
  base (request: AnyRequest): string
  /** What a browser calls the address of this request: with the path that a proxy took away. */
  publicPath (request: AnyRequest, path: string): string
  /** The `redirect_uri` of a login that this request begins. */
  redirectUri (request: AnyRequest): string
  /** Where to send the person; an unsafe wish becomes the home page. */
  returnTo (request: AnyRequest, wish: unknown): string
  /** The login route with a query, or `null` when there is none. */
  login (request: AnyRequest, query: Record<string, string>): string | null
}

export function createAddresses (config: Config): Addresses {
  const [only, ...others] = config.appBaseUrls as [string, ...string[]]
  const byOrigin = new Map(config.appBaseUrls.map(url => [new URL(url).origin, url]))
  const origins = new Set(byOrigin.keys())
  const forbidden = loopingPages(config)

  function find (request: AnyRequest): string | undefined {
    return others.length === 0 ? only : byOrigin.get(originOf(request))
  }

  function base (request: AnyRequest): string {
    const known = find(request)
    if (known === undefined) throw new FST_AUTH0_HOST_UNKNOWN({ cause: new Error(`request for ${originOf(request)}`) })
    return known
  }

  function publicPath (request: AnyRequest, path: string): string {
    return new URL(find(request) ?? only).pathname.replace(/\/$/, '') + path
  }

  return {
    origins,
    base,
    publicPath,

    redirectUri: request => config.redirectUri ?? base(request) + config.paths.callback,

    returnTo: (request, wish) => safeReturnTo(wish, { home: new URL(`${base(request)}/`), origins, forbidden }),

    login (request, query) {
      if (config.paths.login === null) return null
      const search = new URLSearchParams(query).toString()
      return publicPath(request, config.paths.login) + (search === '' ? '' : `?${search}`)
    }
  }
}

/** Pages that nobody is sent to after a login or a logout, on each of our hosts. */
function loopingPages ({ appBaseUrls, paths, redirectUri }: Config): ReadonlySet<string> {
  const ours = appBaseUrls.flatMap(url => Object.values(paths).filter(path => path !== null).map(path => url + path))
  return new Set([...ours, ...redirectUri === null ? [] : [redirectUri]].map(url => pageOf(new URL(url))))
}

/** As a browser names it: a proxy may have kept upper case, or a port that goes without saying. */
function originOf (request: AnyRequest): string {
  const origin = `${request.protocol}://${request.host}`
  return URL.canParse(origin) ? new URL(origin).origin : origin
}
