import { setMaxListeners } from 'node:events'
import type { FastifyBaseLogger } from 'fastify'
import { FST_AUTH0_CALLBACK_INVALID } from '../errors.ts'
import type { DpopKey, User } from '../session/sessions.ts'
import { requestAuthorization, type LoginProof } from './authorization-request.ts'
import { createBoundedFetch } from './bounded-fetch.ts'
import { createCertifiedFetch, type ClientCertificate } from './certified-fetch.ts'
import { discoverProvider, type ClientOptions, type KnownProvider } from './client.ts'
import { redeemCode, type LoginTokenAnswer, type StartedLogin } from './code-grant.ts'
import { createDiscovery } from './discovery.ts'
import { createDpopKey, type DpopProofs } from './dpop.ts'
import { ProviderFailure, providerError } from './failures.ts'
import { introspectToken, type Introspected } from './introspection.ts'
import type { LogoutParameters, ProviderPreset } from './presets.ts'
import { redeemRefreshToken, type RefreshedLogin, type UnusableRefresh } from './refresh-grant.ts'
import { revokeToken } from './revocation.ts'
import { createSigner, failForKeys, toSigner, type Signer } from './signer.ts'
import type { Tokens } from './token-answer.ts'
import { createUserInfo, type UserInfoPolicy } from './user-info.ts'

export type { LoginProof } from './authorization-request.ts'
export type { LoginTokenAnswer, StartedLogin } from './code-grant.ts'
export type { RefreshedLogin, UnusableRefresh } from './refresh-grant.ts'
export type { Signer } from './signer.ts'
export type { Tokens } from './token-answer.ts'

/** What the provider's side of a login needs to know. */
export interface ProviderOptions extends Omit<ClientOptions, 'issuer' | 'fetch' | 'send'> {
  preset: ProviderPreset
  pushedAuthorizationRequests: boolean
  signedAuthorizationRequests: boolean
  clientCertificate: ClientCertificate | null
  /** Whether the tokens of new logins are to be bound to keys. */
  dpop: boolean
  userInfo: UserInfoPolicy
  fetch: typeof globalThis.fetch
  /** Milliseconds. */
  httpTimeout: number
}

/** What a login brought. */
export interface FinishedLogin {
  user: User
  tokens: LoginTokenAnswer
  /** What the tokens are bound to, if they are. */
  dpopKey: DpopKey | undefined
  /** The ID token's `iat`, in seconds since the epoch. */
  issuedAt: number
}

/** What a new ID token says. */
export interface Identity {
  user: User
  idToken: string
  /** Seconds since the epoch. */
  issuedAt: number
}

/** What a refresh asks for that the login did not. */
export interface TargetDifference {
  audience?: string
  scope?: string
  organization?: string
}

/** The identity provider, as a client of it sees it. */
export interface Provider {
  /** Fetches the metadata in the background, so that the first login need not wait. Never fails. */
  prepare (): void
  /** The address to send the browser to (OpenID Connect Core 1.0 §3.1.2.1; RFC 9126 where pushed). */
  startLogin (parameters: Record<string, string>): Promise<{ url: URL, proof: LoginProof }>
  /** Checks `iss` of an answer, also of an error (RFC 9207 §2.4). */
  verifyAnswer (answer: URLSearchParams): Promise<void>
  /** Redeems the code of an answer and verifies what comes back (OpenID Connect Core 1.0 §3.1.3). */
  finishLogin (answer: URLSearchParams, login: StartedLogin): Promise<FinishedLogin>
  /**
   * Redeems a refresh token (RFC 6749 §6). `identity` is there when an ID token came with it; with `failure` there is no more than the next refresh token.
   *
   * @param difference of what is wanted to what the login asked for
   * @throws {FST_AUTH0_REFRESH_TOKEN_REFUSED} 401
   * @throws {FST_AUTH0_INTERACTION_REQUIRED} 401
   * @throws {FST_AUTH0_ACCESS_TOKEN_DENIED} 403
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
   * @throws {FST_AUTH0_PROVIDER_FAILED} 502
   */
  refresh (refreshToken: string, difference: TargetDifference, login: RefreshedLogin): Promise<{ failure: null, tokens: Tokens, identity: Identity | null } | UnusableRefresh>
  /** Tells the provider that a refresh token is needed no more (RFC 7009). Never fails. */
  revoke (refreshToken: string): Promise<void>
  /**
   * What an access token is good for that tells nothing itself (RFC 7662 §2), and who says so; `null`: nothing.
   *
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
   * @throws {FST_AUTH0_PROVIDER_FAILED} 502
   */
  introspect (accessToken: string): Promise<{ issuer: string, claims: Introspected } | null>
  /**
   * Who signs its tokens, and how.
   *
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503
   * @throws {FST_AUTH0_PROVIDER_FAILED} 502
   */
  signer (): Promise<Signer>
  /** The same of another issuer, asked when it is called. */
  signerOf (issuer: URL): () => Promise<Signer>
  /** The address that logs out there; `null` when there is none, or the provider cannot be reached to know. */
  logoutUrl (parameters: Omit<LogoutParameters, 'clientId'>): Promise<URL | null>
  /** Gives up all calls under way. */
  close (): void
}

