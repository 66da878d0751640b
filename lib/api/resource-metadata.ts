/** Of an API without a path. */
export const WELL_KNOWN = '/.well-known/oauth-protected-resource'

/** What clients of an API are told of it (RFC 9728 §2). */
export interface ResourceMetadata {
  resource: string
  authorization_servers?: readonly string[]
  scopes_supported?: readonly string[]
  bearer_methods_supported: readonly ['header']
  dpop_signing_alg_values_supported?: readonly string[]
  dpop_bound_access_tokens_required?: boolean
}

/** Where the metadata of an API are: in front of its path, if it has one. Only the slash behind the host goes (RFC 9728 §3.1). */
export function resourceMetadataUrl (resource: string): string {
  return new URL(resource).origin + resourceMetadataPath(resource)
}

export function resourceMetadataPath (resource: string): string {
  const { pathname } = new URL(resource)
  return pathname === '/' ? WELL_KNOWN : WELL_KNOWN + pathname
}
