import type { ApiConfig, Config } from '../options.ts'
import type { Via } from '../request-auth.ts'

/** By name, as OpenAPI has them. */
export type SecuritySchemes = Readonly<Record<string, object>>

/** How a document names what a guard of an instance takes. */
export function schemeName (instance: string, via: Via): string {
  return `${instance.replaceAll('$', '_')}${via === 'session' ? 'Session' : 'Bearer'}` // a component's name has no "$"
}

/**
 * What callers of an instance prove who they are with.
 *
 * @see OpenAPI 3.1 §4.8.27
 */
export function securitySchemes ({ name, hasLogins, cookie, api }: Pick<Config, 'name' | 'hasLogins' | 'cookie' | 'api'>): SecuritySchemes {
  return {
    ...hasLogins && { [schemeName(name, 'session')]: { type: 'apiKey', in: 'cookie', name: cookie.name, description: 'The session of a browser that logged in' } },
    ...api !== null && { [schemeName(name, 'bearer')]: accessToken(api) }
  }
}

/** Bound to a key of the client's, where nothing else is taken (RFC 9449 §7.1). */
function accessToken ({ dpop }: ApiConfig): object {
  return dpop === 'required'
    ? { type: 'http', scheme: 'DPoP', description: 'An access token, with a proof of possession' }
    : { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'An access token' }
}
