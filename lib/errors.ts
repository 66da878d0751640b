import createError, { type FastifyErrorConstructor } from '@fastify/error'

// A class without its arguments' tuple: every error takes optional text for `%s` and an optional `{ cause }`.
type ErrorClass = FastifyErrorConstructor

/** Boot, route definition, or a call for a token or to an API: options are missing or wrong. The message lists each by name, with the remedy. */
export const FST_AUTH0_OPTIONS_INVALID: ErrorClass =
  createError('FST_AUTH0_OPTIONS_INVALID', 'fastify-auth0 is not set up right:\n%s', 500, undefined, false)

/** Boot, with option `requirePolicy`: of some routes nobody said who may use them. */
export const FST_AUTH0_POLICY_MISSING: ErrorClass =
  createError('FST_AUTH0_POLICY_MISSING', 'Guard these routes, or say by config: { auth0: "public" } that they are for everybody:\n%s', 500, undefined, false)

/** `requireAuth` and `getAccessToken`: nobody is logged in. */
export const FST_AUTH0_LOGIN_REQUIRED: ErrorClass =
  createError('FST_AUTH0_LOGIN_REQUIRED', 'Log in to use this resource', 401, undefined, false)

/** `requireAuth`: a route for access tokens, and none came. */
export const FST_AUTH0_ACCESS_TOKEN_REQUIRED: ErrorClass =
  createError('FST_AUTH0_ACCESS_TOKEN_REQUIRED', 'Send an access token to use this resource', 401, undefined, false)

/** The access token that came does not verify. The log has the reason; whoever sent it is told none (RFC 6750 §3.1 `invalid_token`). */
export const FST_AUTH0_ACCESS_TOKEN_INVALID: ErrorClass =
  createError('FST_AUTH0_ACCESS_TOKEN_INVALID', 'The access token is not valid', 401, undefined, false)

/** The proof that came with an access token does not show that the caller has its key (RFC 9449 §7.1 `invalid_dpop_proof`). The log has the reason. */
export const FST_AUTH0_DPOP_PROOF_INVALID: ErrorClass =
  createError('FST_AUTH0_DPOP_PROOF_INVALID', 'The DPoP proof is not valid', 401, undefined, false)

/** Proofs have to repeat a nonce, which comes with this error (RFC 9449 §9 `use_dpop_nonce`). */
export const FST_AUTH0_DPOP_NONCE_REQUIRED: ErrorClass =
  createError('FST_AUTH0_DPOP_NONCE_REQUIRED', 'Repeat the nonce of this answer in the DPoP proof', 401, undefined, false)

/** A request with a malformed `Authorization` header, or with two access tokens (RFC 6750 §3.1 `invalid_request`). */
export const FST_AUTH0_CREDENTIALS_INVALID: ErrorClass =
  createError('FST_AUTH0_CREDENTIALS_INVALID', 'Send one access token, in one header "Authorization"', 400, undefined, false)

/** `requireAuth`: the caller was not granted the scope that the route needs (RFC 6750 §3.1 `insufficient_scope`). */
export const FST_AUTH0_SCOPE_MISSING: ErrorClass =
  createError('FST_AUTH0_SCOPE_MISSING', 'This resource needs the scope "%s"', 403, undefined, false)

/** `requireAuth`: logged in, but a condition on claims, roles, permissions or organization is not met, or `check` said no. */
export const FST_AUTH0_FORBIDDEN: ErrorClass =
  createError('FST_AUTH0_FORBIDDEN', 'You may not use this resource', 403, undefined, false)

/** `requireAuth`: the login is older than `maxAge`, or not of a class in `acr`. */
export const FST_AUTH0_STEP_UP_REQUIRED: ErrorClass =
  createError('FST_AUTH0_STEP_UP_REQUIRED', 'Log in again to use this resource', 401, undefined, false)

/** Callback or `requireAuth`: the provider did not authenticate the person the way it was asked to. */
export const FST_AUTH0_STEP_UP_FAILED: ErrorClass =
  createError('FST_AUTH0_STEP_UP_FAILED', 'The identity provider did not confirm the login that this page asks for', 403, undefined, false)

/** An unsafe method with a session cookie, from another site or without proof of coming from ours (CSRF). */
export const FST_AUTH0_CROSS_SITE_REQUEST: ErrorClass =
  createError('FST_AUTH0_CROSS_SITE_REQUEST', 'This request came from another site. A client that is no browser sends an X-Requested-With header', 403, undefined, false)

