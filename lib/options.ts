import type { JsonWebKey, KeyObject } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AnyRequest } from './fastify.ts'
import type { ClientCertificate } from './provider/certified-fetch.ts'
import type { AssertionAudience, ClientAuthMethod } from './provider/client-authentication.ts'
import type { ClientKey } from './provider/client-key.ts'
import type { ProviderPreset } from './provider/presets.ts'
import type { LoginTokenAnswer, Tokens } from './provider/provider.ts'
import type { UserInfoPolicy } from './provider/user-info.ts'
import type { User } from './session/sessions.ts'
import type { RedisClient } from './store/redis-link.ts'
import type { SessionStoreLike } from './store/session-store.ts'

/** Parameters of the authorization request (OpenID Connect Core 1.0 §3.1.2.1). All others are passed on as they are. */
export interface AuthorizationParams {
  /** Default: `openid profile email`. Env: `AUTH0_SCOPE`. */
  scope?: string | undefined
  /** Auth0: the API that the access token is for. Env: `AUTH0_AUDIENCE`. */
  audience?: string | undefined
  /** Auth0: id (`org_…`) or name of an organization; what comes back is verified. */
  organization?: string | undefined
  /** Auth0: the connection to log in with. */
  connection?: string | undefined
  /**
   * How the provider sends the browser back. `form_post` keeps the code out of the URL and needs https. With `jwt`, `query.jwt` or `form_post.jwt` its answer is signed (JARM),
   * and no other is taken. Default: `query`.
   */
  response_mode?: 'query' | 'form_post' | 'jwt' | 'query.jwt' | 'form_post.jwt'
  /** Seconds since the person last authenticated, at most; what comes back is verified. */
  max_age?: number
  [parameter: string]: string | number | undefined
}

/** A login that is about to become a session. */
export interface LoginEvent {
  /** A copy: change it, or return another. */
  user: User
  /** What `startInteractiveLogin` was given. */
  appState: unknown
  /** As the provider gave them: secrets, which the session keeps sealed. */
  tokens: LoginTokenAnswer
}

/** What `onRefresh` sees. */
export interface RefreshEvent {
  /** A copy, with the claims of a new ID token where one came: change it, or return another. */
  user: User
  /** The API that the access token is for; `null` when none was named. */
  audience: string | null
  /** As the provider gave them, frozen: secrets, which the session keeps sealed. */
  tokens: Readonly<Tokens>
}

/** Paths of our routes, below Fastify's prefix. `false` leaves one out. */
export interface Routes {
  /** Default: `/login`. */
  login?: string | false
  /** Default: `/callback`. */
  callback?: string | false
  /** Default: `/logout`. */
  logout?: string | false
  /** Where the provider posts logout tokens. Default: `/backchannel-logout`; left out where it could end nothing: see `revocations`. */
  backchannelLogout?: string | false
}

/** How many sessions one person may have. */
export interface MaxSessions {
  limit: number
  /** What a login beyond that does. Default: `end-oldest`. */
  onExceed?: 'end-oldest' | 'refuse-login'
}

/** How long sessions last, and their cookie. */
export interface SessionOptions {
  /** Seconds since the last use, 400 days at most. Default: 86 400 (one day). See ASVS 5.0 §7.3.1. */
  idleTimeout?: number
  /** Seconds since the login, however much it is used; 400 days at most. Default: 259 200 (three days). See ASVS 5.0 §7.3.2. */
  absoluteTimeout?: number
  cookie?: {
    /** Default: option `name`. On https `__Host-` is put in front. */
    name?: string
    /** Default: `lax`. With `strict` a link from another site arrives anonymous. */
    sameSite?: 'lax' | 'strict'
    /** Bytes of all cookies of one session together. Default: 12 288. Node accepts 16 KiB of headers. */
    maxSize?: number
  }
  /** Keeps sessions in Redis, only an id in the cookie: a URL (`redis://`, `rediss://`), options of ioredis, or a client such as `app.redis`. */
  redis?: string | object | undefined
  /** Keeps sessions in a store of @fastify/session: `RedisStore`, `MemoryStore`, or any other, which promises less. */
  store?: SessionStoreLike | undefined
  /** Sessions of one person. Needs `redis`, a `RedisStore` or a `MemoryStore`. A number ends the oldest. Default: as many as they like. */
  maxSessions?: number | MaxSessions
}

/** Remembers which sessions in encrypted cookies, or in a store of others, were ended from elsewhere. */
export interface RevocationOptions {
  /** As `session.redis`. Not given: in the memory of this process, for one process only. */
  redis?: string | object | undefined
}

