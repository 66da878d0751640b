import { createSecretKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import auth0, { FST_AUTH0_OPTIONS_INVALID, MemoryStore, type Auth0Options } from '../lib/index.ts'
import { secret } from './helpers/app.ts'
import { clientCertificate } from './helpers/certificates.ts'
import { toPem } from './helpers/client-keys.ts'
import { rsaKey } from './helpers/id-tokens.ts'

const good = { domain: 'tenant.example.com', clientId: 'client-id', clientSecret: 'client-secret-of-the-tests', secret, appBaseUrl: 'https://app.example.com' }
const noDomain = { domain: undefined }

/** What is given over the good options, the one problem that must be named, and its remedy. */
type Refusal = [name: string, options: Record<string, unknown>, option: string, remedy: RegExp | string]

const provider: Refusal[] = [
  ['no provider', noDomain, 'domain', 'AUTH0_DOMAIN; for another provider give "issuer", as option or in AUTH0_ISSUER'],
  ['two providers', { issuer: 'https://id.example.com' }, 'issuer', 'and "domain" exclude each other'],
  ['a domain with https://', { domain: 'https://tenant.eu.auth0.com' }, 'domain', 'must be "tenant.eu.auth0.com", without "https://" in front'],
  ['a domain with a slash behind', { domain: 'tenant.eu.auth0.com/' }, 'domain', 'without a slash or path behind'],
  ['a domain with a path', { domain: 'https://tenant.eu.auth0.com/api/v2' }, 'domain', 'must be "tenant.eu.auth0.com", without'],
  ['a domain with another scheme', { domain: 'ftp://tenant.eu.auth0.com' }, 'domain', 'must be a bare host such as "tenant.eu.auth0.com"'],
  ...['', 'a b', 'user@tenant.example.com', 'tenant..com:', 'tenant.example.com:99999', '1.2.3.4.5', '0x7f.1', '*.example.com', 'https://user:hidden-value@host', 5, null]
    .map((domain): Refusal => [`the domain ${JSON.stringify(domain)}`, { domain }, 'domain', /must be (a bare|"host")|is missing/]),
  ['an issuer that is no URL', { ...noDomain, issuer: 'id.example.com' }, 'issuer', 'must be an absolute URL'],
  ['F3 an http issuer off this machine (RFC 9700 §2.6)', { ...noDomain, issuer: 'http://id.example.com' }, 'issuer', 'must be https: only a provider on this machine may use http'],
  ['F3 an http issuer that only begins like this machine', { ...noDomain, issuer: 'http://localhost.example.com' }, 'issuer', 'must be https'],
  ['F3 an http issuer whose domain only begins like an address of this machine', { ...noDomain, issuer: 'http://127.0.0.1.example.com' }, 'issuer', 'must be https'],
  ['the address of the metadata for the issuer (OpenID Connect Discovery 1.0 §4.3)', { ...noDomain, issuer: 'https://id.example.com/.well-known/openid-configuration' }, 'issuer', 'without "/.well-known/'],
  ['no client id', { clientId: undefined }, 'clientId', 'is missing: give the "Client ID" of the application at the provider, as option or in AUTH0_CLIENT_ID'],
  ['an empty client secret', { clientSecret: '' }, 'clientSecret', 'is missing: give the "Client Secret" of the application at the provider, as option or in AUTH0_CLIENT_SECRET'],
  ['a client id that is no string', { clientId: 5 }, 'clientId', 'is missing'],
  ['an unknown client authentication', { clientAuthMethod: 'none' }, 'clientAuthMethod', 'must be one of "client_secret_post", "client_secret_basic", "client_secret_jwt", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"'],
  ['signed requests that are neither on nor off', { signedAuthorizationRequests: 'yes' }, 'signedAuthorizationRequests', 'must be one of true, false'],
  ['PAR that is neither on nor off', { pushedAuthorizationRequests: 'yes' }, 'pushedAuthorizationRequests', 'must be one of true, false'],
  ['a requirePolicy that is neither on nor off', { requirePolicy: 'yes' }, 'requirePolicy', 'must be one of true, false'],
  ['an unknown UserInfo policy', { userInfo: true }, 'userInfo', 'must be one of "missing", "always", false'],
  ['a fetch that is none', { fetch: 'https://proxy' }, 'fetch', 'must be a function'],
  ...[0, -1, 1.5, NaN, Infinity, 600_001, '5', null].map((httpTimeout): Refusal => [`a time-out of ${httpTimeout}`, { httpTimeout }, 'httpTimeout', 'must be a whole number of milliseconds from 1 to 600000']),
  ...[-1, 301].map((clockTolerance): Refusal => [`a clock ${clockTolerance} s off`, { clockTolerance }, 'clockTolerance', 'must be a whole number of seconds from 0 to 300'])
]

const rsa = rsaKey('client').privateKey
const [jwk, otherJwk] = [rsa, rsaKey('other client').privateKey].map(key => key.export({ format: 'jwk' })) as [JsonWebKey, JsonWebKey]
const { d, p, q, dp, dq, qi, ...publicJwk } = jwk
const encrypted = rsa.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'passphrase' })
const { cert, key } = clientCertificate()
const withKey = (clientPrivateKey: unknown) => ({ clientAuthMethod: 'private_key_jwt', clientSecret: undefined, clientPrivateKey })
const mutualTls = { clientAuthMethod: 'tls_client_auth', clientSecret: undefined }
const withCertificate = (given: unknown) => ({ ...mutualTls, clientCertificate: given })
const notUsed = 'is not used with "clientAuthMethod"'
const isPublic = 'is a public key or a certificate: give the private key'
const noKey = 'must be a private key: PEM text, a JWK, or a KeyObject'
const noCertificate = 'must be a certificate as PEM text, which begins with "-----BEGIN CERTIFICATE-----"'

