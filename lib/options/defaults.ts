/** Every default of an option. */
export const DEFAULTS = {
  name: 'auth0',
  scope: 'openid profile email',
  routes: { login: '/login', callback: '/callback', logout: '/logout', backchannelLogout: '/backchannel-logout' },
  session: { idleTimeout: 86_400, absoluteTimeout: 259_200 },
  cookie: { sameSite: 'lax', maxSize: 12_288 },
  maxSessions: { onExceed: 'end-oldest' },
  acceptUntypedLogoutTokens: false,
  revokeOnBackchannelLogout: false,
  api: { algorithms: ['RS256'], cache: true, introspection: false, dpop: 'allowed', dpopNonce: false },
  requirePolicy: false,
  userInfo: 'missing',
  rolesClaim: 'roles',
  permissionsClaim: 'permissions',
  clientAuthMethod: 'client_secret_post',
  clientAssertionAudience: 'issuer',
  signedAuthorizationRequests: false,
  pushedAuthorizationRequests: false,
  dpop: false,
  httpTimeout: 5000,
  clockTolerance: 30
} as const
