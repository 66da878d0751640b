import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { checkClient, checkRequest, Codes, OAuthError, type Grant } from './authorizations.ts'
import { change, halfHash, publicJwk, rsaKey, signDraft, type Draft, type Json, type SigningKey } from './id-tokens.ts'
import { ATTACKER, attackerKey, forgeFor, type Forge, type Forgery } from './id-token-forgeries.ts'
import { answerFor, Deviations, type Answer, type Fault } from './provider-faults.ts'

/** An endpoint that can be told to misbehave. */
export type Endpoint = 'discovery' | 'jwks' | 'token' | 'userinfo' | 'par'

/** A request that reached the provider, or the attacker's host. */
export interface Call {
  endpoint: Endpoint | 'attacker' | null
  method: string
  url: URL
  path: string
  headers: Headers
  body: string
  /** The parameters of a form body. */
  params: URLSearchParams
  /** How much of the answer's body was read. */
  bytesRead: number
  /** Whether the caller gave up: aborted the call, or cancelled the answer's body. */
  aborted: boolean
}

export interface ProviderOptions {
  /** Default: `https://tenant.example.com/`. */
  issuer?: string
  clientId?: string
  clientSecret?: string
  /** The redirect URIs that are registered; not given, every one is. */
  redirectUris?: string[]
  /** Changes to the metadata of an Auth0 tenant; `undefined` removes. */
  metadata?: Json
  /** Claims of the person who logs in. */
  user?: Json
  keys?: SigningKey[]
}

export interface AuthorizeOptions {
  /** Changes to the callback's parameters: `undefined` removes, an array repeats. */
  callback?: Record<string, string | string[] | undefined>
  /** Claims of the person who logs in. Default: `provider.user`. */
  user?: Json
}

/** Where the provider sends the browser back to. */
export interface Callback {
  method: 'GET' | 'POST'
  /** With the parameters in its query, unless they come as a form. */
  url: URL
  parameters: URLSearchParams
  /** What was asked for, also when it came by a pushed request. */
  request: URLSearchParams
}

const ada = { sub: 'auth0|ada', name: 'Ada Lovelace', nickname: 'ada', picture: 'https://cdn.example.com/ada.png', email: 'ada@example.com', email_verified: true }
const scopeOf: Record<string, string> = { name: 'profile', nickname: 'profile', picture: 'profile', given_name: 'profile', family_name: 'profile', updated_at: 'profile', email: 'email', email_verified: 'email' }
const paths = {
  discovery: '/.well-known/openid-configuration',
  jwks: '/.well-known/jwks.json',
  token: '/oauth/token',
  userinfo: '/userinfo',
  par: '/oauth/par'
}
const endpoints = Object.keys(paths) as Endpoint[]
const now = () => Math.floor(Date.now() / 1000)
const random = (prefix: string) => `${prefix}-${randomBytes(24).toString('base64url')}`
const answer = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } })

/**
 * An OpenID provider in memory, with the endpoints of an Auth0 tenant, behind `fetch`. Strict with its clients and honest
 * until told otherwise.
 */
export class Provider {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  redirectUris: string[] | undefined
  /** Changes to the metadata; `undefined` removes. */
  metadata: Json
  /** Claims of the person who logs in; those of a scope are given only if it was asked for. */
  user: Json
  /** Names of claims that stand in UserInfo and not in the ID token. */
  onlyInUserInfo: string[] = []
  userInfoAs: 'json' | 'jwt' = 'json'
  /** Keys as published; change them at will. */
  jwks: Json[]
  /** The key that signs. */
  key: SigningKey
  /** Every request, oldest first. */
  readonly calls: Call[] = []
  /** Authorization requests, oldest first, with the parameters that were pushed. */
  readonly authorizations: URLSearchParams[] = []
  /** Requests to log out, oldest first. */
  readonly logouts: URLSearchParams[] = []
  /** What nobody else may see: codes, tokens, verifiers, nonces and states, the client's secret. */
  readonly secrets = new Set<string>()

  readonly #codes = new Codes()
  readonly #pushed = new Map<string, URLSearchParams>()
  readonly #accessTokens = new Map<string, Grant>()
  readonly #faults = { discovery: new Deviations<Answer>(), jwks: new Deviations<Answer>(), token: new Deviations<Answer>(), userinfo: new Deviations<Answer>(), par: new Deviations<Answer>() }
  readonly #forgeries = { idToken: new Deviations<Forge>(), userinfo: new Deviations<Forge>() }
  #keysMade = 1