/** Login and logout do nothing for a prefetch, nor login for an image, so that no browser acts before the person does. */
export const FST_AUTH0_PREFETCH_REFUSED: ErrorClass =
  createError('FST_AUTH0_PREFETCH_REFUSED', 'This address is for people to open, not to prefetch or to embed', 403, undefined, false)

/** Callback: its login is unknown here: too old, begun in another browser, finished already, or forged. */
export const FST_AUTH0_LOGIN_EXPIRED: ErrorClass =
  createError('FST_AUTH0_LOGIN_EXPIRED', 'This login has expired, was finished already, or was started elsewhere', 400, undefined, false)

/** Callback: the parameters are not an answer that a provider gives. */
export const FST_AUTH0_CALLBACK_INVALID: ErrorClass =
  createError('FST_AUTH0_CALLBACK_INVALID', 'This is not a valid answer to a login', 400, undefined, false)

/** Callback: the person cancelled, or the provider denied access. */
export const FST_AUTH0_LOGIN_DENIED: ErrorClass =
  createError('FST_AUTH0_LOGIN_DENIED', 'You were not logged in: the login was cancelled or denied', 403, undefined, false)

/** Callback: the login ran in another organization than the one that was asked for. */
export const FST_AUTH0_ORGANIZATION_MISMATCH: ErrorClass =
  createError('FST_AUTH0_ORGANIZATION_MISMATCH', 'You logged in with another organization than the one asked for', 403, undefined, false)

/** For `onLogin`: throw it to refuse a login. Its one argument is shown to the person. */
export const FST_AUTH0_LOGIN_REFUSED: FastifyErrorConstructor<{ code: string, statusCode: 403 }, [message: string]> =
  createError('FST_AUTH0_LOGIN_REFUSED', '%s', 403, undefined, false)

/** The request's protocol and host are none of those listed in `appBaseUrl`. */
export const FST_AUTH0_HOST_UNKNOWN: ErrorClass =
  createError('FST_AUTH0_HOST_UNKNOWN', 'Option "appBaseUrl" does not list this host. Behind a proxy, set Fastify\'s option "trustProxy"', 400, undefined, false)

/** The identity provider answered, but not with what the specification demands. The log has the reason. */
export const FST_AUTH0_PROVIDER_FAILED: ErrorClass =
  createError('FST_AUTH0_PROVIDER_FAILED', 'The identity provider gave an answer that cannot be used', 502, undefined, false)

/** The identity provider gave no answer: down, too slow, or limiting requests. The same request may work later. */
export const FST_AUTH0_PROVIDER_UNAVAILABLE: ErrorClass =
  createError('FST_AUTH0_PROVIDER_UNAVAILABLE', 'The identity provider cannot be reached. Try again in a moment', 503, undefined, false)

/** The ID token does not verify (OpenID Connect Core 1.0 §3.1.3.7). The log has the reason. */
export const FST_AUTH0_ID_TOKEN_INVALID: ErrorClass =
  createError('FST_AUTH0_ID_TOKEN_INVALID', 'The identity provider sent an ID token that does not verify', 502, undefined, false)

/** A new access token is needed, for the one that is there is over, or for another API, or was refused; and there is no refresh token to get it with. */
export const FST_AUTH0_REFRESH_TOKEN_MISSING: ErrorClass =
  createError('FST_AUTH0_REFRESH_TOKEN_MISSING', 'Log in again: a new access token is needed, and there is no refresh token. %s', 401, undefined, false)

/** The provider takes the refresh token no more: revoked, expired, or used twice (RFC 6749 §5.2 `invalid_grant`). The session has ended. */
export const FST_AUTH0_REFRESH_TOKEN_REFUSED: ErrorClass =
  createError('FST_AUTH0_REFRESH_TOKEN_REFUSED', 'Log in again: the identity provider has ended this login', 401, undefined, false)

/** The provider gives an access token only after asking the person for something, e.g. a second factor. The log has the reason. */
export const FST_AUTH0_INTERACTION_REQUIRED: ErrorClass =
  createError('FST_AUTH0_INTERACTION_REQUIRED', 'Log in again: the identity provider has to ask you something', 401, undefined, false)