/** A private key: PEM text, a JWK, or what `node:crypto` makes. A JWK may have `kid`, `alg` and `x5t#S256`. */
export type PrivateKey = string | JsonWebKey | KeyObject

/** A private key, and what the provider knows it by. */
export interface NamedPrivateKey {
  key: PrivateKey
  kid?: string
  /** What it signs. Default: `RS256`; `ES256`, `ES384` or `ES512`, by the curve; `EdDSA`. */
  alg?: string
  /** The SHA-256 thumbprint of its certificate in base64url, by which Entra ID finds it. */
  'x5t#S256'?: string
}

/** A certificate for mutual TLS, as PEM. */
export interface ClientCertificateOptions {
  /** It, and behind it those between it and its root. */
  cert: string | Uint8Array
  key: PrivateKey | Uint8Array
  /** Whom to trust in place of Node's own roots, if the provider's certificate is of none of them. */
  ca?: string | Uint8Array | ReadonlyArray<string | Uint8Array>
}

/** One more issuer whose access tokens are accepted. */
export interface ApiIssuerOptions {
  /** The `iss` of its tokens. `http:` only on loopback; with `secret` any text will do. */
  issuer?: string
  /** Instead of `issuer`: an Auth0 tenant or custom domain, a bare host. */
  domain?: string
  /** Default: that of `api`. */
  audience?: string | readonly string[]
  /** What its tokens are signed with. Default: `['RS256']`; with `secret`, `HS256` and no other. */
  algorithms?: readonly string[]
  /** Shared with an internal service that signs its tokens with it: 32 bytes or more, as text or bytes (RFC 7518 §3.2). */
  secret?: string | Uint8Array
  /** Default: that of `api`. */
  acceptUntypedTokens?: boolean
  /** Seconds that its clock may be off. Default: option `clockTolerance` of the plugin. */
  clockTolerance?: number
  /** The claim of its tokens with roles: its name, or the path to it. Default: option `rolesClaim` of the plugin. */
  rolesClaim?: string | readonly string[]
  /** The claim of its tokens with permissions: its name, or the path to it. Default: option `permissionsClaim` of the plugin. */
  permissionsClaim?: string | readonly string[]
}

/** Accepts access tokens of `Authorization: Bearer` (RFC 6750, RFC 9068). */
export interface ApiOptions {
  /** What tokens have to be for: one of these must be in `aud`. With it tokens of the configured provider are accepted. Env: `AUTH0_AUDIENCE`, where there are no `issuers`. */
  audience?: string | readonly string[]
  /** What its tokens are signed with. Default: `['RS256']`. */
  algorithms?: readonly string[]
  /** Others whose tokens are accepted, too; without `audience`, instead of the configured provider's. */
  issuers?: readonly ApiIssuerOptions[]
  /** Accepts access tokens whose `typ` is `JWT` or absent, as many providers make them; those of Auth0 are accepted anyway. Default: `false`. See RFC 9068 §4. */
  acceptUntypedTokens?: boolean
  /**
   * Asks the configured provider about tokens that are no JWTs, with our own client id and secret (RFC 7662). An answer counts for 30 seconds. Needs `audience`. Default:
   * `false`.
   */
  introspection?: boolean
  /**
   * Tokens that are bound to a key (RFC 9449): `'allowed'`: they need a proof of having it, and others are accepted, too; `'required'`: no others; `'off'`: they are
   * refused. Default: `'allowed'`.
   */
  dpop?: 'allowed' | 'required' | 'off'
  /** Whether proofs have to repeat a nonce of ours, so that none can be made for later (RFC 9449 §9). Default: `false`. */
  dpopNonce?: boolean
  /**
   * URL of the API, as its clients call it. With it `/.well-known/oauth-protected-resource` tells them who issues tokens for it, and refusals lead there, which is what MCP
   * clients look for (RFC 9728).
   */
  resource?: string
  /** For that document: the scopes that there are. */
  scopesSupported?: readonly string[]
  /** Whether a token that was verified a moment ago is taken for verified until it expires. Default: `true`. */
  cache?: boolean
  /** Asked at each request whose token is verified. Nothing but `false` lets it pass. */
  isRevoked?: (claims: Readonly<User>, request: AnyRequest) => boolean | Promise<boolean>
}

/**
 * Options of `app.register(auth0, options)`. What is not given, or `undefined`, comes from the environment, where a variable is named;
 * an empty variable counts as none.
 */