  constructor (options: ProviderOptions = {}) {
    this.issuer = options.issuer ?? 'https://tenant.example.com/'
    this.clientId = options.clientId ?? 'client-id'
    this.clientSecret = options.clientSecret ?? 'client-secret-of-the-tests'
    this.redirectUris = options.redirectUris
    this.metadata = options.metadata ?? {}
    this.user = options.user ?? ada
    const keys = options.keys ?? [rsaKey('key-1')]
    this.key = keys[0]!
    this.jwks = keys.map(key => publicJwk(key))
    this.secrets.add(this.clientSecret)
  }

  /** Lets an endpoint misbehave until `heal()`. */
  fail (endpoint: Endpoint, fault: Fault): void { this.#faults[endpoint].always = answerFor(fault) }

  /** Lets an endpoint misbehave at its next calls: one fault for each. */
  failNext (endpoint: Endpoint, ...faults: Fault[]): void { this.#faults[endpoint].next.push(...faults.map(answerFor)) }

  /** Lets every endpoint misbehave until `heal()`, as when the provider is down. */
  failAll (fault: Fault): void { for (const faults of Object.values(this.#faults)) faults.always = answerFor(fault) }

  /** Forges ID tokens, or UserInfo as a JWT, until `heal()`. */
  forge (what: 'idToken' | 'userinfo', forgery: Forgery): void { this.#forgeries[what].always = forgeFor(forgery) }

  /** Forges the next ID tokens, or UserInfos as JWT: one forgery for each. */
  forgeNext (what: 'idToken' | 'userinfo', ...forgeries: Forgery[]): void { this.#forgeries[what].next.push(...forgeries.map(forgeFor)) }

  /** Behaves again. */
  heal (): void {
    for (const deviations of [...Object.values(this.#faults), ...Object.values(this.#forgeries)]) deviations.clear()
  }

  /** Signs with a new key and publishes it, beside the old ones unless they are to be dropped. */
  rotateKeys ({ keepOld = true } = {}): SigningKey {
    this.key = rsaKey(`key-${++this.#keysMade}`)
    this.jwks = [publicJwk(this.key), ...(keepOld ? this.jwks : [])]
    return this.key
  }

  /** The calls to an endpoint, oldest first. */
  callsTo (endpoint: Call['endpoint']): Call[] { return this.calls.filter(call => call.endpoint === endpoint) }

  /** The provider's metadata (OpenID Connect Discovery 1.0 §3). */
  get document (): Json {
    return change({
      issuer: this.issuer,
      authorization_endpoint: this.#at('/authorize'),
      token_endpoint: this.#at(paths.token),
      userinfo_endpoint: this.#at(paths.userinfo),
      jwks_uri: this.#at(paths.jwks),
      pushed_authorization_request_endpoint: this.#at(paths.par),
      end_session_endpoint: this.#at('/oidc/logout'),
      scopes_supported: ['openid', 'profile', 'offline_access', 'email'],
      response_types_supported: ['code', 'token', 'id_token', 'code token', 'code id_token', 'token id_token', 'code token id_token'],
      response_modes_supported: ['query', 'fragment', 'form_post'],
      code_challenge_methods_supported: ['S256', 'plain'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      request_uri_parameter_supported: false,
      request_parameter_supported: false,
      ...(this.userInfoAs === 'jwt' && { userinfo_signing_alg_values_supported: ['RS256'] })
    }, this.metadata)
  }

  /**
   * Does what happens between authorization request and callback: checks the request, lets the person log in, and says where
   * the browser goes next. Throws what is wrong with the request.
   */
  authorize (url: string | URL, { callback = {}, user = this.user }: AuthorizeOptions = {}): Callback {
    const { origin, pathname, searchParams } = new URL(url)
    if (origin + pathname !== this.document.authorization_endpoint) throw new OAuthError('invalid_request', `not our authorization endpoint: ${origin}${pathname}`)
    const request = this.#requestOf(searchParams)
    checkRequest(request, this.clientId, this.redirectUris)
    this.authorizations.push(request)
    this.#keepSecret(request.get('state'), request.get('nonce'))

    const honest: AuthorizeOptions['callback'] = { state: request.get('state')! }
    if (callback.error === undefined) honest.code = this.#codes.issue({ request, user, authTime: now() })
    if (this.document.authorization_response_iss_parameter_supported === true) honest.iss = this.issuer
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries(change(honest, callback))) {
      for (const one of [value].flat()) parameters.append(name, one as string)
    }
    this.#keepSecret(parameters.get('code'))

    const target = new URL(request.get('redirect_uri')!)
    if (request.get('response_mode') === 'form_post') return { method: 'POST', url: target, parameters, request }
    for (const [name, value] of parameters) target.searchParams.append(name, value)
    return { method: 'GET', url: target, parameters, request }
  }

  /** Logs out, by Auth0's `/v2/logout` or the `end_session_endpoint`, and says where the browser goes next, if anywhere. */
  logout (url: string | URL): URL | null {
    const { origin, pathname, searchParams } = new URL(url)
    const isAuth0 = origin + pathname === this.#at('/v2/logout')
    if (!isAuth0 && origin + pathname !== this.document.end_session_endpoint) throw new OAuthError('invalid_request', `not a logout endpoint: ${origin}${pathname}`)
    this.logouts.push(searchParams)
    const next = searchParams.get(isAuth0 ? 'returnTo' : 'post_logout_redirect_uri')
    if (next === null) return null
    const target = new URL(next)
    if (searchParams.has('state')) target.searchParams.set('state', searchParams.get('state')!)
    return target
  }

  /** To be given to a client as its `fetch`. Honours `signal` and `redirect`. */
  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    const signal = init?.signal ?? request.signal
    const call = await this.#record(request)
    signal.addEventListener('abort', () => { call.aborted = true })
    await setImmediate()
    signal.throwIfAborted()
    const response = await this.#respond(call, signal).catch(error => { throw signal.aborted ? signal.reason : error })
    const location = response.headers.get('location')
    if (location === null || init?.redirect === 'manual') return observed(response, call, signal)
    if (init?.redirect === 'error') throw new TypeError('fetch failed', { cause: new Error('unexpected redirect') })
    return this.fetch(new URL(location, call.url), init)
  }

  async #respond (call: Call, signal: AbortSignal): Promise<Response> {
    const honest = async () => this.#answer(call)
    const isOurs = call.endpoint !== null && call.endpoint !== 'attacker'
    const fault = isOurs ? this.#faults[call.endpoint as Endpoint].take() : undefined
    return fault ? fault({ signal, honest }) : honest()
  }

  async #record (request: Request): Promise<Call> {
    const url = new URL(request.url)
    const body = await request.text()
    const isForm = request.headers.get('content-type')?.startsWith('application/x-www-form-urlencoded')
    const params = new URLSearchParams(isForm ? body : '')
    const call: Call = { endpoint: this.#endpointOf(url), method: request.method, url, path: url.pathname, headers: request.headers, body, params, bytesRead: 0, aborted: false }
    this.calls.push(call)
    this.#keepSecret(params.get('code_verifier'))
    return call
  }

  #endpointOf (url: URL): Call['endpoint'] {
    if (url.origin === ATTACKER) return 'attacker'
    return endpoints.find(endpoint => this.#at(paths[endpoint]) === url.origin + url.pathname) ?? null
  }

  #at (path: string): string { return this.issuer.replace(/\/$/, '') + path }

  #answer (call: Call): Response {
    try {
      return this.#answers[call.endpoint ?? 'nothing'](call)
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      return answer({ error: error.error, error_description: error.description }, error.status)
    }
  }

  readonly #answers: Record<Endpoint | 'attacker' | 'nothing', (call: Call) => Response> = {
    discovery: () => answer(this.document),
    jwks: () => answer({ keys: this.jwks }),
    token: call => this.#token(call),
    userinfo: call => this.#userInfo(call),
    par: call => this.#push(call),
    attacker: call => this.#asAttacker(call),
    nothing: () => answer({ error: 'not_found' }, 404)
  }

  #token ({ method, headers, params }: Call): Response {
    if (method !== 'POST') return answer({ error: 'invalid_request' }, 405)
    checkClient(headers, params, { id: this.clientId, secret: this.clientSecret })
    if (params.get('grant_type') !== 'authorization_code') throw new OAuthError('unsupported_grant_type', 'Only codes are exchanged here')
    const grant = this.#codes.redeem(params)
    const accessToken = random('access-token')
    const idToken = this.#idToken(grant, accessToken)
    this.#accessTokens.set(accessToken, grant)
    this.#keepSecret(accessToken, idToken)
    return answer({ access_token: accessToken, id_token: idToken, scope: grant.request.get('scope'), expires_in: 86_400, token_type: 'Bearer' }, 200, { 'cache-control': 'no-store' })
  }

  #idToken ({ request, user, authTime }: Grant, accessToken: string): string {
    const organization = request.get('organization')
    const claims = {
      ...granted(user, request, name => !this.onlyInUserInfo.includes(name)),
      iss: this.issuer,
      aud: this.clientId,
      iat: now(),
      exp: now() + 36_000,
      nonce: request.get('nonce'),
      sid: random('sid'),
      at_hash: halfHash(accessToken),
      ...((request.has('max_age') || request.get('prompt') === 'login') && { auth_time: authTime }),
      ...(request.has('acr_values') && { acr: request.get('acr_values')!.split(' ')[0] }),
      ...(organization !== null && (organization.startsWith('org_') ? { org_id: organization } : { org_id: 'org_1', org_name: organization }))
    }
    return (this.#forgeries.idToken.take() ?? signDraft)(this.#draft(claims))
  }

  #draft (claims: Json): Draft {
    return { header: { alg: 'RS256', typ: 'JWT', kid: this.key.kid }, claims, key: this.key, clientSecret: this.clientSecret }
  }

  #userInfo ({ headers }: Call): Response {
    const grant = this.#accessTokens.get(headers.get('authorization')?.replace(/^Bearer /, '') ?? '')
    if (grant === undefined) return answer({ error: 'invalid_token' }, 401, { 'www-authenticate': 'Bearer error="invalid_token"' })
    const claims = granted(grant.user, grant.request, () => true)
    if (this.userInfoAs === 'json') return answer(claims)
    const forge = this.#forgeries.userinfo.take() ?? signDraft
    return new Response(forge(this.#draft({ ...claims, iss: this.issuer, aud: this.clientId })), { headers: { 'content-type': 'application/jwt' } })
  }

  #push ({ headers, params }: Call): Response {
    checkClient(headers, params, { id: this.clientId, secret: this.clientSecret })
    const request = new URLSearchParams([...params].filter(([name]) => name !== 'client_secret'))
    request.set('client_id', this.clientId)
    checkRequest(request, this.clientId, this.redirectUris)
    const uri = random('urn:ietf:params:oauth:request_uri:pushed')
    this.#pushed.set(uri, request)
    return answer({ request_uri: uri, expires_in: 30 }, 201)
  }

  /** The parameters of a request, or of the one that was pushed under its `request_uri`; good once (RFC 9126 §4). */
  #requestOf (parameters: URLSearchParams): URLSearchParams {
    const uri = parameters.get('request_uri')
    if (uri === null) {
      if (this.document.require_pushed_authorization_requests === true) throw new OAuthError('invalid_request', 'requests must be pushed')
      return parameters
    }
    const pushed = this.#pushed.get(uri)
    this.#pushed.delete(uri)
    if (pushed === undefined) throw new OAuthError('invalid_request', 'request_uri is unknown or was used')
    if ([...parameters.keys()].sort().join() !== 'client_id,request_uri') throw new OAuthError('invalid_request', 'more than client_id and request_uri')
    return pushed
  }

  /** The attacker publishes keys, and answers in the provider's stead whoever follows a redirect. */
  #asAttacker (call: Call): Response {
    if (call.path === '/jwks.json') return answer({ keys: [publicJwk(attackerKey())] })
    return this.#answer({ ...call, endpoint: this.calls.findLast(({ endpoint }) => endpoint !== 'attacker')?.endpoint ?? null })
  }

  #keepSecret (...secrets: Array<string | null>): void {
    for (const secret of secrets) if (secret) this.secrets.add(secret)
  }
}

/** Makes an OpenID provider in memory. */
export const createProvider = (options?: ProviderOptions): Provider => new Provider(options)

/** The person's claims that the request's scopes give, and that the condition lets through; `sub` always. */
function granted (user: Json, request: URLSearchParams, condition: (name: string) => boolean): Json {
  const scopes = request.get('scope')!.split(' ')
  const isGranted = (name: string) => scopeOf[name] === undefined || scopes.includes(scopeOf[name])
  return Object.fromEntries(Object.entries(user).filter(([name]) => name === 'sub' || (isGranted(name) && condition(name))))
}

/** The same answer, whose body breaks off with the signal, and tells the call how much of it was read. */
function observed (response: Response, call: Call, signal: AbortSignal): Response {
  if (response.body === null) return response
  const reader = response.body.getReader()
  const body = new ReadableStream<Uint8Array>({
    start (controller) {
      signal.addEventListener('abort', () => {
        controller.error(signal.reason)
        reader.cancel().catch(() => {})
      })
    },
    async pull (controller) {
      const { done, value } = await reader.read()
      if (done) return controller.close()
      call.bytesRead += value.byteLength
      controller.enqueue(value)
    },
    async cancel () {
      call.aborted = true
      await reader.cancel()
    }
  }, { highWaterMark: 0 })
  return new Response(body, { status: response.status, headers: response.headers })
}