/** The provider gives this person no access token for the audience or the scope that was asked for. The log has the reason. */
export const FST_AUTH0_ACCESS_TOKEN_DENIED: ErrorClass =
  createError('FST_AUTH0_ACCESS_TOKEN_DENIED', 'The identity provider gives no access token for what was asked for', 403, undefined, false)

/** The store of the sessions, or of the revocations, gives no answer or refuses to write. The same request may work in a moment. */
export const FST_AUTH0_SESSION_UNAVAILABLE: ErrorClass =
  createError('FST_AUTH0_SESSION_UNAVAILABLE', 'Sessions cannot be reached right now. Try again in a moment', 503, undefined, false)

/** Logout: the cookie went, but where the sessions are kept there was no answer. */
export const FST_AUTH0_LOGOUT_INCOMPLETE: ErrorClass =
  createError('FST_AUTH0_LOGOUT_INCOMPLETE', 'You are logged out in this browser, but the session could not be ended on the server. Log out once more in a moment', 503, undefined, false)

/** Login: the person is logged in in as many places as option `session.maxSessions` allows. */
export const FST_AUTH0_TOO_MANY_SESSIONS: ErrorClass =
  createError('FST_AUTH0_TOO_MANY_SESSIONS', 'You are logged in in too many places. Log out in one of them first', 403, undefined, false)

/** A session in a store has a `Secure` cookie, which would be dropped without a word while the request seems to come over http. */
export const FST_AUTH0_TRUST_PROXY_MISSING: ErrorClass =
  createError('FST_AUTH0_TRUST_PROXY_MISSING', 'Option "appBaseUrl" is https, but this request came over http. Behind a proxy, set Fastify\'s option "trustProxy"', 400, undefined, false)

/** `app.auth0.sessions` or `handleBackchannelLogout` where nothing is kept on the server. */
export const FST_AUTH0_STORE_REQUIRED: ErrorClass =
  createError('FST_AUTH0_STORE_REQUIRED', 'This needs sessions that the server knows: set option %s')

/** A login, or a logout, where the plugin only takes access tokens. */
export const FST_AUTH0_CLIENT_REQUIRED: ErrorClass =
  createError('FST_AUTH0_CLIENT_REQUIRED', 'Nobody can log in here: only access tokens are taken. Give the plugin "clientId", "clientSecret", "secret" and "appBaseUrl"')

/** Back-channel logout: the logout token does not verify (OpenID Connect Back-Channel Logout 1.0 §2.6). The log has the reason. */
export const FST_AUTH0_LOGOUT_TOKEN_INVALID: ErrorClass =
  createError('FST_AUTH0_LOGOUT_TOKEN_INVALID', 'This is not a valid logout token', 400, undefined, false)

/** The session does not fit its cookies. The message names the largest claims. */
export const FST_AUTH0_SESSION_TOO_LARGE: ErrorClass =
  createError('FST_AUTH0_SESSION_TOO_LARGE', 'The session needs %s bytes of cookies and may have %s (option "session.cookie.maxSize"). Largest: %s. Leave some out in "onLogin", ask for fewer scopes, or keep sessions in Redis (option "session.redis")', 507, undefined, false)

/** `startInteractiveLogin`: `appState` and `returnTo` do not fit the cookie that keeps them. */
export const FST_AUTH0_APP_STATE_TOO_LARGE: ErrorClass =
  createError('FST_AUTH0_APP_STATE_TOO_LARGE', 'A login under way needs %s bytes of cookie and may have %s: make "appState" smaller')

/** `updateSession` with what is no plain object of JSON values, or `onLogin` with a user that JSON cannot hold. */
export const FST_AUTH0_SESSION_DATA_INVALID: ErrorClass =
  createError('FST_AUTH0_SESSION_DATA_INVALID', 'A session keeps plain objects of JSON values')

/** `updateSession`, `getAccessToken` with a token to keep, a login or a logout after the headers of the answer were written: it could no longer reach the browser. */
export const FST_AUTH0_SESSION_WRITTEN: ErrorClass =
  createError('FST_AUTH0_SESSION_WRITTEN', 'The session cannot change any more: the headers of this answer were written already')

/** `onLogin` or `onRefresh` returned something that is not the same user: an object with the same `sub` and `iss`. */
export const FST_AUTH0_USER_INVALID: ErrorClass =
  createError('FST_AUTH0_USER_INVALID', 'A hook must return a user with the same "iss" and "sub", or nothing')
