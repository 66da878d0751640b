import { setImmediate } from 'node:timers/promises'
import { accessDraft } from './access-tokens.ts'
import { attackerCertificate, attackerKey } from './attacker.ts'
import { checkRequest, OAuthError, PushedRequests, random } from './authorizations.ts'
import { ClientProofs, type Registration } from './client-proofs.ts'
import { DpopProofs } from './dpop-proofs.ts'
import { change, publicJwk, rsaKey, signDraft, type Draft, type Json, type SigningKey } from './id-tokens.ts'
import { forgeFor, type Forge, type Forgery } from './id-token-forgeries.ts'
import { logoutDraft } from './logout-tokens.ts'
import { observed, readCall, type Call } from './provider-calls.ts'
import { ada, claimsOf } from './provider-claims.ts'
import { answerFor, Deviations, type Answer, type Fault } from './provider-faults.ts'
import { below, metadataOf, type Endpoint } from './provider-metadata.ts'
import { TokenEndpoint, type TokenInfo } from './token-endpoint.ts'

export interface ProviderOptions {
  /** Default: `https://tenant.example.com/`. */
  issuer?: string
  clientId?: string
  clientSecret?: string
  /** How the client has registered to prove itself. */
  registration?: Registration
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
  /** Where the answer is a JWT (JARM): what is wrong with it. */
  answer?: Forgery
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
  registration: Registration | undefined
  redirectUris: string[] | undefined
  /** Changes to the metadata; `undefined` removes. */
  metadata: Json
  /**
   * Claims of the person who logs in; those of a scope are given only if it was asked for. Later tokens of a login tell what the
   * same object says by then: change its members to change the person, assign another to let another person log in.
   */
  user: Json
  /** Names of claims that stand in UserInfo and not in the ID token. */
  onlyInUserInfo: string[] = []
  userInfoAs: 'json' | 'jwt' = 'json'
  /** Whether logins that ask for `offline_access` get a refresh token; `false`: they get none, and `scope` does not name it. */
  grantsOffline = true
  /** Lifetime of access tokens in seconds; `undefined`: unlimited, and not told. */
  accessTokenLifetime: number | undefined = 86_400
  /** Whether a refresh token is good once, and exchanged for the next; `false`: it stays as it is. */
  rotation = true
  /** For how many milliseconds the refresh token spent last may be used again, and gives one more each time: Auth0's rotation overlap. */
  reuseLeeway = 0
  /** Audiences that a refresh may ask for; not given, any. */
  audiences: Set<string> | undefined
  /**
   * The scope that a refresh is granted and told, of the parameter `scope` and for the token's audience; `undefined`: not told.
   * Not given, it is granted all that it asks for.
   */
  grantScope: ((asked: string | null, audience: string | null) => string | undefined) | undefined
  /** Whether a refresh gives an ID token too. */
  idTokenOnRefresh = true
  /** Whether tokens are bound to the key whose possession is proven; `false`: proofs are ignored, as at Auth0 for APIs that do not want them. */
  bindsTokens = true
  /** The proofs, and which nonce they need. */
  readonly proofs = new DpopProofs()
  /** What the client signs, and what of it was verified. */
  readonly clientProofs = new ClientProofs()
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