const authentication: Refusal[] = [
  ['no private key', withKey(undefined), 'clientPrivateKey', 'is missing: give the key whose public half the provider knows, as option or in AUTH0_CLIENT_PRIVATE_KEY'],
  ['null for a private key', withKey(null), 'clientPrivateKey', 'is missing'],
  ['no private key for signed requests', { signedAuthorizationRequests: true }, 'clientPrivateKey', 'is missing'],
  ['a public key as PEM', withKey(toPem(rsaKey('client').publicKey)), 'clientPrivateKey', isPublic],
  ['a public key as JWK', withKey(publicJwk), 'clientPrivateKey', isPublic],
  ['a certificate for the key', withKey(cert), 'clientPrivateKey', isPublic],
  ['a public KeyObject', withKey(rsaKey('client').publicKey), 'clientPrivateKey', 'is a public key: give the private one'],
  ['a secret KeyObject', withKey(createSecretKey(Buffer.alloc(32))), 'clientPrivateKey', 'is a secret key: give the private one'],
  ['an encrypted key', withKey(encrypted), 'clientPrivateKey', 'is encrypted: decrypt it, e.g. by "openssl pkcs8'],
  ...[5, '', 'a word', '{"kty":', [], true, { kty: 'oct', k: 'c2VjcmV0' }, { kty: 'RSA' }, { key: null }, { key: [] }].map((key): Refusal => [`the private key ${JSON.stringify(key)}`, withKey(key), 'clientPrivateKey', noKey]),
  ['RSA of 2047 bits (RFC 7518 §3.3)', withKey(generateKeyPairSync('rsa', { modulusLength: 2047 }).privateKey), 'clientPrivateKey', 'must have 2048 bits or more'],
  ...[generateKeyPairSync('ec', { namedCurve: 'secp256k1' }), generateKeyPairSync('x25519'), generateKeyPairSync('ed448'), generateKeyPairSync('rsa-pss', { modulusLength: 2048 }), generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 })]
    .map(({ privateKey }): Refusal => [`a key of ${privateKey.asymmetricKeyType}`, withKey(privateKey), 'clientPrivateKey', 'must be a private key of RSA, EC (P-256, P-384, P-521) or Ed25519']),
  ...['ES256', 'HS256', 'none', 'RSA-OAEP', '', 5, null, 'toString'].map((alg): Refusal => [`${JSON.stringify(alg)} by an RSA key`, withKey({ key: rsa, alg }), 'clientPrivateKey', 'cannot sign what its "alg" says: this key signs RS256, RS384']),
  ['a JWK for another algorithm', withKey({ ...jwk, alg: 'ES256' }), 'clientPrivateKey', 'cannot sign what its "alg" says'],
  ['a JWK with the halves of two keys', withKey({ ...jwk, n: otherJwk.n }), 'clientPrivateKey', 'has parts of two keys'],
  ...['', 5, null].map((kid): Refusal => [`the kid ${JSON.stringify(kid)}`, withKey({ key: rsa, kid }), 'clientPrivateKey', 'has a "kid" that is no text']),
  ['a thumbprint that is no text', withKey({ key: rsa, 'x5t#S256': Buffer.alloc(32) }), 'clientPrivateKey', 'has a "x5t#S256" that is no text'],
  ['a slip in the name of a key', withKey({ key: rsa, kit: 'key-1' }), 'clientPrivateKey.kit', 'is unknown. Did you mean "clientPrivateKey.kid"?'],
  ['a private key with a method that has a secret', { clientPrivateKey: rsa }, 'clientPrivateKey', `${notUsed} client_secret_post: set that to "private_key_jwt", or "signedAuthorizationRequests" to true`],
  ['a secret with a method that has a key', { ...withKey(rsa), clientSecret: 'shh' }, 'clientSecret', `${notUsed} private_key_jwt: leave it out`],
  ['a secret that is too short to sign with (RFC 7518 §3.2)', { clientAuthMethod: 'client_secret_jwt', clientSecret: 'ü'.repeat(15) + 'x' }, 'clientSecret', 'is too short for "client_secret_jwt", which needs 32 bytes'],
  ['no secret to sign with', { clientAuthMethod: 'client_secret_jwt', clientSecret: undefined }, 'clientSecret', 'is missing'],
  ['an unknown audience', { ...withKey(rsa), clientAssertionAudience: 'https://id.example.com' }, 'clientAssertionAudience', 'must be one of "issuer", "token_endpoint"'],
  ['an audience of nothing', { clientAssertionAudience: 'issuer' }, 'clientAssertionAudience', `${notUsed} client_secret_post: it is of "private_key_jwt" and "client_secret_jwt"`],
  ['no certificate', mutualTls, 'clientCertificate', 'is missing: give { cert, key } as PEM text, or a "fetch" that shows a certificate'],
  ['a certificate and a fetch', { ...withCertificate({ cert, key }), fetch }, 'clientCertificate', 'and "fetch" exclude each other'],
  ['a certificate with a method that shows none', { clientCertificate: { cert, key } }, 'clientCertificate', `${notUsed} client_secret_post: set that to "tls_client_auth"`],
  ['a certificate over http', { ...withCertificate({ cert, key }), domain: 'localhost:4000' }, 'clientCertificate', 'needs a provider at https'],
  ['a secret with a certificate', { ...withCertificate({ cert, key }), clientAuthMethod: 'self_signed_tls_client_auth', clientSecret: 'shh' }, 'clientSecret', `${notUsed} self_signed_tls_client_auth`],
  ...[cert, [], null, true].map((given): Refusal => [`the certificate ${JSON.stringify(given).slice(0, 20)}`, withCertificate(given), 'clientCertificate', 'must be an object']),
  ...['cert', undefined, Buffer.from('cert'), key, 5].map((given): Refusal => [`the certificate { cert: ${String(given).slice(0, 20)} }`, withCertificate({ cert: given, key }), 'clientCertificate.cert', noCertificate]),
  ['a certificate without its key', withCertificate({ cert }), 'clientCertificate.key', noKey],
  ['a certificate twice', withCertificate({ cert, key: cert }), 'clientCertificate.key', isPublic],
  ['a certificate with the key of another', withCertificate({ cert, key: toPem(rsaKey('other client').privateKey) }), 'clientCertificate.key', 'is not the key of the certificate: give the two that were made together'],
  ['a certificate that has expired', withCertificate(clientCertificate({ to: '250101000000Z' })), 'clientCertificate.cert', /expired on Jan +1 00:00:00 2025 GMT: renew it/],
  ['a certificate of the future', withCertificate(clientCertificate({ from: '480101000000Z' })), 'clientCertificate.cert', /is not valid before Jan +1 00:00:00 2048 GMT/],
  ['roots that are none', withCertificate({ cert, key, ca: ['root'] }), 'clientCertificate.ca[0]', noCertificate],
  ['a root that is none', withCertificate({ cert, key, ca: key }), 'clientCertificate.ca', noCertificate],
  ['no roots', withCertificate({ cert, key, ca: [] }), 'clientCertificate.ca', 'must be a certificate as PEM text, or a list of them'],
  ['a slip in the certificate', withCertificate({ cert, key, certificate: cert }), 'clientCertificate.certificate', 'is unknown. Known are clientCertificate.cert']
]