export interface Auth0Options {
  /** Auth0 tenant or custom domain, a bare host: `tenant.eu.auth0.com`. On loopback, with a port, it means http. Env: `AUTH0_DOMAIN`. */
  domain?: string | undefined
  /** Instead of `domain`: the issuer URL of any OpenID provider. `http:` only on loopback. Env: `AUTH0_ISSUER`. */
  issuer?: string | undefined
  /** Env: `AUTH0_CLIENT_ID`. */
  clientId?: string | undefined
  /** Needed with the methods that are named after it. Env: `AUTH0_CLIENT_SECRET`. */
  clientSecret?: string | undefined
  /** Encrypts cookies: 32 random characters or more. An array rotates: the first seals, all open. Env: `AUTH0_SECRET`. */
  secret?: string | readonly string[] | undefined
  /**
   * Public URL of this application, e.g. `https://app.example.com`; a path is what a proxy takes away. Never derived from the Host header:
   * an array is an allow-list, matched with `request.protocol` and `request.host`. Env: `APP_BASE_URL`.
   */
  appBaseUrl?: string | readonly string[] | undefined
  /** The callback as one URL; gives `appBaseUrl` and `routes.callback` when those are absent. Env: `AUTH0_REDIRECT_URI`. */
  redirectUri?: string | undefined
  authorizationParams?: AuthorizationParams
  routes?: Routes
  session?: SessionOptions
  /** Lets back-channel logout, and a logout in another process, end sessions that are in encrypted cookies. Default: no. */
  revocations?: RevocationOptions
  /**
   * Accepts logout tokens whose `typ` is `JWT` or absent; Auth0's are accepted anyway. Default: `false`.
   * See OpenID Connect Back-Channel Logout 1.0 §4.1.
   */
  acceptUntypedLogoutTokens?: boolean
  /**
   * Revokes the refresh tokens of sessions in Redis or a `MemoryStore` that the provider ends. Those of `offline_access` normally outlive its session, see
   * OpenID Connect Back-Channel Logout 1.0 §2.7. Default: `false`.
   */
  revokeOnBackchannelLogout?: boolean
  /** Accepts access tokens, for routes that apps and services call. Default: none are accepted. */
  api?: ApiOptions
  /**
   * Refuses to start a server with routes of which nobody said who may use them: by a guard, or by `config: { auth0: 'public' }`. Default: `false`.
   * See ASVS 5.0 §8.2.1.
   */
  requirePolicy?: boolean
  /** Default: `missing`. */
  userInfo?: UserInfoPolicy
  /** The claim with roles: its name, or the path to it. Default: `roles`. */
  rolesClaim?: string | readonly string[]
  /** The claim with permissions: its name, or the path to it. Default: `permissions`. */
  permissionsClaim?: string | readonly string[]
  /** Push the authorization request (RFC 9126). Used by itself when the provider demands it. Default: `false`. */
  pushedAuthorizationRequests?: boolean
  /**
   * Binds the tokens of each login to a key of its own, which the session keeps sealed: who steals a token has nothing. The provider must do it too; tokens that it binds to
   * no key are refused. They are of use through `app.auth0.fetch` (RFC 9449). Default: `false`.
   */
  dpop?: boolean
  /** How the client proves itself (OpenID Connect Core 1.0 §9; RFC 8705 §2). Default: `client_secret_post`. */
  clientAuthMethod?: ClientAuthMethod
  /** What `private_key_jwt` and `signedAuthorizationRequests` sign with; RSA with 2048 bits or more, EC or Ed25519. Env: `AUTH0_CLIENT_PRIVATE_KEY`, as PEM or JSON. */
  clientPrivateKey?: PrivateKey | NamedPrivateKey | undefined
  /** Whom `private_key_jwt` and `client_secret_jwt` address: the provider by its name, or by its token endpoint, as Entra ID and Okta want it. Default: `issuer`. */
  clientAssertionAudience?: AssertionAudience
  /** What `tls_client_auth` and `self_signed_tls_client_auth` show; or a `fetch` of your own shows it. */
  clientCertificate?: ClientCertificateOptions | undefined
  /** Signs the authorization request (RFC 9101). Used by itself when the provider demands it and there is a `clientPrivateKey`. Default: `false`. */
  signedAuthorizationRequests?: boolean
  /** Enriches a login by changing `user` or returning another; refuses it by throwing `FST_AUTH0_LOGIN_REFUSED` or another error with a 4xx status. */
  onLogin?: (login: LoginEvent, request: AnyRequest) => User | undefined | void | Promise<User | undefined | void>
  /** Sees what a refresh brought, once that is kept, and may enrich the user as `onLogin` does, within ten seconds. What it throws is logged; the refresh goes on. */
  onRefresh?: (refresh: RefreshEvent, request: AnyRequest) => User | undefined | void | Promise<User | undefined | void>
  /** Sees the end of a session. What it throws is logged; the logout goes on. */
  onLogout?: (logout: { user: Readonly<User> }, request: AnyRequest) => void | Promise<void>
  /** Dresses an error: replies itself, or does nothing for our own page. What it throws goes to the application's error handler. */
  onError?: (error: Error & { code?: string, statusCode?: number }, request: FastifyRequest, reply: FastifyReply) => unknown
  /** Name of the decorators and of the cookies. Default: `auth0`. Only that one sets `app.requireAuth` and reads `AUTH0_*` of provider and client. */
  name?: string
  /** For the provider's endpoints, and for `app.auth0.fetch`: a proxy, or tests. Default: the global one. */
  fetch?: typeof globalThis.fetch
  /** Milliseconds for a whole call to the provider. Default: 5000. */
  httpTimeout?: number
  /** Seconds that the provider's clock may be off. Default: 30. */
  clockTolerance?: number
  /** Fastify's own: put before all routes, and part of the `redirect_uri`. */
  prefix?: string
}

