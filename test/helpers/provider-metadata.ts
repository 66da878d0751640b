import type { Json } from './id-tokens.ts'

/** Where an Auth0 tenant has its endpoints, below the issuer. */
export const paths = {
  discovery: '/.well-known/openid-configuration',
  jwks: '/.well-known/jwks.json',
  token: '/oauth/token',
  userinfo: '/userinfo',
  par: '/oauth/par',
  revocation: '/oauth/revoke',
  introspection: '/oauth/introspect'
}

/** An endpoint that can be told to misbehave. */
export type Endpoint = keyof typeof paths

/** The address of a path below an issuer, with or without a slash at its end. */
export const below = (issuer: string, path: string): string => issuer.replace(/\/$/, '') + path

/** The endpoint at this address, if any. */
export function endpointAt (issuer: string, { origin, pathname }: URL): Endpoint | null {
  const endpoints = Object.keys(paths) as Endpoint[]
  return endpoints.find(endpoint => below(issuer, paths[endpoint]) === origin + pathname) ?? null
}

/** Metadata as an Auth0 tenant has it (OpenID Connect Discovery 1.0 §3). */
export const metadataOf = (issuer: string): Json => ({
  issuer,
  authorization_endpoint: below(issuer, '/authorize'),
  token_endpoint: below(issuer, paths.token),
  userinfo_endpoint: below(issuer, paths.userinfo),
  jwks_uri: below(issuer, paths.jwks),
  pushed_authorization_request_endpoint: below(issuer, paths.par),
  revocation_endpoint: below(issuer, paths.revocation),
  introspection_endpoint: below(issuer, paths.introspection),
  end_session_endpoint: below(issuer, '/oidc/logout'),
  scopes_supported: ['openid', 'profile', 'offline_access', 'email'],
  response_types_supported: ['code', 'token', 'id_token', 'code token', 'code id_token', 'token id_token', 'code token id_token'],
  response_modes_supported: ['query', 'fragment', 'form_post'],
  code_challenge_methods_supported: ['S256', 'plain'],
  subject_types_supported: ['public'],
  id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256'],
  token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  request_uri_parameter_supported: false,
  request_parameter_supported: false
})