const remedy = 'give 32 or more random characters, e.g. from "openssl rand -hex 32", as option or in AUTH0_SECRET'
const secrets: Refusal[] = [
  ['no secret', { secret: undefined }, 'secret', `is missing: ${remedy}`],
  ['G14 an empty secret', { secret: '' }, 'secret', `is missing: ${remedy}`],
  ['G14 an empty list of secrets', { secret: [] }, 'secret', `is missing: ${remedy}`],
  ['G14 a secret of 31 characters (RFC 8725 §3.5)', { secret: secret.slice(0, 31) }, 'secret', `is too short: ${remedy}`],
  ['a secret that is no string', { secret: Buffer.alloc(32) }, 'secret', `must be a string: ${remedy}`],
  ['a second secret that is too short', { secret: [secret, 'short'] }, 'secret[1]', `is too short: ${remedy}`],
  ['a secret that was forgotten', { secret: [secret, undefined] }, 'secret[1]', `is missing: ${remedy}`],
  ...[
    'a long, randomly-generated string stored in env', 'use [openssl rand -hex 32] to generate a 32 bytes value', 'LONG_RANDOM_VALUE_LONG_RANDOM_VALUE',
    'replace-this-with-a-secret-of-your-own-please', '<your secret here, 32 or more of them>', '[put something unguessable in this place]', '$(head -c 32 /dev/urandom | base64)',
    'changemechangemechangemechangeme', 'keyboard cat keyboard cat keyboard cat', 'a secret with minimum length of 32 characters',
    'averylogphrasebiggerthanthirtytwochars', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'abababababababcdcdcdcdcdcdcdcdcdcd'
  ].map((sample): Refusal => [`G14 the sample "${sample}"`, { secret: sample }, 'secret', `is a sample or a pattern that others can guess: ${remedy}`])
]

