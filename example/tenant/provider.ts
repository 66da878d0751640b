import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type Provider from 'oidc-provider'
import type { ClientAuthMethod, ClientMetadata, Configuration, errors } from 'oidc-provider'
import { claims, claimsByScope, findPerson } from './people.ts'
import { errorPage } from './pages.ts'

/** What Auth0's dashboard calls the settings of an application. */
export interface TenantClient {
  clientId: string
  clientSecret: string
  /** Shown on the login page. */
  clientName?: string
  /** "Allowed Callback URLs", compared exactly. */
  redirectUris: string[]
  /** "Allowed Logout URLs", compared without their query. */
  postLogoutRedirectUris: string[]
  /** "Back-Channel Logout URI": where the tenant says that somebody logged out. */
  backchannelLogoutUri?: string
  /** As at Auth0, an application has exactly one. Default: `client_secret_post`. */
  clientAuthMethod?: ClientAuthMethod
}

/** What a tenant is made of. */
export interface TenantSettings {
  clients: readonly TenantClient[]
  api?: TenantApi | undefined
  /** Whether proofs of possession have to repeat a nonce (RFC 9449 §8). Default: no. */
  wantsDpopNonce?: boolean | undefined
}

/** What Auth0's dashboard calls an API. */
export interface TenantApi {
  /** Its identifier. */
  audience: string
  /** What may be asked for, words with a space between them. */
  scope: string
  /** Seconds that its access tokens live. */
  lifetime: number
  /** Whether they tell nothing themselves, so that the API has to ask (RFC 7662). Default: they are JWTs. */
  isOpaque?: boolean
}

const HOUR = 3600 // seconds

/**
 * Makes an OpenID provider that answers at Auth0's paths and with Auth0's habits.
 *
 * @see OpenID Connect Core 1.0; what Auth0 does differently is said where it is done
 */
export async function createProvider (issuer: string, settings: TenantSettings): Promise<Provider> {
  return quietly(async () => {
    const { Provider, errors } = await import('oidc-provider')
    const provider = new Provider(issuer, configuration(issuer, settings, apiFeature(settings.api, errors.InvalidTarget)))
    // Auth0 puts the id of the session at the provider into every ID token, oidc-provider only where logouts are announced.
    provider.Client.prototype.includeSid = () => true
    return provider
  })
}

type ApiFeature = NonNullable<NonNullable<Configuration['features']>['resourceIndicators']>

/** Access tokens for an API are JWTs (RFC 9068); those for nothing in particular are opaque. */
function apiFeature (api: TenantApi | undefined, InvalidTarget: typeof errors.InvalidTarget): ApiFeature {
  return {
    enabled: true,
    useGrantedResource: async () => true,
    async getResourceServerInfo (_ctx, resource) {
      if (resource !== api?.audience) throw new InvalidTarget()
      return { audience: resource, scope: api.scope, accessTokenTTL: api.lifetime, accessTokenFormat: api.isOpaque === true ? 'opaque' : 'jwt', jwt: { sign: { alg: 'RS256' } } }
    }
  }
}

function configuration (issuer: string, { clients, wantsDpopNonce = false }: TenantSettings, resourceIndicators: ApiFeature): Configuration {
  return {
    clients: clients.map(metadata),
    routes: {
      authorization: '/authorize',
      token: '/oauth/token',
      userinfo: '/userinfo',
      jwks: '/.well-known/jwks.json',
      revocation: '/oauth/revoke',
      pushed_authorization_request: '/oauth/par',
      introspection: '/oauth/introspect'
    },
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => wantsDpopNonce },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      resourceIndicators,
      revocation: { enabled: true, allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId },
      // Without an end_session_endpoint, as at tenants that have not switched it on: applications are to find /v2/logout.
      rpInitiatedLogout: { enabled: false }
    },
    responseTypes: ['code'],
    clientAuthMethods: ['client_secret_post', 'client_secret_basic'],
    pkce: { required: () => true },
    jwks: { keys: [newSigningKey()] },
    cookies: { keys: [randomBytes(32).toString('base64url')], names: { session: 'tenant', interaction: 'tenant_login', resume: 'tenant_resume' } },
    ttl: { AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? 24 * HOUR, IdToken: 10 * HOUR, RefreshToken: 30 * 24 * HOUR, Interaction: HOUR, Session: 72 * HOUR, Grant: 30 * 24 * HOUR },
    clientBasedCORS: () => false,
    // Its dispatcher refuses addresses of this computer, which is where the applications of this tenant are.
    fetch: (url, { dispatcher: _refusing, ...options }: RequestInit & { dispatcher?: unknown } = {}) => fetch(url, options),
    claims: claimsByScope,
    // Auth0 puts the claims into the ID token; OpenID Connect would have the application ask UserInfo (Core §5.4).
    conformIdTokenClaims: false,
    findAccount (_ctx, sub) {
      const person = findPerson(sub)
      return person === null ? undefined : { accountId: sub, claims: async () => claims(person, issuer) }
    },
    // Grants whatever is asked, so nobody meets a consent page: this is the application's own tenant.
    async loadExistingGrant ({ oidc }) {
      const grant = new oidc.provider.Grant({ clientId: oidc.client!.clientId, accountId: oidc.session!.accountId! })
      grant.addOIDCScope([...oidc.requestParamScopes].join(' '))
      for (const [resource, { scope }] of Object.entries(oidc.resourceServers ?? {})) grant.addResourceScope(resource, String(scope))
      await grant.save()
      return grant
    },
    rotateRefreshToken: true,
    interactions: { url: (_ctx, interaction) => `/u/login/${interaction.uid}` },
    renderError (ctx, out) {
      ctx.type = 'html'
      ctx.body = errorPage(out.error_description ?? out.error)
    }
  }
}

function metadata (client: TenantClient): ClientMetadata {
  return {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    client_name: client.clientName ?? 'the application',
    redirect_uris: client.redirectUris,
    token_endpoint_auth_method: client.clientAuthMethod ?? 'client_secret_post',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...client.backchannelLogoutUri !== undefined && { backchannel_logout_uri: client.backchannelLogoutUri, backchannel_logout_session_required: true }
  }
}

function newSigningKey () {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: randomBytes(12).toString('base64url') }
}

/** Keeps off the first screen what oidc-provider says about production and about Node 20, on which it works. */
async function quietly<T> (run: () => Promise<T>): Promise<T> {
  const { warn } = console
  console.warn = () => {}
  try {
    return await run()
  } finally {
    console.warn = warn
  }
}
