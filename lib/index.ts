import fp from 'fastify-plugin'
import type { FastifyPluginAsync, RegisterOptions } from 'fastify'
import { createAddresses } from './addresses.ts'
import { createErrorAnswer } from './error-answer.ts'
import { FST_AUTH0_OPTIONS_INVALID } from './errors.ts'
import type { AnyReply, AnyRequest } from './fastify.ts'
import { createRequireAuth, type RequireAuth } from './guard/require-auth.ts'
import { createLogins, type CompletedLogin, type LoginOptions } from './login.ts'
import { createLoginTransactions, TRANSACTION_LIFETIME } from './login-transaction.ts'
import { createLogout, type LogoutOptions } from './logout.ts'
import type { Auth0Options } from './options.ts'
import { parseOptions } from './parse-options.ts'
import { createProvider } from './provider/provider.ts'
import { RequestAuth, type RequestAuth0, type SessionInfo } from './request-auth.ts'
import { logSerializers, routes } from './routes/routes.ts'
import { claimCookie } from './session/cookie-owners.ts'
import { createCookieSessions } from './session/cookie-sessions.ts'
import { createSeal } from './session/seal.ts'
import type { User } from './session/sessions.ts'

export * from './errors.ts'
export type { CompletedLogin, LoginOptions } from './login.ts'
export type { LogoutOptions } from './logout.ts'
export type { Auth0Options, AuthorizationParams, LoginEvent, Routes, SessionOptions } from './options.ts'
export type { Guard, RequireAuth } from './guard/require-auth.ts'
export type { RequireAuthOptions } from './guard/conditions.ts'
export type { RequestAuth0, SessionInfo } from './request-auth.ts'
export type { Tokens } from './provider/provider.ts'
export type { User } from './session/sessions.ts'

/** `app.auth0`: for people with routes of their own. */
export interface Auth0 {
  /**
   * Begins a login: keeps it in a cookie of the reply and gives the address to redirect to.
   *
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
   * @throws {FST_AUTH0_PROVIDER_FAILED} 502
   */
  startInteractiveLogin (request: AnyRequest, reply: AnyReply, options?: LoginOptions): Promise<URL>
  /** Finishes a login in a callback route of one's own, and begins the session. Throws what the callback route shows as a page. */
  completeInteractiveLogin (request: AnyRequest, reply: AnyReply): Promise<CompletedLogin>
  /** As `request.auth0.user`. */
  getUser (request: AnyRequest): Readonly<User> | null
  /** As `request.auth0.session`. */
  getSession (request: AnyRequest): SessionInfo | null
  /** Ends the session, and gives the address that logs out at the provider. */
  logout (request: AnyRequest, reply: AnyReply, options?: LogoutOptions): Promise<URL>
  requireAuth: RequireAuth
}

declare module 'fastify' {
  interface FastifyInstance {
    auth0: Auth0
    requireAuth: RequireAuth
  }
  interface FastifyRequest {
    auth0: RequestAuth0
  }
}

const plugin: FastifyPluginAsync<Auth0Options> = async (app, options) => {
  const config = parseOptions(options, process.env, app.prefix)
  if (app.hasDecorator(config.name) || app.hasRequestDecorator(config.name)) throw new FST_AUTH0_OPTIONS_INVALID(`- Option "name": "${config.name}" is taken on this server. Give each instance another`)

  const attributes = { secure: config.isSecure, sameSite: config.cookie.sameSite }
  const transactionAttributes = config.isFormPost ? { secure: true, sameSite: 'none' } as const : { secure: config.isSecure, sameSite: 'lax' } as const
  // Whatever else has the same secret: another instance, another client or another provider does not open our cookies.
  const realm = [config.name, config.preset.issuer.href, config.clientId]
  claimCookie(app.server, config.cookie.name, config.appBaseUrls, [realm, config.secrets])
  const sessionSeal = createSeal(config.secrets, JSON.stringify(['session 1', ...realm]), config.session.absoluteTimeout)
  const transactionSeal = createSeal(config.secrets, JSON.stringify(['login 1', ...realm]), TRANSACTION_LIFETIME)

  const provider = createProvider(config, app.log)
  const addresses = createAddresses(config)
  const sessions = createCookieSessions({ ...config.session, ...config.cookie, attributes, seal: sessionSeal })
  const transactions = createLoginTransactions(config.cookie.name, transactionSeal, transactionAttributes)

  const slot = Symbol(config.name)
  app.decorateRequest(slot, null)
  const slotOf = (request: AnyRequest) => request as unknown as Record<symbol, RequestAuth | null>
  const authOf = (request: AnyRequest) => (slotOf(request)[slot] ??= new RequestAuth(config, sessions.open(request), request, addresses.origins))
  const sessionOf = (request: AnyRequest) => authOf(request).currentSession
  app.decorateRequest(config.name, { getter () { return authOf(this) } })
  app.addHook('onSend', (request, reply, _payload, done) => {
    slotOf(request)[slot]?.currentSession.commit(reply)
    done()
  })

  const answerError = createErrorAnswer(config, addresses)
  const logins = createLogins({ config, addresses, provider, transactions, sessionOf })
  const logout = createLogout({ config, addresses, provider, sessionOf })
  const requireAuth = createRequireAuth({ ...config, addresses, logins, answerError, authOf })
  const services: Auth0 = {
    startInteractiveLogin: logins.start,
    completeInteractiveLogin: logins.complete,
    getUser: request => authOf(request).user,
    getSession: request => authOf(request).session,
    logout,
    requireAuth
  }
  app.decorate(config.name, services)
  if (config.name === 'auth0') app.decorate('requireAuth', requireAuth)

  // What Fastify knows for every plugin, it does not apply to one that adds to the surrounding instance.
  const { prefix = '', logLevel, logSerializers: own } = options as RegisterOptions
  const logging = { ...logLevel && { logLevel }, logSerializers: { ...own, ...logSerializers } }
  await app.register(routes, { prefix, ...logging, config, addresses, logins, logout, answerError })
  app.addHook('onReady', async () => provider.prepare())
  app.addHook('onClose', async () => provider.close())
}

/** Login, session, guards and logout with Auth0 or any OpenID provider. */
const auth0: FastifyPluginAsync<Auth0Options> = fp(plugin, { fastify: '5.x', name: 'fastify-auth0' })
export default auth0
