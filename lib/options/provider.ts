import type { Config } from '../options.ts'
import { auth0, oidc, type ProviderPreset } from '../provider/presets.ts'
import { parseCredential } from './credential.ts'
import { DEFAULTS } from './defaults.ts'
import { fromOptionOr, type Report, type Source } from './source.ts'
import { isReadByOthers, parseUrl } from './urls.ts'
import { CLOCK_TOLERANCE, parseFunction, parseOneOf, parseWholeNumber } from './values.ts'

type ProviderConfig = Pick<Config,
  'preset' | 'clientId' | 'pushedAuthorizationRequests' | 'dpop' | 'userInfo' | 'fetch' | 'httpTimeout' | 'clockTolerance'>

/** In place of a provider that was not given: a list of problems wants to be complete. */
export const NONE: ProviderPreset = oidc('https://missing.invalid')

/**
 * Who the provider is, who we are to it, and how we talk to it.
 *
 * @param hasLogins else we are no client of anybody
 */
export function parseProvider (source: Source, hasLogins: boolean): ProviderConfig {
  const { options, report } = source
  return {
    preset: hasLogins || acceptsOwn(source) ? parsePreset(source) : NONE,
    clientId: hasLogins ? parseCredential('clientId', 'AUTH0_CLIENT_ID', 'the "Client ID" of the application at the provider', source) : '',
    pushedAuthorizationRequests: parseOneOf<boolean>('pushedAuthorizationRequests', options.pushedAuthorizationRequests, DEFAULTS.pushedAuthorizationRequests, [true, false], report),
    dpop: parseOneOf<boolean>('dpop', options.dpop, DEFAULTS.dpop, [true, false], report),
    userInfo: parseOneOf('userInfo', options.userInfo, DEFAULTS.userInfo, ['missing', 'always', false], report),
    fetch: parseFunction('fetch', source) ?? ((...call) => globalThis.fetch(...call)),
    httpTimeout: parseWholeNumber('httpTimeout', options.httpTimeout, DEFAULTS.httpTimeout, { unit: 'milliseconds', max: 600_000 }, report),
    clockTolerance: parseWholeNumber('clockTolerance', options.clockTolerance, DEFAULTS.clockTolerance, CLOCK_TOLERANCE, report)
  }
}

/** Whether access tokens of the configured provider are accepted, and not only those of `api.issuers`. */
function acceptsOwn ({ options: { api } }: Source): boolean {
  return api?.audience !== undefined || api?.issuers === undefined
}

/** What is given as option wins over both variables. */
function parsePreset (source: Source): ProviderPreset {
  const { options, environment, report } = source
  const isGiven = options.domain !== undefined || options.issuer !== undefined
  const domain = isGiven ? options.domain : environment.AUTH0_DOMAIN
  const issuer = isGiven ? options.issuer : environment.AUTH0_ISSUER
  if (domain !== undefined && issuer !== undefined) report('issuer', 'and "domain" exclude each other: give one, as option or in AUTH0_DOMAIN or AUTH0_ISSUER')
  if (issuer !== undefined) return parseIssuer('issuer', issuer, report)
  if (domain !== undefined) return parseDomain('domain', domain, report)
  report('domain', `is missing: give the domain of your Auth0 tenant, ${fromOptionOr('AUTH0_DOMAIN', source)}; for another provider give "issuer", ${fromOptionOr('AUTH0_ISSUER', source)}`)
  return NONE
}

export function parseDomain (name: string, domain: unknown, report: Report): ProviderPreset {
  if (isHost(domain)) return auth0(domain)
  // People copy it from the address bar. Whatever else it is, it may be another variable's secret.
  const [, host = ''] = /^https?:\/\/([^/]+)/.exec(String(domain)) ?? []
  const wanted = isHost(host) ? `"${host}"` : 'a bare host such as "tenant.eu.auth0.com"'
  report(name, `must be ${wanted}, without "https://" in front and without a slash or path behind`)
  return NONE
}

function isHost (text: unknown): text is string {
  return typeof text === 'string' && /^[a-z0-9][a-z0-9.-]*(:\d{1,5})?$/i.test(text) &&
    URL.canParse(`https://${text}`) && new URL(`https://${text}`).hostname === text.toLowerCase().replace(/:\d+$/, '')
}

export function parseIssuer (name: string, issuer: unknown, report: Report): ProviderPreset {
  const url = parseUrl(name, issuer, report)
  if (url === null) return NONE
  // The address of its metadata would say nothing of who answers there (OpenID Connect Discovery 1.0 §4.3).
  if (url.pathname.includes('/.well-known/')) report(name, 'must be the issuer itself, without "/.well-known/…"')
  if (isReadByOthers(url)) report(name, 'must be https: only a provider on this machine may use http (RFC 9700 §2.6)')
  return oidc(url.href)
}