/** Claims that protect the ID token on its way and say nothing of the person. */
const PROTOCOL_CLAIMS = new Set(['aud', 'azp', 'exp', 'iat', 'nbf', 'jti', 'nonce', 'at_hash', 'c_hash', 's_hash'])

export function createProvider (options: ProviderOptions, proofs: DpopProofs, log: FastifyBaseLogger): Provider {
  const { preset, clientId, clientCertificate } = options
  const closing = new AbortController()
  setMaxListeners(0, closing.signal) // one for each call under way, however many people log in at once
  const bounds = { fetch: clientCertificate === null ? options.fetch : createCertifiedFetch(clientCertificate), timeout: options.httpTimeout, closing: closing.signal }
  const fetch = createBoundedFetch(bounds)
  const send = createBoundedFetch({ ...bounds, ignoresContent: true })
  const discovery = createDiscovery(() => discoverProvider({ ...options, issuer: preset.issuer, fetch, send }),
    error => warn(providerError(error, 'discovery'), 'provider metadata not renewed'))
  const userInfo = createUserInfo(options.userInfo, log)

  function warn (error: unknown, message: string): void {
    if (!closing.signal.aborted) log.warn({ err: error }, message)
  }

  async function known (): Promise<KnownProvider> {
    return discovery.current().catch(error => { throw providerError(error, 'discovery') })
  }

  return {
    prepare () {
      known().catch(error => warn(error, 'provider not ready; tried again at the next login'))
    },

    async startLogin (parameters) {
      return requestAuthorization(await known(), parameters, { isPushed: options.pushedAuthorizationRequests, isSigned: options.signedAuthorizationRequests })
    },

    async verifyAnswer (answer) {
      const { issuer, authorization_response_iss_parameter_supported: isPromised } = (await known()).metadata
      const actual = answer.get('iss')
      if (actual === null ? isPromised === true : actual !== issuer) {
        throw new FST_AUTH0_CALLBACK_INVALID({ cause: new ProviderFailure('"iss" is missing or another provider\'s (RFC 9207 §2.4)') })
      }
    },

    async finishLogin (answer, login) {
      const provider = await known()
      const configuration = await provider.configurationWithKeys().catch(failForKeys)
      const dpopKey = options.dpop ? await createDpopKey() : undefined
      const proof = await proofs.options(configuration, dpopKey)
      const { claims, tokens } = await redeemCode(configuration, answer, login, options, proof)
      const more = await userInfo.claims(configuration, { claims, accessToken: tokens.accessToken, proof, scope: login.scope })
      return { user: toUser({ ...more, ...claims }), tokens, dpopKey, issuedAt: claims.iat }
    },

    async refresh (refreshToken, { audience, ...difference }, login) {
      const provider = await known()
      // With the keys: an endpoint that is down or slow costs nobody the token, which may be good only once.
      const configuration = await provider.configurationWithKeys().catch(failForKeys)
      const parameters = { ...difference, ...audience === undefined ? {} : { [preset.audienceParameter]: audience } }
      const refreshed = await redeemRefreshToken(configuration, refreshToken, parameters, login, options, await proofs.options(configuration, login.dpopKey))
      if (refreshed.failure !== null) return refreshed
      const { identity } = refreshed
      return { ...refreshed, identity: identity && { user: toUser(identity.claims), idToken: identity.idToken, issuedAt: identity.claims.iat } }
    },

    async revoke (refreshToken) {
      await known().then(provider => revokeToken(provider, refreshToken)).catch(error => warn(error, 'refresh token not revoked'))
    },

    async introspect (accessToken) {
      const provider = await known()
      const claims = await introspectToken(provider, accessToken)
      return claims && { issuer: provider.metadata.issuer, claims }
    },

    async signer () {
      const { metadata, keySet } = await known()
      return toSigner(metadata, keySet)
    },

    signerOf: issuer => createSigner(issuer, fetch, error => warn(error, 'issuer metadata not renewed')),

    async logoutUrl (parameters) {
      const provider = await known().catch(error => warn(error, 'logged out here, not at the provider'))
      if (provider === undefined) return null
      return preset.logoutUrl(provider.metadata.end_session_endpoint, { ...parameters, clientId })
    },

    close () {
      closing.abort()
    }
  }
}

function toUser (claims: Record<string, unknown>): User {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !PROTOCOL_CLAIMS.has(name))) as User
}
