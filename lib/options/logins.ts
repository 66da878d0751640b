import type { Auth0Options } from '../options.ts'
import type { Source } from './source.ts'

/** Nobody gives these but for logins. */
const FOR_LOGINS: ReadonlyArray<keyof Auth0Options> = [
  'clientId', 'clientSecret', 'redirectUri', 'authorizationParams', 'routes', 'session', 'userInfo', 'pushedAuthorizationRequests', 'signedAuthorizationRequests', 'dpop', 'clientAuthMethod',
  'clientPrivateKey', 'clientAssertionAudience', 'clientCertificate', 'acceptUntypedLogoutTokens', 'revokeOnBackchannelLogout', 'onLogin', 'onRefresh', 'onLogout'
]
const VARIABLES = ['AUTH0_CLIENT_ID', 'AUTH0_CLIENT_SECRET', 'AUTH0_CLIENT_PRIVATE_KEY', 'AUTH0_REDIRECT_URI']

/**
 * Whether people log in here, or only access tokens are taken. Whatever is given for logins means that there are to be some, so that a forgotten client id is told, and
 * nobody misses the login route later.
 */
export function wantsLogins ({ options, environment }: Source): boolean {
  const { api, secret = environment.AUTH0_SECRET } = options
  return api === undefined || api?.introspection === true || (secret !== undefined && api?.dpopNonce !== true) ||
    FOR_LOGINS.some(name => options[name] !== undefined) || VARIABLES.some(name => environment[name] !== undefined)
}