  readonly #pushed = new PushedRequests()
  readonly #tokens = new TokenEndpoint(this, claims => (this.#forgeries.idToken.take() ?? signDraft)(this.#draft(claims)))
  readonly #faults: Record<Endpoint, Deviations<Answer>> = {
    discovery: new Deviations(),
    jwks: new Deviations(),
    token: new Deviations(),
    userinfo: new Deviations(),
    par: new Deviations(),
    revocation: new Deviations(),
    introspection: new Deviations()
  }

  readonly #forgeries = { idToken: new Deviations<Forge>(), userinfo: new Deviations<Forge>() }
  #keysMade = 1

  constructor (options: ProviderOptions = {}) {
    this.issuer = options.issuer ?? 'https://tenant.example.com/'
    this.clientId = options.clientId ?? 'client-id'
    this.clientSecret = options.clientSecret ?? 'client-secret-of-the-tests'
    this.registration = options.registration
    this.redirectUris = options.redirectUris
    this.metadata = options.metadata ?? {}
    this.user = options.user ?? { ...ada }
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

  /** The calls to the token endpoint with a refresh token, oldest first. */
  get refreshes (): Call[] { return this.callsTo('token').filter(({ params }) => params.get('grant_type') === 'refresh_token') }

  /** How often a spent refresh token was used, which revoked its family. */
  get reuses (): number { return this.#tokens.refreshTokens.reuses }

  /** What is behind an access token; `null` if the provider did not give it out. */
  tokenInfo (accessToken: string): TokenInfo | null { return this.#tokens.tokenInfo(accessToken) }

  /** Whether this refresh token's family was revoked, by the client, for reuse or by `revokeAll`. Throws if it is unknown. */
  isRevoked (refreshToken: string): boolean { return this.#tokens.refreshTokens.isRevoked(refreshToken) }

  /** Revokes every refresh token there is, as an administrator does. */
  revokeAll (): void { this.#tokens.refreshTokens.revokeAll() }

  /** The provider's metadata (OpenID Connect Discovery 1.0 §3). */
  get document (): Json {
    const signed = this.userInfoAs === 'jwt' ? { userinfo_signing_alg_values_supported: ['RS256'] } : {}
    return change({ ...metadataOf(this.issuer), ...signed }, this.metadata)
  }

  /**
   * Does what happens between authorization request and callback: checks the request, lets the person log in, and says where
   * the browser goes next. Throws what is wrong with the request.
   */
  authorize (url: string | URL, { callback = {}, answer = {}, user = this.user }: AuthorizeOptions = {}): Callback {
    const { origin, pathname, searchParams } = new URL(url)
    if (origin + pathname !== this.document.authorization_endpoint) throw new OAuthError('invalid_request', `not our authorization endpoint: ${origin}${pathname}`)
    const mustPush = this.document.require_pushed_authorization_requests === true
    const request = searchParams.has('request_uri') || mustPush ? this.#pushed.take(searchParams) : this.#unfold(searchParams)
    checkRequest(request, this.clientId, this.redirectUris)
    this.authorizations.push(request)
    this.#keepSecret(request.get('state'), request.get('nonce'))

    const honest: AuthorizeOptions['callback'] = { state: request.get('state')! }
    if (callback.error === undefined) honest.code = this.#tokens.codes.issue({ request, user, authTime: Math.floor(Date.now() / 1000), sid: random('sid') })
    if (this.document.authorization_response_iss_parameter_supported === true) honest.iss = this.issuer
    const mode = request.get('response_mode') ?? 'query'
    const answered = change(honest, callback)
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries(mode.endsWith('jwt') ? { response: this.#signAnswer(answered, answer) } : answered)) {
      for (const one of [value].flat()) parameters.append(name, one as string)
    }
    this.#keepSecret(answered.code as string, parameters.get('response'))

    const target = new URL(request.get('redirect_uri')!)
    if (mode.startsWith('form_post')) return { method: 'POST', url: target, parameters, request }
    for (const [name, value] of parameters) target.searchParams.append(name, value)
    return { method: 'GET', url: target, parameters, request }
  }

  /** Logs out, by Auth0's `/v2/logout` or the `end_session_endpoint`, and says where the browser goes next, if anywhere. */
  logout (url: string | URL): URL | null {
    const { origin, pathname, searchParams } = new URL(url)
    const isAuth0 = origin + pathname === below(this.issuer, '/v2/logout')
    if (!isAuth0 && origin + pathname !== this.document.end_session_endpoint) throw new OAuthError('invalid_request', `not a logout endpoint: ${origin}${pathname}`)
    this.logouts.push(searchParams)
    const next = searchParams.get(isAuth0 ? 'returnTo' : 'post_logout_redirect_uri')
    if (next === null) return null
    const target = new URL(next)
    if (searchParams.has('state')) target.searchParams.set('state', searchParams.get('state')!)
    return target
  }

  /** A logout token of all sessions of `user`, unless it is changed (OpenID Connect Back-Channel Logout 1.0 §2.4). */
  logoutToken (forgery: Forgery = {}): string {
    const token = forgeFor(forgery)(logoutDraft(this))
    this.#keepSecret(token)
    return token
  }

  /** An access token for an API that verifies it itself, unless it is changed (RFC 9068 §2). */
  accessToken (forgery: Forgery = {}): string {
    const token = forgeFor(forgery)(accessDraft(this))
    this.#keepSecret(token)
    return token
  }

  /** To be given to a client as its `fetch`. Honours `signal` and `redirect`. */
  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    const signal = init?.signal ?? request.signal
    const call = await readCall(this.issuer, request)
    this.calls.push(call)
    this.#keepSecret(call.params.get('code_verifier'))
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

  #answer (call: Call): Response {
    try {
      return this.#answers[call.endpoint ?? 'nothing'](call)
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      if (error.error === 'use_dpop_nonce') return this.#askForNonce(error, call)
      return answer({ error: error.error, error_description: error.description }, error.status)
    }
  }

  readonly #answers: Record<Endpoint | 'attacker' | 'nothing', (call: Call) => Response> = {
    discovery: () => answer(this.document),
    jwks: () => answer({ keys: this.jwks }),
    token: call => this.#token(call),
    userinfo: call => this.#userInfo(call),
    par: call => this.#push(call),
    revocation: call => this.#revoke(call),
    introspection: call => this.#introspect(call),
    attacker: call => this.#asAttacker(call),
    nothing: () => answer({ error: 'not_found' }, 404)
  }

  /** In the words of a token endpoint, and in those of an API (RFC 9449 §8, §9). */
  #askForNonce ({ error, description }: OAuthError, { endpoint }: Call): Response {
    const headers = { 'dpop-nonce': String(this.proofs.nonce) }
    if (endpoint === 'token') return answer({ error, error_description: description }, 400, headers)
    return answer({}, 401, { ...headers, 'www-authenticate': `DPoP error="${error}"` })
  }

  #token (call: Call): Response {
    this.#checkPost(call)
    const tokens = this.#tokens.answer(call.params, this.bindsTokens ? this.proofs.check(call) : null)
    this.#keepSecret(tokens.access_token, tokens.id_token, tokens.refresh_token)
    return answer(tokens, 200, { 'cache-control': 'no-store' })
  }

  /** Also content with a token that is unknown, or none of refresh (RFC 7009 §2.2). */
  #revoke (call: Call): Response {
    this.#checkPost(call)
    const token = call.params.get('token')
    if (token === null) throw new OAuthError('invalid_request', 'token is missing')
    this.#tokens.refreshTokens.revoke(token)
    return new Response()
  }

  /** Tells of access tokens, and of nothing else (RFC 7662 §2.2). */
  #introspect (call: Call): Response {
    this.#checkPost(call)
    const info = this.#tokens.tokenInfo(call.params.get('token') ?? '')
    const isOver = info?.expiresAt != null && info.expiresAt <= Date.now() / 1000
    if (info === null || isOver) return answer({ active: false })
    const { audience, scope, sub, expiresAt, jkt } = info
    return answer({ active: true, iss: this.issuer, aud: audience, sub, scope, exp: expiresAt, client_id: this.clientId, token_type: 'Bearer', ...jkt !== null && { cnf: { jkt } } })
  }

  #checkPost ({ method, headers, params }: Call): void {
    if (method !== 'POST') throw new OAuthError('invalid_request', 'Only POST is answered here', 405)
    this.#checkClient(headers, params)
  }

  #checkClient (headers: Headers, params: URLSearchParams): void {
    this.#keepSecret(params.get('client_assertion'))
    this.clientProofs.check(headers, params, this.#client, this.registration)
  }

  get #client () {
    return { id: this.clientId, secret: this.clientSecret, issuer: this.issuer }
  }

  /** Takes a request out of its request object, where it is in one, as it has to be where that is demanded. */
  #unfold (parameters: URLSearchParams): URLSearchParams {
    if (parameters.has('request')) return this.clientProofs.unfold(parameters, this.#client, this.registration)
    if (this.document.require_signed_request_object === true) throw new OAuthError('invalid_request', 'requests must be signed')
    return parameters
  }

  /** JARM §2.1. */
  #signAnswer (answered: Json, forgery: Forgery): string {
    const iat = Math.floor(Date.now() / 1000)
    return forgeFor(forgery)(this.#draft({ iat, exp: iat + 600, aud: this.clientId, ...answered, iss: answered.iss ?? this.issuer }))
  }

  #draft (claims: Json): Draft {
    return { header: { alg: 'RS256', typ: 'JWT', kid: this.key.kid }, claims, key: this.key, clientSecret: this.clientSecret }
  }

  #userInfo ({ method, url, headers }: Call): Response {
    const [scheme, accessToken = ''] = headers.get('authorization')?.split(' ') ?? []
    const isProven = scheme === 'DPoP' && this.#tokens.tokenInfo(accessToken)?.jkt === this.proofs.check({ method, url, headers, accessToken })
    const isBearer = scheme === 'Bearer' && this.#tokens.tokenInfo(accessToken)?.jkt === null
    const grant = isProven || isBearer ? this.#tokens.grantOf(accessToken) : null
    if (grant === null) return answer({ error: 'invalid_token' }, 401, { 'www-authenticate': 'Bearer error="invalid_token"' })
    const claims = claimsOf(grant)
    if (this.userInfoAs === 'json') return answer(claims)
    const forge = this.#forgeries.userinfo.take() ?? signDraft
    return new Response(forge(this.#draft({ ...claims, iss: this.issuer, aud: this.clientId })), { headers: { 'content-type': 'application/jwt' } })
  }

  #push ({ headers, params }: Call): Response {
    this.#checkClient(headers, params)
    const sent = new URLSearchParams([...params].filter(([name]) => !['client_secret', 'client_assertion', 'client_assertion_type'].includes(name)))
    sent.set('client_id', this.clientId)
    const request = this.#unfold(sent)
    checkRequest(request, this.clientId, this.redirectUris)
    return answer({ request_uri: this.#pushed.push(request), expires_in: 30 }, 201)
  }

  /** The attacker publishes keys, and answers in the provider's stead whoever follows a redirect. */
  #asAttacker (call: Call): Response {
    if (call.path === '/jwks.json') return answer({ keys: [publicJwk(attackerKey())] })
    if (call.path === '/chain.pem') return new Response(`-----BEGIN CERTIFICATE-----\n${attackerCertificate().toString('base64')}\n-----END CERTIFICATE-----\n`)
    return this.#answer({ ...call, endpoint: this.calls.findLast(({ endpoint }) => endpoint !== 'attacker')?.endpoint ?? null })
  }

  #keepSecret (...secrets: Array<string | null | undefined>): void {
    for (const secret of secrets) if (secret) this.secrets.add(secret)
  }
}

/** Makes an OpenID provider in memory. */
export const createProvider = (options?: ProviderOptions): Provider => new Provider(options)
