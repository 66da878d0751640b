import { parseAuthorizationParams } from './authorization-params.ts'
import { FST_AUTH0_OPTIONS_INVALID } from './errors.ts'
import type { Auth0Options, Config } from './options.ts'
import { parseApi } from './options/api.ts'
import { parseClientAuthentication } from './options/client-authentication.ts'
import { DEFAULTS } from './options/defaults.ts'
import { wantsLogins } from './options/logins.ts'
import { refuseUnknownNames } from './options/names.ts'
import { parseProvider } from './options/provider.ts'
import { NO_ROUTES, parsePrefix, parseRoutes } from './options/routes.ts'
import { parseSecrets } from './options/secrets.ts'
import { parseCookie, parseSession } from './options/session.ts'
import { parseStorage } from './options/storage.ts'
import { createSource, type Environment, type Source } from './options/source.ts'
import { isReadByOthers, parseAppBaseUrls, parseRedirectUri } from './options/urls.ts'
import { parseClaimPath, parseFunction, parseObject, parseOneOf } from './options/values.ts'

/**
 * Makes of what people write what we use.
 *
 * @param instancePrefix of the Fastify instance; option `prefix` comes behind it
 * @throws {FST_AUTH0_OPTIONS_INVALID} that lists everything wrong, by name
 */
export function parseOptions (options: Auth0Options, environment: Environment, instancePrefix: string): Config {
  const problems: string[] = []
  const source = createSource(options, environment, (name, text) => { problems.push(`- Option "${name}" ${text}`) })
  const config = parse(source, instancePrefix)
  if (problems.length > 0) throw new FST_AUTH0_OPTIONS_INVALID(problems.join('\n'))
  return config
}

function parse (source: Source, instancePrefix: string): Config {
  refuseUnknownNames(source)
  const name = parseName(source)
  const prefix = parsePrefix(instancePrefix, source)
  const hasLogins = wantsLogins(source)
  const redirectUri = parseRedirectUri(source)
  const appBaseUrls = parseAppBaseUrls(source, redirectUri, hasLogins)
  const isSecure = appBaseUrls.every(url => url.startsWith('https:'))
  const { store, maxSessions, revocations, knowsSessions } = parseStorage(source)
  const routes = hasLogins ? parseRoutes({ appBaseUrls, redirectUri, prefix, knowsSessions }, source) : NO_ROUTES
  const prefixed = (path: string | null) => path === null ? null : prefix + path
  const authorizationParams = parseParams(source)
  const provider = parseProvider(source, hasLogins)
  const api = parseApi(source, { ...provider, hasLogins, appBaseUrls, instancePrefix })
  return {
    name,
    hasLogins,
    ...provider,
    ...parseClientAuthentication(source, hasLogins, provider.preset),
    api,
    secrets: hasLogins || api?.dpopNonce === true ? parseSecrets(source) : [],
    appBaseUrls,
    isSecure,
    redirectUri,
    routes,
    paths: {
      login: prefixed(routes.login),
      callback: prefixed(routes.callback),
      logout: prefixed(routes.logout),
      backchannelLogout: prefixed(routes.backchannelLogout)
    },
    authorizationParams,
    isFormPost: parseFormPost(authorizationParams, appBaseUrls, source),
    isJwtAnswer: authorizationParams.response_mode?.endsWith('jwt') === true,
    session: parseSession(source),
    cookie: parseCookie(source, name, isSecure),
    store,
    maxSessions,
    revocations,
    acceptUntypedLogoutTokens: parseOneOf('acceptUntypedLogoutTokens', source.options.acceptUntypedLogoutTokens, DEFAULTS.acceptUntypedLogoutTokens, [true, false], source.report),
    revokeOnBackchannelLogout: parseOneOf('revokeOnBackchannelLogout', source.options.revokeOnBackchannelLogout, DEFAULTS.revokeOnBackchannelLogout, [true, false], source.report),
    requirePolicy: parseOneOf<boolean>('requirePolicy', source.options.requirePolicy, DEFAULTS.requirePolicy, [true, false], source.report),
    rolesClaim: parseClaimPath('rolesClaim', source.options.rolesClaim ?? DEFAULTS.rolesClaim, source.report),
    permissionsClaim: parseClaimPath('permissionsClaim', source.options.permissionsClaim ?? DEFAULTS.permissionsClaim, source.report),
    onLogin: parseFunction('onLogin', source),
    onRefresh: parseFunction('onRefresh', source),
    onLogout: parseFunction('onLogout', source),
    onError: parseFunction('onError', source)
  }
}

function parseName ({ options: { name = DEFAULTS.name }, report }: Source): string {
  if (typeof name !== 'string' || !/^[a-zA-Z_$][\w$]*$/.test(name)) report('name', 'must be a word that can name a property, such as "auth0" or "staff"')
  return name
}

/** Parameters of every login. */
function parseParams ({ options, environment, report }: Source): Readonly<Record<string, string>> {
  const given = parseObject('authorizationParams', options.authorizationParams, report)
  const { scope = environment.AUTH0_SCOPE ?? DEFAULTS.scope, audience = environment.AUTH0_AUDIENCE } = given
  const { params, problems } = parseAuthorizationParams({ ...given, scope, audience })
  if (params.prompt === 'none') report('authorizationParams.prompt', 'cannot be "none" for every login: a guard would send people in circles. Give it to single logins')
  for (const [name, text] of problems) report(`authorizationParams.${name}`, text)
  return params
}

function parseFormPost (params: Readonly<Record<string, string>>, appBaseUrls: readonly string[], { report }: Source): boolean {
  if (params.response_mode?.startsWith('form_post') !== true) return false
  // The provider's POST is cross-site; only a `SameSite=None; Secure` cookie comes with it.
  if (appBaseUrls.some(url => isReadByOthers(new URL(url)))) report('authorizationParams.response_mode', `"${params.response_mode}" needs an https "appBaseUrl"`)
  return true
}
