import type { Auth0Options, Config } from '../options.ts'
import { isByCertificate, type ClientAuthMethod } from '../provider/client-authentication.ts'
import type { ProviderPreset } from '../provider/presets.ts'
import { parseClientCertificate } from './client-certificate.ts'
import { parseClientKey } from './client-key.ts'
import { parseCredential } from './credential.ts'
import { DEFAULTS } from './defaults.ts'
import { fromOptionOr, type Source } from './source.ts'
import { parseOneOf } from './values.ts'

type ClientAuthentication = Pick<Config, 'clientAuthMethod' | 'clientSecret' | 'clientAssertionAudience' | 'clientKey' | 'clientCertificate' | 'signedAuthorizationRequests'>

const METHODS: readonly ClientAuthMethod[] = ['client_secret_post', 'client_secret_basic', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth']
const MIN_HMAC_SECRET = 32 // bytes (RFC 7518 §3.2)

/**
 * How we prove to the provider who we are, and what with. What is given and not used is a mistake, or a secret too many.
 *
 * @param hasLogins else we are no client of anybody
 */
export function parseClientAuthentication (source: Source, hasLogins: boolean, { issuer }: ProviderPreset): ClientAuthentication {
  const { options, report } = source
  const method = parseOneOf('clientAuthMethod', options.clientAuthMethod, DEFAULTS.clientAuthMethod, METHODS, report)
  const signedAuthorizationRequests = parseOneOf<boolean>('signedAuthorizationRequests', options.signedAuthorizationRequests, DEFAULTS.signedAuthorizationRequests, [true, false], report)
  const [isBySecret, isByKey] = [method.startsWith('client_secret_'), method === 'private_key_jwt']

  function refuseUnused (name: keyof Auth0Options, isUsed: boolean, remedy: string): void {
    if (!isUsed && options[name] !== undefined) report(name, `is not used with "clientAuthMethod" ${method}: ${remedy}`)
  }

  refuseUnused('clientSecret', isBySecret, 'leave it out, and let the provider forget it')
  refuseUnused('clientPrivateKey', isByKey || signedAuthorizationRequests, 'set that to "private_key_jwt", or "signedAuthorizationRequests" to true')
  refuseUnused('clientCertificate', isByCertificate(method), 'set that to "tls_client_auth" or "self_signed_tls_client_auth"')
  refuseUnused('clientAssertionAudience', method.endsWith('_jwt'), 'it is of "private_key_jwt" and "client_secret_jwt"')
  return {
    clientAuthMethod: method,
    clientSecret: isBySecret && hasLogins ? parseSecret(method, source) : null,
    clientAssertionAudience: parseOneOf('clientAssertionAudience', options.clientAssertionAudience, DEFAULTS.clientAssertionAudience, ['issuer', 'token_endpoint'], report),
    clientKey: isByKey || signedAuthorizationRequests ? parseKey(source) : null,
    clientCertificate: isByCertificate(method) ? parseCertificate(source, issuer) : null,
    signedAuthorizationRequests
  }
}

function parseSecret (method: ClientAuthMethod, source: Source): string {
  const secret = parseCredential('clientSecret', 'AUTH0_CLIENT_SECRET', 'the "Client Secret" of the application at the provider', source)
  if (method === 'client_secret_jwt' && secret !== '' && Buffer.byteLength(secret) < MIN_HMAC_SECRET) {
    source.report('clientSecret', `is too short for "client_secret_jwt", which needs ${MIN_HMAC_SECRET} bytes (RFC 7518 §3.2): whoever sees an assertion could guess it. Take another method, or let the provider make a longer one`)
  }
  return secret
}

function parseKey (source: Source): Config['clientKey'] {
  const given: unknown = source.options.clientPrivateKey ?? source.environment.AUTH0_CLIENT_PRIVATE_KEY
  if (given !== undefined) return parseClientKey('clientPrivateKey', given, source.report)
  source.report('clientPrivateKey', `is missing: give the key whose public half the provider knows, ${fromOptionOr('AUTH0_CLIENT_PRIVATE_KEY', source)}`)
  return null
}

/** `null` where a `fetch` of the application's own shows it. */
function parseCertificate ({ options: { clientCertificate, fetch }, report }: Source, issuer: URL): Config['clientCertificate'] {
  if (clientCertificate === undefined && fetch === undefined) report('clientCertificate', 'is missing: give { cert, key } as PEM text, or a "fetch" that shows a certificate')
  if (clientCertificate === undefined) return null
  if (fetch !== undefined) report('clientCertificate', 'and "fetch" exclude each other: a "fetch" of your own has to show the certificate itself')
  if (issuer.protocol !== 'https:') report('clientCertificate', 'needs a provider at https: over http there is no handshake to show it in')
  return parseClientCertificate(clientCertificate, report)
}