const noUrl = 'must be an absolute URL such as "https://app.example.com"'
const addresses: Refusal[] = [
  ['no appBaseUrl', { appBaseUrl: undefined }, 'appBaseUrl', 'is missing: give the public URL of this application, such as "http://localhost:3000", as option or in APP_BASE_URL'],
  ['an empty appBaseUrl', { appBaseUrl: '' }, 'appBaseUrl', 'is missing'],
  ['an empty list', { appBaseUrl: [] }, 'appBaseUrl', 'is missing'],
  ...['app.example.com', 'localhost:3000', '/app', 'ftp://app.example.com', 'https://', 'https://app.example.com?a', 'https://app.example.com#', 'https://me@app.example.com', 'https://:hidden-value@app.example.com',
    'https://*.example.com', 'https://app.example.com//elsewhere.example', 5, {}].map((appBaseUrl): Refusal => [`the appBaseUrl ${JSON.stringify(appBaseUrl)}`, { appBaseUrl }, 'appBaseUrl', noUrl]),
  ['one bad URL in a list', { appBaseUrl: ['https://app.example.com', 'b.example.com'] }, 'appBaseUrl[1]', noUrl],
  ['http beside https', { appBaseUrl: ['https://app.example.com', 'http://b.example.com'] }, 'appBaseUrl', 'must list URLs of one scheme'],
  ['a host twice', { appBaseUrl: ['https://app.example.com/a', 'https://app.example.com/b'] }, 'appBaseUrl', 'must list every host once'],
  ['a redirectUri that is no URL', { redirectUri: '/callback' }, 'redirectUri', noUrl],
  ['a redirectUri that another host gets', { redirectUri: 'https://other.example.com/callback' }, 'redirectUri', 'must begin with "appBaseUrl"'],
  ['a redirectUri whose host only begins like ours', { redirectUri: 'https://app.example.com.evil.com/callback' }, 'redirectUri', 'must begin with "appBaseUrl"'],
  ['a redirectUri outside the prefix', { redirectUri: 'https://app.example.com/callback', prefix: '/app' }, 'redirectUri', 'must begin with "appBaseUrl" and the prefix "/app"'],
  ['a redirectUri and another callback', { redirectUri: 'https://app.example.com/cb', routes: { callback: '/callback' } }, 'redirectUri', 'and "routes.callback" must be the same place'],
  ['a redirectUri and a list of hosts', { redirectUri: 'https://app.example.com/cb', appBaseUrl: ['https://app.example.com', 'https://b.example.com'] }, 'redirectUri', 'and a list of "appBaseUrl" exclude each other'],
  ['a redirectUri that Fastify would take for a pattern', { redirectUri: 'https://app.example.com/:tenant' }, 'routes.callback', 'must be a path such as'],
  ['a callback of one\'s own, somewhere', { routes: { callback: false } }, 'redirectUri', 'say where your own callback is'],
  ['a callback of one\'s own on another host', { routes: { callback: false }, redirectUri: 'https://other.example.com/cb' }, 'redirectUri', 'must be on the host of "appBaseUrl"'],
  ...['login', '/:tenant', '/*', '/a?b', '/a//b', '//login', '/a/../b', '/./a', '/%61', '', true, null].map((login): Refusal => [`the route ${JSON.stringify(login)}`, { routes: { login } }, 'routes.login', 'must be a path such as "/login", or false']),
  ['two routes at one path', { routes: { login: '/callback' } }, 'routes', 'must be different from each other'],
  ['routes that are no object', { routes: '/login' }, 'routes', 'must be an object'],
  ...['/:tenant', '/a//b', '//', '/*', '/..', '/a b', '.evil.com/@'].map((prefix): Refusal => [`the prefix ${prefix}`, { prefix }, 'prefix', 'must be a path such as "/app", without parameters'])
]

