const OURS = 'is not yours to set: the plugin makes it'

/** Answers in the query or a form, plain or as a JWT; never in the fragment, which no server sees. */
const RESPONSE_MODES = ['query', 'form_post', 'jwt', 'query.jwt', 'form_post.jwt']

/** What may not be asked for, and why. `state`, `nonce` and PKCE protect the login (RFC 9700 §2.1). */
const REFUSED: Record<string, (value: string) => string | null> = {
  response_type: value => value === 'code' ? null : 'can only be "code": the implicit and hybrid grants give tokens to the browser (RFC 9700 §2.1.2)',
  grant_type: () => 'is not yours to set: logins use the authorization code, and the password grant must not be used (RFC 9700 §2.4)',
  scope: value => value.split(' ').includes('openid') ? null : 'must contain "openid": without it there is no ID token',
  response_mode: value => RESPONSE_MODES.includes(value) ? null : `can be ${RESPONSE_MODES.map(mode => `"${mode}"`).join(', ')}`,
  claims: value => isObject(fromJson(value)) ? null : 'must be a JSON object as text (OpenID Connect Core 1.0 §5.5)',
  authorization_details: value => Array.isArray(fromJson(value)) ? null : 'must be a JSON array as text (RFC 9396 §2)',
  max_age: value => /^\d{1,9}$/.test(value) ? null : 'must be a number of seconds',
  client_id: () => OURS,
  redirect_uri: () => OURS,
  state: () => OURS,
  nonce: () => OURS,
  code_challenge: () => OURS,
  code_challenge_method: () => OURS,
  request: () => OURS,
  request_uri: () => OURS
}

/** What a visitor may add to a login by the query of our login route. */
const FORWARDED = ['login_hint', 'prompt', 'ui_locales', 'screen_hint', 'acr_values', 'max_age', 'organization', 'invitation', 'connection']
const MAX_FORWARDED = 1024 // bytes
const MAX_KEPT = 256 // bytes of those that stay in the login's cookie, which a visitor must not be able to fill
const KEPT = ['acr_values', 'organization']

/** A parameter, and what is wrong with it. */
type Problem = [name: string, text: string]

/** Makes strings of parameters, leaves out what is undefined or empty, and says by name what cannot be asked for. */
export function parseAuthorizationParams (given: Record<string, string | number | undefined>): { params: Record<string, string>, problems: Problem[] } {
  const params: Record<string, string> = {}
  const problems: Problem[] = []
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === '') continue
    const problem = problemOf(name, value)
    if (problem !== null) problems.push([name, problem])
    params[name] = String(value)
  }
  return { params, problems }
}

/** Of a query, the parameters that are passed on to the provider. All others, repeated ones and nonsense are ignored. */
export function forwardedParams (query: URLSearchParams): Record<string, string> {
  const forwarded = FORWARDED.map(name => [name, query.getAll(name)] as const)
    .filter(([name, [value = '', ...more]]) => value !== '' && !isTooLong(name, value) && more.length === 0 && problemOf(name, value) === null)
    .map(([name, [value = '']]) => [name, value])
  return Object.fromEntries(forwarded)
}

function problemOf (name: string, value: unknown): string | null {
  if (typeof value !== 'string' && typeof value !== 'number') return 'must be a string or a number'
  const refuse = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined
  return refuse?.(String(value)) ?? null
}

function fromJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isObject (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** As JSON, which is how it is kept: there, a character takes up to six bytes. */
function isTooLong (name: string, value: string): boolean {
  return Buffer.byteLength(JSON.stringify(value)) > (KEPT.includes(name) ? MAX_KEPT : MAX_FORWARDED)
}
