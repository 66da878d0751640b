import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { FST_AUTH0_OPTIONS_INVALID, MemoryStore, type Auth0Options } from '../lib/index.ts'
import { parseOptions } from '../lib/parse-options.ts'
import { secret } from './helpers/app.ts'

const environment = {
  AUTH0_DOMAIN: 'tenant.example.com',
  AUTH0_CLIENT_ID: 'client-from-environment',
  AUTH0_CLIENT_SECRET: 'client-secret-from-environment',
  AUTH0_SECRET: secret,
  APP_BASE_URL: 'https://app.example.com'
}

t.test('the environment is enough', async t => {
  const config = parse()
  t.equal(config.preset.issuer.href, 'https://tenant.example.com/')
  t.match(config, { clientId: 'client-from-environment', clientSecret: 'client-secret-from-environment', secrets: [secret], appBaseUrls: ['https://app.example.com'] })
})

t.test('what is not given has the documented default', async t => {
  const { fetch, preset, ...config } = parse()
  t.same(config, {
    name: 'auth0',
    clientId: 'client-from-environment',
    clientSecret: 'client-secret-from-environment',
    clientAuthMethod: 'client_secret_post',
    clientAssertionAudience: 'issuer',
    clientKey: null,
    clientCertificate: null,
    signedAuthorizationRequests: false,
    pushedAuthorizationRequests: false,
    dpop: false,
    hasLogins: true,
    requirePolicy: false,
    userInfo: 'missing',
    httpTimeout: 5000,
    clockTolerance: 30,
    secrets: [secret],
    appBaseUrls: ['https://app.example.com'],
    isSecure: true,
    redirectUri: null,
    routes: { login: '/login', callback: '/callback', logout: '/logout', backchannelLogout: null },
    paths: { login: '/login', callback: '/callback', logout: '/logout', backchannelLogout: null },
    authorizationParams: { scope: 'openid profile email' },
    isFormPost: false,
    isJwtAnswer: false,
    session: { idleTimeout: 86_400, absoluteTimeout: 259_200 },
    store: null,
    maxSessions: null,
    revocations: null,
    api: null,
    acceptUntypedLogoutTokens: false,
    revokeOnBackchannelLogout: false,
    cookie: { name: '__Host-auth0', sameSite: 'lax', maxSize: 12_288 },
    rolesClaim: ['roles'],
    permissionsClaim: ['permissions'],
    onLogin: undefined,
    onLogout: undefined,
    onError: undefined
  })
})

t.test('fetch is the global one of the moment, which a tracer may replace', async t => {
  t.intercept(globalThis, 'fetch', { value: async () => 'replaced' })
  t.equal(await parse().fetch('https://tenant.example.com/'), 'replaced')
})