const others: Refusal[] = [
  ['sessions that are no object', { session: [] }, 'session', 'must be an object'],
  ['no sessions at all', { session: null }, 'session', 'must be an object'],
  ['sessions in a word', { session: 'redis' }, 'session', 'must be an object'],
  ['a cookie in a word', { session: { cookie: 'sid' } }, 'session.cookie', 'must be an object'],
  ['no idle time', { session: { idleTimeout: 0 } }, 'session.idleTimeout', 'must be a whole number of seconds from 1 to 34560000'],
  ['more than 400 days', { session: { absoluteTimeout: 34_560_001 } }, 'session.absoluteTimeout', 'must be a whole number of seconds from 1 to 34560000'],
  ['an idle time longer than the session', { session: { idleTimeout: 100, absoluteTimeout: 99 } }, 'session.idleTimeout', 'must not be longer than "session.absoluteTimeout"'],
  ['a cookie that crosses sites', { session: { cookie: { sameSite: 'none' } } }, 'session.cookie.sameSite', 'must be one of "lax", "strict"'],
  ['a cookie budget that Node cannot take', { session: { cookie: { maxSize: 65_537 } } }, 'session.cookie.maxSize', 'must be a whole number of bytes from 1 to 65536'],
  ...['a.b', 'a;b', '', 'a=b', 5, 'a'.repeat(65)].map((name): Refusal => [`the cookie name ${JSON.stringify(name)}`, { session: { cookie: { name } } }, 'session.cookie.name', 'must consist of 1 to 64 letters']),
  ...['two words', '1st', 'a-b', '', 5].map((name): Refusal => [`the name ${JSON.stringify(name)}`, { name, session: { cookie: { name: 'sid' } } }, 'name', 'must be a word that can name a property']),
  ...[[], '', ['roles', ''], [5], {}].map((rolesClaim): Refusal => [`the claim path ${JSON.stringify(rolesClaim)}`, { rolesClaim }, 'rolesClaim', 'must be the name of a claim']),
  ...['onLogin', 'onRefresh', 'onLogout', 'onError'].map((name): Refusal => [`${name} that is no function`, { [name]: {} }, name, 'must be a function']),
  ['parameters in a word', { authorizationParams: 'openid' }, 'authorizationParams', 'must be an object'],
  ['a scope without openid', { authorizationParams: { scope: 'profile email' } }, 'authorizationParams.scope', 'must contain "openid"'],
  ['a scope that only contains the letters', { authorizationParams: { scope: 'openid2 xopenid' } }, 'authorizationParams.scope', 'must contain "openid"'],
  ['a parameter that is no text', { authorizationParams: { claims: { id_token: {} } } }, 'authorizationParams.claims', 'must be a string or a number'],
  ...['id_token', '[]', 'null', '"acr"', '{'].map((claims): Refusal => [`the claims ${claims}`, { authorizationParams: { claims } }, 'authorizationParams.claims', 'must be a JSON object as text']),
  ...['account', '{}', '['].map((details): Refusal => [`the details ${details}`, { authorizationParams: { authorization_details: details } }, 'authorizationParams.authorization_details', 'must be a JSON array as text']),
  ...['token', 'id_token token', 'id_token', 'code id_token', 'code token', 'none'].map((type): Refusal =>
    [`A13 the response type "${type}" (RFC 9700 §2.1.2)`, { authorizationParams: { response_type: type } }, 'authorizationParams.response_type', 'can only be "code"']),
  ...['password', 'implicit', 'client_credentials', 'authorization_code'].map((type): Refusal =>
    [`A13 the grant "${type}" (RFC 9700 §2.4)`, { authorizationParams: { grant_type: type } }, 'authorizationParams.grant_type', 'the password grant must not be used']),
  ...['fragment', 'web_message', 'fragment.jwt', 'jwt.query', ''.padEnd(3, 'x')].map((mode): Refusal => [`the response mode ${mode}`, { authorizationParams: { response_mode: mode } }, 'authorizationParams.response_mode', 'can be "query", "form_post", "jwt", "query.jwt", "form_post.jwt"']),
  ['prompt=none for every login', { authorizationParams: { prompt: 'none' } }, 'authorizationParams.prompt', 'would send people in circles'],
  ['form_post over http', { appBaseUrl: 'http://app.example.com', authorizationParams: { response_mode: 'form_post' } }, 'authorizationParams.response_mode', 'needs an https "appBaseUrl"'],
  ['form_post.jwt over http', { appBaseUrl: 'http://app.example.com', authorizationParams: { response_mode: 'form_post.jwt' } }, 'authorizationParams.response_mode', '"form_post.jwt" needs an https "appBaseUrl"'],
  ...[-1, 1.5, NaN, 'soon'].map((age): Refusal => [`max_age ${age}`, { authorizationParams: { max_age: age } }, 'authorizationParams.max_age', 'must be a number of seconds']),
  ...['client_id', 'redirect_uri', 'state', 'nonce', 'code_challenge', 'code_challenge_method', 'request', 'request_uri'].map((name): Refusal =>
    [`a ${name} of one's own`, { authorizationParams: { [name]: 'mine' } }, `authorizationParams.${name}`, 'is not yours to set'])
]