/** A path for each route; `null` where it is left out. */
export interface RoutePaths {
  readonly login: string | null
  readonly callback: string | null
  readonly logout: string | null
  readonly backchannelLogout: string | null
}

/** Where Redis is: a client of the application's, or what to make one of. */
export type RedisSource = { readonly client: RedisClient } | { readonly connection: string | object }

/** One whose access tokens are accepted. */
export interface ApiIssuerConfig {
  readonly issuer: string
  /** Whether it is the provider that people log in with. */
  readonly isOwn: boolean
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  readonly secret: Uint8Array | null
  readonly mustBeTyped: boolean
  /** Seconds. */
  readonly clockTolerance: number
  /** `null`: as everywhere else. */
  readonly rolesClaim: readonly string[] | null
  /** `null`: as everywhere else. */
  readonly permissionsClaim: readonly string[] | null
}

/** Which access tokens are accepted. */
export interface ApiConfig {
  readonly issuers: readonly ApiIssuerConfig[]
  readonly resource: string | null
  readonly scopesSupported: readonly string[]
  readonly isCached: boolean
  /** `null`: tokens have to be JWTs. */
  readonly introspection: { readonly audiences: readonly string[] } | null
  readonly dpop: NonNullable<ApiOptions['dpop']>
  readonly dpopNonce: boolean
  readonly isRevoked: ApiOptions['isRevoked']
}

/** The options as we use them: complete, checked, read-only. */
export interface Config extends Readonly<Pick<Required<Auth0Options>,
  'name' | 'acceptUntypedLogoutTokens' | 'revokeOnBackchannelLogout' | 'clientAuthMethod' | 'clientAssertionAudience' | 'signedAuthorizationRequests' | 'pushedAuthorizationRequests' | 'dpop' | 'requirePolicy' | 'userInfo' | 'fetch' | 'httpTimeout' | 'clockTolerance'>> {
  /** Whether people log in here; else only access tokens are taken, and there is no client, no secret and no route. */
  readonly hasLogins: boolean
  readonly preset: ProviderPreset
  readonly clientId: string
  /** `null` with the methods that need none, and without logins. */
  readonly clientSecret: string | null
  readonly clientKey: ClientKey | null
  /** `null` where there is none, or `fetch` shows it. */
  readonly clientCertificate: ClientCertificate | null
  readonly secrets: readonly string[]
  /** Without a slash behind. One, or an allow-list. */
  readonly appBaseUrls: readonly string[]
  readonly isSecure: boolean
  readonly redirectUri: string | null
  readonly authorizationParams: Readonly<Record<string, string>>
  readonly isFormPost: boolean
  /** Whether the provider's answers to logins are signed JWTs. */
  readonly isJwtAnswer: boolean
  /** Below the prefix. */
  readonly routes: RoutePaths
  /** As Fastify sees them: with the prefix. */
  readonly paths: RoutePaths
  readonly session: { readonly idleTimeout: number, readonly absoluteTimeout: number }
  /** Where sessions are kept, if not in cookies. */
  readonly store: { readonly redis: RedisSource } | { readonly given: SessionStoreLike } | null
  readonly maxSessions: Required<MaxSessions> | null
  readonly revocations: { readonly redis: RedisSource | null } | null
  /** `null`: access tokens are not accepted. */
  readonly api: ApiConfig | null
  readonly cookie: { readonly name: string, readonly sameSite: 'lax' | 'strict', readonly maxSize: number }
  readonly rolesClaim: readonly string[]
  readonly permissionsClaim: readonly string[]
  readonly onLogin: Auth0Options['onLogin']
  readonly onRefresh: Auth0Options['onRefresh']
  readonly onLogout: Auth0Options['onLogout']
  readonly onError: Auth0Options['onError']
}
