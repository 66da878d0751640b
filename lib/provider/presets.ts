import { isLoopback } from './bounded-fetch.ts'

/** What the URL that logs out at the provider is made of. */
export interface LogoutParameters {
  clientId: string
  idToken: string | null
  /** The provider's own session. */
  sid: string | null
  /** Absolute, and known to the provider. */
  returnTo: string
  /** Auth0: log out at the upstream identity provider too. */
  federated: boolean
}

/** What is peculiar to one kind of identity provider. All else comes from its metadata. */
export interface ProviderPreset {
  issuer: URL
  /** Says in a refresh which API the access token is for: `resource` by RFC 8707 §2. */
  audienceParameter: 'audience' | 'resource'
  /** Whether its logout tokens say by `typ` what they are (OpenID Connect Back-Channel Logout 1.0 §2.4); else `JWT` or none will do. */
  typesLogoutTokens: boolean
  /** Whether its access tokens say by `typ` what they are (RFC 9068 §2.1); else `JWT` or none will do. */
  typesAccessTokens: boolean
  /** The URL that logs out there, or `null` when there is none and logging out here must do. */
  logoutUrl (endSessionEndpoint: string | undefined, parameters: LogoutParameters): URL | null
}

/** Any OpenID provider, by the URL of its issuer. */
export function oidc (issuer: string): ProviderPreset {
  return {
    issuer: new URL(issuer),
    audienceParameter: 'resource',
    typesLogoutTokens: true,
    typesAccessTokens: true,
    logoutUrl: (endpoint, parameters) => endpoint === undefined ? null : endSessionUrl(endpoint, parameters)
  }
}

/**
 * An Auth0 tenant, by its domain or custom domain.
 *
 * Tenants that do not advertise `end_session_endpoint` have `/v2/logout`.
 */
export function auth0 (domain: string): ProviderPreset {
  const issuer = new URL(`https://${domain}/`)
  if (isLoopback(issuer)) issuer.protocol = 'http:' // a tenant for development
  return {
    issuer,
    audienceParameter: 'audience',
    typesLogoutTokens: false, // theirs say `JWT`
    typesAccessTokens: false, // `at+jwt` only where the API's "Token Profile" is that of RFC 9068
    logoutUrl (endpoint, parameters) {
      const url = endpoint === undefined ? auth0LogoutUrl(issuer, parameters) : endSessionUrl(endpoint, parameters)
      if (endpoint !== undefined && parameters.sid !== null) url.searchParams.set('logout_hint', parameters.sid)
      if (parameters.federated) url.searchParams.set('federated', 'true')
      return url
    }
  }
}

/** @see OpenID Connect RP-Initiated Logout 1.0 §2 */
function endSessionUrl (endpoint: string, { clientId, idToken, returnTo }: LogoutParameters): URL {
  const url = new URL(endpoint)
  if (idToken !== null) url.searchParams.set('id_token_hint', idToken)
  url.searchParams.set('client_id', clientId)
  url.searchParams.set('post_logout_redirect_uri', returnTo)
  return url
}

function auth0LogoutUrl (issuer: URL, { clientId, returnTo }: LogoutParameters): URL {
  const url = new URL('/v2/logout', issuer)
  url.searchParams.set('client_id', clientId)
  url.searchParams.set('returnTo', returnTo)
  return url
}
