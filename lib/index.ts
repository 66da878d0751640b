import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, RegisterOptions } from 'fastify'
import { createActiveSessions } from './active-sessions.ts'
import { createAddresses } from './addresses.ts'
import { createApi } from './api/api.ts'
import { schemeOf } from './api/credentials.ts'
import type { Auth0 } from './auth0.ts'
import { createBackchannelLogout } from './backchannel-logout.ts'
import { createClaimPaths } from './claim-paths.ts'
import { decorateRequest } from './decorate-request.ts'
import { createErrorAnswer } from './error-answer.ts'
import { FST_AUTH0_OPTIONS_INVALID } from './errors.ts'
import type { AnyRequest } from './fastify.ts'
import { createRequireAuth, type RequireAuth } from './guard/require-auth.ts'
import { createLogins, refuseLogin } from './login.ts'
import { createLogout } from './logout.ts'
import type { Auth0Options } from './options.ts'
import { parseOptions } from './parse-options.ts'
import { createPolicies } from './policy/policies.ts'
import type { StatedPolicy } from './policy/route-policy.ts'
import { createDpopProofs } from './provider/dpop.ts'
import { createProvider } from './provider/provider.ts'
import { RequestAuth, type RequestAuth0 } from './request-auth.ts'
import { resourceMetadataRoute } from './routes/resource-metadata.ts'
import { logSerializers, routes } from './routes/routes.ts'
import { createStorage } from './storage.ts'
import { createAccessTokens } from './tokens/access-tokens.ts'
import { createApiFetch } from './tokens/api-fetch.ts'
import { createRefresh } from './tokens/refresh.ts'

export * from './errors.ts'
export type { ActiveSession, ActiveSessions } from './active-sessions.ts'
export type { Auth0 } from './auth0.ts'
export type { BackchannelLogoutMessage, EventMessages, LoginMessage, LogoutMessage, RefreshMessage, RefusalMessage } from './events.ts'
export type { CompletedLogin, LoginOptions } from './login.ts'
export type { LogoutOptions } from './logout.ts'
export type { ApiIssuerOptions, ApiOptions, Auth0Options, AuthorizationParams, ClientCertificateOptions, LoginEvent, MaxSessions, NamedPrivateKey, PrivateKey, RefreshEvent, RevocationOptions, Routes, SessionOptions } from './options.ts'
export type { Guard, RequireAuth } from './guard/require-auth.ts'
export type { RequireAuthOptions } from './guard/conditions.ts'
export type { GuardPolicy } from './guard/guard-policy.ts'
export type { ListedRoute, RoutePolicy, StatedPolicy } from './policy/route-policy.ts'
export type { RequestAuth0, SessionInfo, Via } from './request-auth.ts'
export type { Tokens } from './provider/provider.ts'
export type { KnownSession, User } from './session/sessions.ts'
export type { AccessTokenOptions, TokenSet } from './tokens/access-tokens.ts'
export type { ApiRequest } from './tokens/api-fetch.ts'
export { MemoryStore, type MemoryStoreOptions } from './store/memory-store.ts'
export type { RedisClient } from './store/redis-link.ts'
export { RedisStore, type RedisStoreOptions } from './store/redis-store.ts'
export type { SessionStoreLike, SessionStoreOptions } from './store/session-store.ts'

declare module 'fastify' {
  interface FastifyInstance {
    auth0: Auth0
    requireAuth: RequireAuth
  }
  interface FastifyRequest {
    auth0: RequestAuth0
  }
  interface FastifyContextConfig {
    /** Who may use a route without a guard: see `app.auth0.routes`, and option `requirePolicy`. */
    auth0?: StatedPolicy
  }
}

const plugin: FastifyPluginAsync<Auth0Options> = async (app, options) => {
  const config = parseOptions(options, process.env, app.prefix)
  refuseTakenName(app, config.name)

  const policies = createPolicies(app, config)
  const addresses = createAddresses(config)
  const proofs = createDpopProofs()
  const provider = createProvider(config, proofs, app.log)
  const { sessions, transactions, shared } = await createStorage(app, config)
  const giveToken = createAccessTokens(createRefresh(config, provider))
  const api = config.api && createApi(config.api, config, provider, shared, app.log)
  const mustPrepare = sessions.mustFetch ? () => true : api && ((request: AnyRequest) => schemeOf(request) !== null)
  const callers = { ...config, claimPathsOf: createClaimPaths(config), origins: addresses.origins, giveToken, bearerTokens: api?.bearerTokens ?? null, mustPrepare: mustPrepare ?? (() => false) }
  const authOf = decorateRequest(app, config.name, mustPrepare, request => new RequestAuth(callers, sessions.open(request), request))
  const sessionOf = (request: AnyRequest) => authOf(request).currentSession

  const answerError = createErrorAnswer(config, addresses)
  const logins = transactions && createLogins({ config, addresses, provider, transactions, sessionOf })
  const logout = logins && createLogout({ config, addresses, provider, sessionOf })
  const fetchFromApi = createApiFetch(config.fetch, proofs)
  const handleBackchannelLogout = createBackchannelLogout({ config, provider, sessions, log: app.log })
  const requireAuth = createRequireAuth({ ...config, addresses, startLogin: logins?.start ?? refuseLogin, answerError, authOf })
  const services: Auth0 = {
    startInteractiveLogin: logins?.start ?? refuseLogin,
    completeInteractiveLogin: logins?.complete ?? refuseLogin,
    getUser: request => authOf(request).user,
    getSession: request => authOf(request).session,
    getAccessToken: (request, options) => authOf(request).getAccessToken(options),
    getTokenSet: (request, options) => authOf(request).getTokenSet(options),
    fetch: (request, url, init) => fetchFromApi(authOf(request), url, init),
    logout: logout ?? refuseLogin,
    requireAuth,
    routes: policies.list,
    handleBackchannelLogout,
    sessions: createActiveSessions(sessions, authOf)
  }
  app.decorate(config.name, services)
  if (config.name === 'auth0') app.decorate('requireAuth', requireAuth)

  // What Fastify knows for every plugin, it does not apply to one that adds to the surrounding instance.
  const { prefix = '', logLevel, logSerializers: own } = options as RegisterOptions
  const logging = { ...logLevel && { logLevel }, logSerializers: { ...own, ...logSerializers } }
  if (logins !== null && logout !== null) await app.register(routes, { prefix, ...logging, config, addresses, logins, logout, handleBackchannelLogout, answerError, markOwn: policies.markOwn })
  if (api !== null) await app.register(resourceMetadataRoute, { ...logging, api, markOwn: policies.markOwn })
  if (config.requirePolicy) app.addHook('onReady', async () => policies.requireAll())
  if (config.hasLogins) app.addHook('onReady', async () => provider.prepare())
  else app.log.info('nobody logs in here, for no "clientId" was given: access tokens only')
  app.addHook('onClose', async () => provider.close())
}

function refuseTakenName (app: FastifyInstance, name: string): void {
  if (!app.hasDecorator(name) && !app.hasRequestDecorator(name)) return
  throw new FST_AUTH0_OPTIONS_INVALID(`- Option "name": "${name}" is taken on this server. Give each instance another`)
}

/** Login, session, guards and logout with Auth0 or any OpenID provider. */
const auth0: FastifyPluginAsync<Auth0Options> = fp(plugin, { fastify: '5.x', name: 'fastify-auth0' })
export default auth0