const anyStore = { get () {}, set () {}, destroy () {} }
const memory = { store: new MemoryStore() }
const noSource = 'must be a URL such as "redis://localhost:6379", options of ioredis, or a client of ioredis such as app.redis'
const storage: Refusal[] = [
  ...['localhost:6379', 'http://localhost:6379', 'redis', '', '//localhost', 5, true, null, [], () => {}, new Map(), new URL('redis://localhost')]
    .map((redis): Refusal => [`sessions in ${typeof redis === 'object' ? redis?.constructor.name : String(redis)} for a Redis`, { session: { redis } }, 'session.redis', noSource]),
  ...['redis.example.com', 'https://redis.example.com', 7, null, [[]]].map((redis): Refusal => [`revocations in ${JSON.stringify(redis)}`, { revocations: { redis } }, 'revocations.redis', noSource]),
  ...[{}, [], 'memory', 5, null, { get () {}, set () {} }, { get () {}, set () {}, destroy: true }, MemoryStore]
    .map((store): Refusal => [`a store that is ${typeof store === 'function' ? 'a class' : JSON.stringify(store)}`, { session: { store } }, 'session.store', 'must be a store of @fastify/session: an object with get, set and destroy, such as a RedisStore']),
  ['Redis and a store', { session: { redis: 'redis://localhost', ...memory } }, 'session.store', 'and "session.redis" exclude each other'],
  ['revocations beside sessions in Redis', { session: { redis: 'redis://localhost' }, revocations: {} }, 'revocations', 'is for encrypted cookies and other stores: a RedisStore or a MemoryStore ends sessions itself. Leave it out'],
  ['revocations beside a store of ours', { session: memory, revocations: { redis: 'redis://localhost' } }, 'revocations', 'Leave it out'],
  ...['redis://localhost', [], null, true].map((revocations): Refusal => [`revocations that are ${JSON.stringify(revocations)}`, { revocations }, 'revocations', 'must be an object']),
  ['at most so many sessions, in cookies', { session: { maxSessions: 3 } }, 'session.maxSessions', 'needs sessions that the server knows: set "session.redis"'],
  ['at most so many sessions, in cookies with revocations', { session: { maxSessions: 3 }, revocations: {} }, 'session.maxSessions', 'needs sessions that the server knows'],
  ['at most so many sessions, in a store of others', { session: { store: anyStore, maxSessions: { limit: 3 } } }, 'session.maxSessions', 'needs sessions that the server knows'],
  ...[0, -1, 1.5, 1001, NaN, '3', true].map((maxSessions): Refusal => [`${String(maxSessions)} sessions`, { session: { ...memory, maxSessions } }, 'session.maxSessions', 'must be a whole number of sessions from 1 to 1000']),
  ...[[], null].map((maxSessions): Refusal => [`${JSON.stringify(maxSessions)} sessions`, { session: { ...memory, maxSessions } }, 'session.maxSessions', 'must be an object']),
  ...[0, 1001, '3', null].map((limit): Refusal => [`a limit of ${String(limit)} sessions`, { session: { ...memory, maxSessions: { limit } } }, 'session.maxSessions.limit', 'must be a whole number of sessions from 1 to 1000']),
  ['no limit', { session: { ...memory, maxSessions: { onExceed: 'refuse-login' } } }, 'session.maxSessions.limit', 'is missing'],
  ['an unknown policy', { session: { ...memory, maxSessions: { limit: 3, onExceed: 'end-newest' } } }, 'session.maxSessions.onExceed', 'must be one of "end-oldest", "refuse-login"'],
  ...['yes', 1, null].map((revoke): Refusal => [`revoking: ${JSON.stringify(revoke)}`, { revokeOnBackchannelLogout: revoke }, 'revokeOnBackchannelLogout', 'must be one of true, false']),
  ...['yes', 1, null].map((accept): Refusal => [`untyped logout tokens: ${JSON.stringify(accept)}`, { acceptUntypedLogoutTokens: accept }, 'acceptUntypedLogoutTokens', 'must be one of true, false']),
  ['back-channel logout that could end nothing', { routes: { backchannelLogout: '/ended' } }, 'routes.backchannelLogout', 'needs sessions that can be ended: set "session.redis" (or a RedisStore as "session.store"), or "revocations" for encrypted cookies and other stores'],
  ['back-channel logout that could end nothing in a store of others', { routes: { backchannelLogout: '/backchannel-logout' }, session: { store: anyStore } }, 'routes.backchannelLogout', 'needs sessions that can be ended'],
  ['a back-channel logout that is no path', { routes: { backchannelLogout: 'ended' }, session: memory }, 'routes.backchannelLogout', 'must be a path such as "/login", or false'],
  ['a back-channel logout at the path of another route', { routes: { backchannelLogout: '/logout' }, session: memory }, 'routes', 'must be different from each other']
]

