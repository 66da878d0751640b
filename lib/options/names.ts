import leven from 'leven'
import type { ApiIssuerOptions, ApiOptions, Auth0Options, AuthorizationParams, ClientCertificateOptions, MaxSessions, NamedPrivateKey, RevocationOptions, Routes, SessionOptions } from '../options.ts'
import type { Source } from './source.ts'

/** Fastify's own, for every plugin. */
type RegisterOption = 'logLevel' | 'logSerializers'

const OPTIONS: ReadonlyArray<keyof Auth0Options | RegisterOption> = [
  'domain', 'issuer', 'clientId', 'clientSecret', 'secret', 'appBaseUrl', 'redirectUri', 'authorizationParams', 'routes', 'session', 'revocations', 'acceptUntypedLogoutTokens', 'revokeOnBackchannelLogout', 'api', 'requirePolicy',
  'userInfo', 'rolesClaim', 'permissionsClaim', 'pushedAuthorizationRequests', 'signedAuthorizationRequests', 'dpop', 'clientAuthMethod', 'clientPrivateKey', 'clientAssertionAudience', 'clientCertificate', 'onLogin', 'onRefresh', 'onLogout', 'onError',
  'name', 'fetch', 'httpTimeout', 'clockTolerance', 'prefix', 'logLevel', 'logSerializers'
]
const ROUTES: ReadonlyArray<keyof Routes> = ['login', 'callback', 'logout', 'backchannelLogout']
const SESSION: ReadonlyArray<keyof SessionOptions> = ['idleTimeout', 'absoluteTimeout', 'cookie', 'redis', 'store', 'maxSessions']
const COOKIE: ReadonlyArray<keyof NonNullable<SessionOptions['cookie']>> = ['name', 'sameSite', 'maxSize']
const MAX_SESSIONS: ReadonlyArray<keyof MaxSessions> = ['limit', 'onExceed']
const API: ReadonlyArray<keyof ApiOptions> = ['audience', 'algorithms', 'issuers', 'acceptUntypedTokens', 'resource', 'scopesSupported', 'cache', 'introspection', 'dpop', 'dpopNonce', 'isRevoked']
const API_ISSUER: ReadonlyArray<keyof ApiIssuerOptions> = ['issuer', 'domain', 'audience', 'algorithms', 'secret', 'acceptUntypedTokens', 'clockTolerance', 'rolesClaim', 'permissionsClaim']
const PRIVATE_KEY: ReadonlyArray<keyof NamedPrivateKey> = ['key', 'kid', 'alg', 'x5t#S256']
const CERTIFICATE: ReadonlyArray<keyof ClientCertificateOptions> = ['cert', 'key', 'ca']
const REVOCATIONS: ReadonlyArray<keyof RevocationOptions> = ['redis']
/** Providers know more; these are here to be suggested. */
const AUTHORIZATION_PARAMS: ReadonlyArray<keyof AuthorizationParams> = ['scope', 'audience', 'organization', 'connection', 'response_mode', 'max_age']

const KNOWN = [
  ...OPTIONS,
  ...ROUTES.map(name => `routes.${name}`),
  ...SESSION.map(name => `session.${name}`),
  ...MAX_SESSIONS.map(name => `session.maxSessions.${name}`),
  ...REVOCATIONS.map(name => `revocations.${name}`),
  ...COOKIE.map(name => `session.cookie.${name}`),
  ...AUTHORIZATION_PARAMS.map(name => `authorizationParams.${name}`),
  ...API.map(name => `api.${name}`),
  ...API_ISSUER.map(name => `api.issuers.${name}`),
  ...PRIVATE_KEY.map(name => `clientPrivateKey.${name}`),
  ...CERTIFICATE.map(name => `clientCertificate.${name}`)
]
const MAX_DISTANCE = 3 // characters to change; what is further off is no slip of the pen
const MAX_DISTANCE_ELSEWHERE = 1

/** Finds options that do not exist, which would else do nothing without a word. */
export function refuseUnknownNames ({ options, report }: Source): void {
  const { routes, session, revocations, api, clientPrivateKey, clientCertificate } = options
  refuseUnknown('', options)
  refuseUnknown('routes.', routes)
  refuseUnknown('session.', session)
  refuseUnknown('session.cookie.', session?.cookie)
  refuseUnknown('session.maxSessions.', session?.maxSessions)
  refuseUnknown('revocations.', revocations)
  refuseUnknown('api.', api)
  refuseUnknown('clientCertificate.', clientCertificate)
  if (isNamedKey(clientPrivateKey)) refuseUnknown('clientPrivateKey.', clientPrivateKey)
  for (const issuer of Array.isArray(api?.issuers) ? api.issuers : []) refuseUnknown('api.issuers.', issuer)

  /** Not a JWK, whose members are none of ours. */
  function isNamedKey (given: unknown): given is NamedPrivateKey {
    return typeof given === 'object' && given !== null && 'key' in given
  }

  function refuseUnknown (parent: string, given: object | number | undefined): void {
    if (typeof given !== 'object' || given === null) return // reported where it is read
    for (const name of Object.keys(given)) {
      if (!KNOWN.includes(parent + name)) report(parent + name, `is unknown. ${suggestion(parent, name)}`)
    }
  }
}

/** The nearest option there is, if one is near: first those beside it, then those of the other objects. */
function suggestion (parent: string, name: string): string {
  const beside = KNOWN.filter(known => parentOf(known) === parent)
  const nearest = closest(name, beside, Math.min(MAX_DISTANCE, name.length / 2)) ?? closest(name, KNOWN, MAX_DISTANCE_ELSEWHERE)
  return nearest === undefined ? `Known are ${beside.join(', ')}` : `Did you mean "${nearest}"?`
}

function closest (name: string, known: readonly string[], maxDistance: number): string | undefined {
  const distances = known.map(path => [leven(name.toLowerCase(), path.slice(parentOf(path).length).toLowerCase()), path] as const)
  return distances.filter(([distance]) => distance <= maxDistance).sort(([a], [b]) => a - b)[0]?.[1]
}

function parentOf (path: string): string {
  return path.slice(0, path.lastIndexOf('.') + 1)
}
