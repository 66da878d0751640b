/**
 * The address of an authorization request as oidc-provider wants it. At Auth0 an API is named by `audience`, not by `resource` (RFC 8707 §2), and whoever asks for
 * `offline_access` gets it without `prompt=consent` (OpenID Connect Core 1.0 §11).
 */
export function asOpenId (address: string): string {
  const url = new URL(address, 'http://tenant')
  if (url.pathname !== '/authorize') return address
  const { searchParams: request } = url
  const audience = request.get('audience')
  if (audience !== null) request.set('resource', audience)
  const prompts = new Set(request.get('prompt')?.split(' '))
  if (request.get('scope')?.split(' ').includes('offline_access') === true && !prompts.has('none')) request.set('prompt', [...prompts.add('consent')].join(' '))
  return url.pathname + url.search
}