const unknown: Refusal[] = [
  ['a slip in session.maxSessions', { session: { ...memory, maxSessions: { limit: 1, onExeed: 'end-oldest' } } }, 'session.maxSessions.onExeed', 'Did you mean "session.maxSessions.onExceed"?'],
  ['a slip in revocations', { revocations: { Redis: 'redis://localhost' } }, 'revocations.Redis', 'Did you mean "revocations.redis"?'],
  ['a route that is spelt otherwise', { routes: { backChannelLogout: '/ended' } }, 'routes.backChannelLogout', 'Did you mean "routes.backchannelLogout"?'],
  ['a slip of the pen', { clientID: 'x' }, 'clientID', 'is unknown. Did you mean "clientId"?'],
  ['a name of another library', { baseURL: 'x' }, 'baseURL', 'Did you mean "appBaseUrl"?'],
  ['a route of no kind', { routes: { register: '/new' } }, 'routes.register', 'Known are routes.login, routes.callback, routes.logout'],
  ['a slip in routes', { routes: { Login: '/in' } }, 'routes.Login', 'Did you mean "routes.login"?'],
  ['a slip in session', { session: { idleTimeOut: 5 } }, 'session.idleTimeOut', 'Did you mean "session.idleTimeout"?'],
  ['a slip in session.cookie', { session: { cookie: { samesite: 'lax' } } }, 'session.cookie.samesite', 'Did you mean "session.cookie.sameSite"?'],
  ['an option that stands in another object', { audience: 'x' }, 'audience', 'Did you mean "authorizationParams.audience"?'],
  ['another one', { idleTimeout: 60 }, 'idleTimeout', 'Did you mean "session.idleTimeout"?'],
  ['a word near to none', { colour: 'red' }, 'colour', 'is unknown. Known are domain, issuer, clientId'],
  ['a name of the prototype', { hasOwnProperty: 1 }, 'hasOwnProperty', 'is unknown']
]