t.test('every option is known, and arrives', async t => {
  const privateKey = createPrivateKey(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const all: Required<Omit<Auth0Options, 'issuer' | 'redirectUri' | 'clientCertificate'>> = {
    domain: 'login.example.com',
    clientId: 'id',
    clientSecret: 'a secret of thirty-two characters',
    secret: [secret, secret.toUpperCase()],
    appBaseUrl: ['https://a.example.com/shop/', 'https://b.example.com'],
    authorizationParams: { scope: 'openid', audience: 'https://api.example.com', max_age: 60, response_mode: 'form_post', acr_values: '2' },
    routes: { login: '/in', callback: '/back', logout: false, backchannelLogout: '/ended' },
    session: { idleTimeout: 60, absoluteTimeout: 120, cookie: { name: 'sid', sameSite: 'strict', maxSize: 8000 } },
    revocations: { redis: 'rediss://redis.example.com:6380/2' },
    acceptUntypedLogoutTokens: true,
    revokeOnBackchannelLogout: true,
    api: {
      audience: 'https://api.example.com',
      algorithms: ['ES256'],
      issuers: [{ issuer: 'https://id.example.com/realms/a', audience: ['a', 'b'], algorithms: ['PS256'], acceptUntypedTokens: true, clockTolerance: 5, rolesClaim: ['realm_access', 'roles'], permissionsClaim: 'rights' }],
      acceptUntypedTokens: false,
      resource: 'https://a.example.com/api',
      scopesSupported: ['read'],
      cache: false,
      introspection: true,
      dpop: 'required',
      dpopNonce: true,
      isRevoked: () => false
    },
    requirePolicy: true,
    userInfo: false,
    rolesClaim: 'https://example.com/roles',
    permissionsClaim: ['realm_access', 'roles'],
    pushedAuthorizationRequests: true,
    dpop: true,
    clientAuthMethod: 'client_secret_jwt',
    clientAssertionAudience: 'token_endpoint',
    clientPrivateKey: { key: privateKey, kid: 'key-1', 'x5t#S256': 'thumbprint' },
    signedAuthorizationRequests: true,
    onLogin () {},
    onRefresh () {},
    onLogout () {},
    onError () {},
    name: 'staff',
    fetch: async () => new Response(),
    httpTimeout: 1000,
    clockTolerance: 0,
    prefix: '/app'
  }
  const { preset, ...config } = parseOptions({ ...all, logLevel: 'warn', logSerializers: {} } as Auth0Options, {}, '')
  const { domain, secret: secrets, appBaseUrl, prefix, clientPrivateKey, ...rest } = all
  t.equal(preset.issuer.href, `https://${domain}/`)
  t.same(config, {
    ...rest,
    hasLogins: true,
    clientKey: { privateKey, algorithm: 'ES384', names: { kid: 'key-1', 'x5t#S256': 'thumbprint' } },
    clientCertificate: null,
    secrets,
    appBaseUrls: ['https://a.example.com/shop', 'https://b.example.com'],
    isSecure: true,
    redirectUri: null,
    routes: { login: '/in', callback: '/back', logout: null, backchannelLogout: '/ended' },
    paths: { login: '/app/in', callback: '/app/back', logout: null, backchannelLogout: '/app/ended' },
    store: null,
    maxSessions: null,
    revocations: { redis: { connection: 'rediss://redis.example.com:6380/2' } },
    api: {
      issuers: [
        { issuer: 'https://login.example.com/', isOwn: true, audiences: ['https://api.example.com'], algorithms: ['ES256'], secret: null, mustBeTyped: true, clockTolerance: 0, rolesClaim: null, permissionsClaim: null },
        { issuer: 'https://id.example.com/realms/a', isOwn: false, audiences: ['a', 'b'], algorithms: ['PS256'], secret: null, mustBeTyped: false, clockTolerance: 5, rolesClaim: ['realm_access', 'roles'], permissionsClaim: ['rights'] }
      ],
      resource: 'https://a.example.com/api',
      scopesSupported: ['read'],
      isCached: false,
      introspection: { audiences: ['https://api.example.com'] },
      dpop: 'required',
      dpopNonce: true,
      isRevoked: all.api.isRevoked
    },
    authorizationParams: { ...all.authorizationParams, max_age: '60' },
    isFormPost: true,
    isJwtAnswer: false,
    session: { idleTimeout: 60, absoluteTimeout: 120 },
    cookie: { name: '__Host-sid', sameSite: 'strict', maxSize: 8000 },
    rolesClaim: ['https://example.com/roles']
  })
})

const chosen: Array<[name: string, options: Auth0Options, variables: Record<string, string>, expected: object]> = [
  ['an option wins over its variable', { clientId: 'given', authorizationParams: { scope: 'openid' } }, { AUTH0_SCOPE: 'openid email' }, { clientId: 'given', authorizationParams: { scope: 'openid' } }],
  ['scope and audience come from the environment, too', {}, { AUTH0_SCOPE: 'openid email', AUTH0_AUDIENCE: 'https://api' }, { authorizationParams: { scope: 'openid email', audience: 'https://api' } }],
  ['an undefined option is one not given', { clientId: undefined, authorizationParams: { scope: undefined } }, {}, { clientId: 'client-from-environment', authorizationParams: { scope: 'openid profile email' } }],
  ['an empty variable is one not given', {}, { AUTH0_ISSUER: '', AUTH0_SCOPE: '', AUTH0_REDIRECT_URI: '' }, { preset: { issuer: new URL('https://tenant.example.com/') }, authorizationParams: { scope: 'openid profile email' }, redirectUri: null }],
  ['an issuer wins over the variable of a domain', { issuer: 'https://id.example.com:8443/realms/a' }, {}, { preset: { issuer: new URL('https://id.example.com:8443/realms/a') } }],
  ['a domain wins over the variable of an issuer', { domain: 'other.example.com' }, { AUTH0_ISSUER: 'https://id.example.com' }, { preset: { issuer: new URL('https://other.example.com/') } }],
  ['a provider on this machine may use http', { issuer: 'http://[::1]:9000/' }, {}, { preset: { issuer: new URL('http://[::1]:9000/') } }],
  ['a domain on this machine means http', { domain: 'localhost:4000' }, {}, { preset: { issuer: new URL('http://localhost:4000/') } }],
  ['http on this machine may stay in production', { appBaseUrl: 'http://localhost:3000' }, { NODE_ENV: 'production' }, { isSecure: false, cookie: { name: 'auth0' } }],
  ['http elsewhere may be tried out', { appBaseUrl: 'http://192.168.1.9:3000' }, { NODE_ENV: 'development' }, { isSecure: false }],
  ['form_post works with http on this machine', { appBaseUrl: 'http://localhost:3000', authorizationParams: { response_mode: 'form_post' } }, {}, { isFormPost: true }],
  ['sessions idle for long may last as long', { session: { idleTimeout: 604_800 } }, {}, { session: { idleTimeout: 604_800, absoluteTimeout: 604_800 } }],
  ['the one response type may be said', { authorizationParams: { response_type: 'code' } }, {}, { authorizationParams: { response_type: 'code' } }],
  ['a secret may have any characters', { secret: 'x<9]w>Zq[4;k"Vb{2}Tn$8(m)Lp%0&Rd*Hs' }, {}, {}]
]
const store = new MemoryStore()
const foreign = { get () {}, set () {}, destroy () {} }
const client = { status: 'ready', async connect () {}, async call () {}, on () {}, off () {} }
const cookies = { store: null, maxSessions: null, revocations: null, routes: { backchannelLogout: null } }
const known = { routes: { backchannelLogout: '/backchannel-logout' }, paths: { backchannelLogout: '/backchannel-logout' } }
const kept: typeof chosen = [
  ['sessions in Redis, by URL', { session: { redis: 'redis://:pw@redis:6379/1' } }, {}, { ...known, store: { redis: { connection: 'redis://:pw@redis:6379/1' } } }],
  ['sessions in Redis, by URL with TLS', { session: { redis: 'rediss://redis' } }, {}, { store: { redis: { connection: 'rediss://redis' } } }],
  ['sessions in Redis, by options of ioredis', { session: { redis: { sentinels: [], name: 'main' } } }, {}, { ...known, store: { redis: { connection: { sentinels: [], name: 'main' } } } }],
  ['options of ioredis need no prototype', { session: { redis: Object.assign(Object.create(null), { host: 'redis' }) } }, {}, { store: { redis: { connection: { host: 'redis' } } } }],
  ['sessions in Redis, by a client', { session: { redis: client } }, {}, { ...known, store: { redis: { client } } }],
  ['sessions in a store of ours', { session: { store } }, {}, { ...known, store: { given: store } }],
  ['sessions in a store of others', { session: { store: foreign } }, {}, { ...cookies, store: { given: foreign } }],
  ['sessions in a store of others, with revocations', { session: { store: foreign }, revocations: {} }, {}, { ...known, store: { given: foreign }, revocations: { redis: null } }],
  ['encrypted cookies with revocations', { revocations: { redis: client } }, {}, { ...known, store: null, revocations: { redis: { client } } }],
  ['what is undefined is not given', { session: { redis: undefined, store: undefined }, revocations: undefined as never }, {}, cookies],
  ['at most so many sessions', { session: { store, maxSessions: 3 } }, {}, { maxSessions: { limit: 3, onExceed: 'end-oldest' } }],
  ['at most so many sessions, as an object', { session: { store, maxSessions: { limit: 1000 } } }, {}, { maxSessions: { limit: 1000, onExceed: 'end-oldest' } }],
  ['at most so many sessions, and no more', { session: { store, maxSessions: { limit: 1, onExceed: 'refuse-login' } } }, {}, { maxSessions: { limit: 1, onExceed: 'refuse-login' } }],
  ['back-channel logout left out', { session: { store }, routes: { backchannelLogout: false } }, {}, { routes: { backchannelLogout: null }, paths: { backchannelLogout: null } }],
  ['back-channel logout left out where there could be none', { routes: { backchannelLogout: false } }, {}, cookies]
]
for (const [name, options, variables, expected] of [...chosen, ...kept]) {
  t.test(name, async t => t.match(parse(options, variables), expected))
}

/** Prefix of the Fastify instance, options, and what comes of them. */
const derived: Array<[name: string, prefix: string, options: Auth0Options, callback: string | null, redirectUri: string | null, appBaseUrls: string[]]> = [
  ['a redirectUri alone gives base URL and callback', '', { redirectUri: 'https://b.example.com/auth/cb' }, '/auth/cb', 'https://b.example.com/auth/cb', ['https://b.example.com']],
  ['a redirectUri at the root is a callback, too', '', { redirectUri: 'https://b.example.com' }, '/', 'https://b.example.com/', ['https://b.example.com']],
  ['a redirectUri below a base URL with a path', '', { redirectUri: 'https://b.example.com/shop/cb', appBaseUrl: 'https://b.example.com/shop' }, '/cb', 'https://b.example.com/shop/cb', ['https://b.example.com/shop']],
  ['a redirectUri below prefixes', '/outer', { redirectUri: 'https://b.example.com/outer/inner/cb', prefix: '/inner' }, '/outer/inner/cb', 'https://b.example.com/outer/inner/cb', ['https://b.example.com']],
  ['a redirectUri and the same callback', '', { redirectUri: 'https://b.example.com/cb', routes: { callback: '/cb' } }, '/cb', 'https://b.example.com/cb', ['https://b.example.com']],
  ['a redirectUri and a callback of one\'s own', '', { redirectUri: 'https://b.example.com/cb', routes: { callback: false } }, null, 'https://b.example.com/cb', ['https://b.example.com']],
  ['a prefix is joined as Fastify joins it', '/outer/', { prefix: 'inner/', appBaseUrl: 'https://b.example.com' }, '/outer/inner/callback', null, ['https://b.example.com']],
  ['a prefix that is just a slash is none', '', { prefix: '/', appBaseUrl: 'https://b.example.com' }, '/callback', null, ['https://b.example.com']],
  ['a base URL is written one way', '', { appBaseUrl: 'HTTPS://B.example.com:443/Shop//' }, '/callback', null, ['https://b.example.com/Shop']]
]
for (const [name, prefix, options, callback, redirectUri, appBaseUrls] of derived) {
  t.test(name, async t => {
    const config = parseOptions({ ...environmentAsOptions(), appBaseUrl: undefined, ...options }, {}, prefix)
    t.same([config.paths.callback, config.redirectUri, config.appBaseUrls], [callback, redirectUri, appBaseUrls])
  })
}

t.test('the object of the caller is not changed, nor needed later', async t => {
  const options = deepFreeze({ ...environmentAsOptions(), secret: [secret], rolesClaim: ['a', 'b'], authorizationParams: { max_age: 5 }, routes: { login: '/in' }, session: { cookie: {} } } as Auth0Options)
  t.doesNotThrow(() => parseOptions(options, {}, ''))
  const secrets = [secret]
  const config = parse({ secret: secrets })
  secrets.pop()
  t.same(config.secrets, [secret])
})

t.test('the variables of provider and client are for the instance named auth0 only', async t => {
  t.same(problemsOf({ name: 'staff' }).map(line => /"(\w+)"/.exec(line)?.[1]), ['domain', 'clientId', 'clientSecret'])
  t.notMatch(problemsOf({ name: 'staff' }).join(), 'AUTH0_', 'and no message sends people to them')
  const own = { name: 'staff', domain: 'staff.example.com', clientId: 'id', clientSecret: 'shh' }
  const more = { AUTH0_SCOPE: 'openid email', AUTH0_AUDIENCE: 'https://api', AUTH0_REDIRECT_URI: 'https://other.example.com/cb' }
  t.match(parse(own, more), { clientId: 'id', secrets: [secret], appBaseUrls: ['https://app.example.com'], redirectUri: null, authorizationParams: { scope: 'openid profile email', audience: undefined } })
  t.match(problemsOf({ ...own, appBaseUrl: 'http://app.example.com' }, { NODE_ENV: 'production' }), [/"appBaseUrl" must be https in production/])
})

t.test('everything wrong is listed at once', async t => {
  t.throws(() => parseOptions({ httpTimeout: 0 }, {}, ''), FST_AUTH0_OPTIONS_INVALID)
  const problems = problemsOf({ scopes: 'openid', routes: { login: 'login' }, httpTimeout: 0, session: { idleTimeout: -1 } } as Auth0Options, Object.fromEntries(Object.keys(environment).map(name => [name, ''])))
  t.same(problems.map(line => /"([\w.]+)"/.exec(line)?.[1]).sort(), ['appBaseUrl', 'clientId', 'clientSecret', 'domain', 'httpTimeout', 'routes.login', 'scopes', 'secret', 'session.idleTimeout'])
})

function parse (options: Auth0Options = {}, variables: Record<string, string> = {}) {
  return parseOptions(options, { ...environment, ...variables }, '')
}

function environmentAsOptions (): Auth0Options {
  const { AUTH0_DOMAIN: domain, AUTH0_CLIENT_ID: clientId, AUTH0_CLIENT_SECRET: clientSecret, APP_BASE_URL: appBaseUrl } = environment
  return { domain, clientId, clientSecret, secret, appBaseUrl }
}

function problemsOf (options: Auth0Options, variables: Record<string, string> = {}): string[] {
  try {
    parse(options, variables)
    return []
  } catch (error) {
    return (error as Error).message.split('\n').slice(1)
  }
}

function deepFreeze<T extends object> (value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object') deepFreeze(member)
  return Object.freeze(value)
}
