import type { FastifyBaseLogger } from 'fastify'
import type { Configuration, TokenEndpointResponse, TokenEndpointResponseHelpers } from 'openid-client'
import { FST_AUTH0_CALLBACK_INVALID, FST_AUTH0_ID_TOKEN_INVALID } from '../errors.ts'
import type { User } from '../session/sessions.ts'
import { createBoundedFetch, isLoopback } from './bounded-fetch.ts'
import { createDiscovery } from './discovery.ts'
import { ProviderFailure, providerError } from './failures.ts'
import { verifyIdToken } from './id-token.ts'
import type { LogoutParameters, ProviderPreset } from './presets.ts'
import { createUserInfo, type UserInfoPolicy } from './user-info.ts'

/** What the provider's side of a login needs to know. */
export interface ProviderOptions {
  preset: ProviderPreset
  clientId: string
  clientSecret: string
  clientAuthMethod: 'client_secret_post' | 'client_secret_basic'
  pushedAuthorizationRequests: boolean
  userInfo: UserInfoPolicy
  fetch: typeof globalThis.fetch
  /** Milliseconds. */
  httpTimeout: number
  /** Seconds. */
  clockTolerance: number
}

/** What a login keeps until the browser comes back. */
export interface LoginProof {
  state: string
  nonce: string
  codeVerifier: string
}

/** What must be known of a login to finish it. */
export interface StartedLogin extends LoginProof {
  redirectUri: string
  scope: string
  /** Seconds since the epoch. */
  startedAt: number
  maxAge?: number | undefined
  organization?: string | undefined
}

/** The tokens of a login, as the token endpoint gave them. */
export interface Tokens {
  accessToken: string
  idToken: string
  refreshToken: string | null
  /** As granted; the specification lets a provider leave it out when it is what was asked for (RFC 6749 §5.1). */
  scope: string | null
  /** Seconds; `null` when the provider did not say. */
  expiresIn: number | null
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
  finishLogin (answer: URLSearchParams, login: StartedLogin): Promise<{ user: User, tokens: Tokens }>
  /** The address that logs out there; `null` when there is none, or the provider cannot be reached to know. */
  logoutUrl (parameters: Omit<LogoutParameters, 'clientId'>): Promise<URL | null>
  /** Gives up all calls under way. */
  close (): void
}

type TokenAnswer = TokenEndpointResponse & TokenEndpointResponseHelpers

/** Claims that protect the ID token on its way and say nothing of the person. */
const PROTOCOL_CLAIMS = new Set(['aud', 'azp', 'exp', 'iat', 'nbf', 'jti', 'nonce', 'at_hash', 'c_hash', 's_hash'])

export function createProvider (options: ProviderOptions, log: FastifyBaseLogger): Provider {
  const closing = new AbortController()
  const fetch = createBoundedFetch({ fetch: options.fetch, timeout: options.httpTimeout, closing: closing.signal })
  const discovery = createDiscovery(discover, error => log.warn({ err: providerError(error, 'discovery') }, 'provider metadata not renewed'))
  const userInfo = createUserInfo(options.userInfo, log)

  async function discover (): Promise<Configuration> {
    const openid = await openidClient()
    const { preset, clientId, clientSecret } = options
    const authenticate = options.clientAuthMethod === 'client_secret_basic' ? openid.ClientSecretBasic : openid.ClientSecretPost
    // Signatures are verified also where OpenID Connect Core 1.0 §3.1.3.7 (6) lets a client trust TLS.
    const execute = [openid.enableNonRepudiationChecks]
    if (isLoopback(preset.issuer)) execute.push(openid.allowInsecureRequests)
    return openid.discovery(preset.issuer, clientId, { [openid.clockTolerance]: options.clockTolerance }, authenticate(clientSecret), {
      [openid.customFetch]: fetch, execute, timeout: options.httpTimeout / 1000 + 1
    })
  }

  async function configuration (): Promise<Configuration> {
    return discovery.current().catch(error => { throw providerError(error, 'discovery') })
  }

  async function redeem (known: Configuration, answer: URLSearchParams, login: StartedLogin): Promise<TokenAnswer> {
    const openid = await openidClient()
    const url = new URL(login.redirectUri)
    url.search = answer.toString()
    try {
      return await openid.authorizationCodeGrant(known, url, {
        pkceCodeVerifier: login.codeVerifier, expectedState: login.state, expectedNonce: login.nonce, idTokenExpected: true
      })
    } catch (error) {
      throw isAboutIdToken(error) ? new FST_AUTH0_ID_TOKEN_INVALID({ cause: providerError(error, 'ID token').cause as Error }) : providerError(error, 'token endpoint')
    }
  }

  return {
    prepare () {
      configuration().catch(error => log.warn({ err: error }, 'provider not reached; tried again at the next login'))
    },

    async startLogin (parameters) {
      const openid = await openidClient()
      const known = await configuration()
      const proof = { state: openid.randomState(), nonce: openid.randomNonce(), codeVerifier: openid.randomPKCECodeVerifier() }
      const request = {
        ...parameters,
        response_type: 'code',
        state: proof.state,
        nonce: proof.nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(proof.codeVerifier),
        code_challenge_method: 'S256'
      }
      const isPushed = options.pushedAuthorizationRequests || known.serverMetadata().require_pushed_authorization_requests === true
      try {
        const url = isPushed ? await openid.buildAuthorizationUrlWithPAR(known, request) : openid.buildAuthorizationUrl(known, request)
        return { url, proof }
      } catch (error) {
        throw providerError(error, 'authorization request')
      }
    },

    async verifyAnswer (answer) {
      const { issuer, authorization_response_iss_parameter_supported: isPromised } = (await configuration()).serverMetadata()
      const actual = answer.get('iss')
      if (actual === null ? isPromised === true : actual !== issuer) {
        throw new FST_AUTH0_CALLBACK_INVALID({ cause: new ProviderFailure('"iss" is missing or another provider\'s (RFC 9207 §2.4)') })
      }
    },

    async finishLogin (answer, login) {
      const known = await configuration()
      const tokens = await redeem(known, answer, login)
      const claims = tokens.claims()
      if (tokens.id_token === undefined || claims === undefined) throw new FST_AUTH0_ID_TOKEN_INVALID()
      verifyIdToken(tokens.id_token, claims, { ...options, ...login, accessToken: tokens.access_token })
      const more = await userInfo.claims(known, { claims, accessToken: tokens.access_token, scope: login.scope })
      return { user: toUser({ ...more, ...claims }), tokens: toTokens(tokens) }
    },

    async logoutUrl (parameters) {
      const known = await configuration().catch(error => log.warn({ err: error }, 'logged out here, not at the provider'))
      if (known === undefined) return null
      return options.preset.logoutUrl(known.serverMetadata().end_session_endpoint, { ...parameters, clientId: options.clientId })
    },

    close () {
      closing.abort()
    }
  }
}

/** Imported when first needed: it costs 20 ms, and a server that nobody logs in to need not pay them. */
function openidClient () {
  return import('openid-client')
}

function isAboutIdToken (error: unknown): boolean {
  const { message, cause } = error as Error
  return /JWT|JWS|JWE|ID Token/.test(`${message} ${(cause as Error | undefined)?.message}`)
}

function toUser (claims: Record<string, unknown>): User {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !PROTOCOL_CLAIMS.has(name))) as User
}

function toTokens (answer: TokenAnswer): Tokens {
  return {
    accessToken: answer.access_token,
    idToken: answer.id_token as string,
    refreshToken: answer.refresh_token ?? null,
    scope: answer.scope ?? null,
    expiresIn: answer.expires_in ?? null
  }
}