for (const [name, options, option, text] of [...provider, ...authentication, ...secrets, ...addresses, ...others, ...storage, ...unknown]) {
  t.test(`refuses ${name}, as option "${option}"`, async t => {
    const problems = await problemsOf(options)
    t.equal(problems.length, 1, problems.join())
    t.ok(problems[0]?.startsWith(`- Option "${option}" `), String(problems[0]))
    t.match(problems[0], text)
  })
}

t.test('refuses an http appBaseUrl in production, unless it is on this machine', async t => {
  const before = process.env.NODE_ENV
  t.teardown(() => { process.env.NODE_ENV = before })
  process.env.NODE_ENV = 'production'
  t.match(await problemsOf({ appBaseUrl: 'http://app.example.com' }), ['- Option "appBaseUrl" must be https in production (NODE_ENV): over http, sessions can be stolen'])
  t.match(await problemsOf({ appBaseUrl: undefined, redirectUri: 'http://app.example.com/cb' }), ['- Option "appBaseUrl" must be https in production'])
  for (const appBaseUrl of ['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:80', 'http://app.localhost']) t.same(await problemsOf({ appBaseUrl }), [])
})

t.test('no message has a value in it, whatever was mixed up', async () => {
  const names = ['revocations', 'acceptUntypedLogoutTokens', 'revokeOnBackchannelLogout', 'domain', 'issuer', 'clientId', 'clientSecret', 'secret', 'appBaseUrl', 'redirectUri', 'userInfo', 'rolesClaim', 'clientAuthMethod', 'clientPrivateKey', 'clientAssertionAudience', 'clientCertificate', 'signedAuthorizationRequests', 'onLogin', 'name', 'httpTimeout', 'prefix', 'session', 'routes', 'authorizationParams']
  const leak = 'S3cr3t/leak value'
  const value = fc.constantFrom(leak, [leak], [[leak]], { value: leak }, `https://${encodeURIComponent(leak)}@host/`, `https://host/?${leak}`, `http://me:${leak}@h`)
  await fc.assert(fc.asyncProperty(fc.dictionary(fc.constantFrom(...names), value), async options => {
    const message = (await problemsOf(options)).join()
    return !message.includes('S3cr3t') && !message.includes('leak')
  }), { numRuns: 200 })
})

t.test('no message has a value of where Redis is', async () => {
  const leak = 'S3cr3t'
  const value = fc.constantFrom(leak, `http://me:${leak}@redis`, `redis//:${leak}@redis`, ` redis://:${leak}@redis`, [`redis://:${leak}@redis`], new URL(`redis://:${leak}@redis`), () => leak, new Map([['password', leak]]))
  const places = fc.constantFrom((redis: unknown) => ({ session: { redis } }), (redis: unknown) => ({ revocations: { redis } }), (store: unknown) => ({ session: { store } }), (maxSessions: unknown) => ({ session: { ...memory, maxSessions } }))
  await fc.assert(fc.asyncProperty(value, places, async (redis, place) => {
    const problems = await problemsOf(place(redis))
    return problems.length > 0 && !problems.join().includes(leak)
  }), { numRuns: 100 })
})

async function problemsOf (options: Record<string, unknown>): Promise<string[]> {
  const app = Fastify()
  try {
    await app.register(auth0, { ...good, ...options } as Auth0Options)
    return []
  } catch (error) {
    if (!(error instanceof FST_AUTH0_OPTIONS_INVALID)) throw error
    return error.message.split('\n').slice(1)
  } finally {
    await app.close()
  }
}
