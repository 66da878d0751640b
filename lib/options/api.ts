import type { ApiConfig, ApiIssuerConfig, ApiIssuerOptions, ApiOptions } from '../options.ts'
import { resourceMetadataPath } from '../api/resource-metadata.ts'
import { isAsymmetric } from '../verify/signed-claims.ts'
import type { ProviderPreset } from '../provider/presets.ts'
import { DEFAULTS } from './defaults.ts'
import { NONE, parseDomain, parseIssuer } from './provider.ts'
import type { Report, Source } from './source.ts'
import { isReadByOthers, parseUrl } from './urls.ts'
import { CLOCK_TOLERANCE, parseClaimPath, parseObject, parseOneOf, parseWholeNumber } from './values.ts'

const MIN_SECRET = 32 // bytes (RFC 7518 §3.2)

/** What several issuers have in common, unless they say otherwise. */
interface Common {
  audience: unknown
  acceptUntypedTokens: boolean | undefined
  clockTolerance: number
}

/** What else the API depends on. */
interface Surroundings {
  /** Of the configured provider. */
  preset: ProviderPreset
  /** Of the configured provider, and of others that say nothing; seconds. */
  clockTolerance: number
  hasLogins: boolean
  appBaseUrls: readonly string[]
  /** Of the Fastify instance. */
  instancePrefix: string
}

export function parseApi (source: Source, { preset, clockTolerance, hasLogins, appBaseUrls, instancePrefix }: Surroundings): ApiConfig | null {
  const { options, environment, report } = source
  if (options.api === undefined) return null
  const given: Partial<ApiOptions> = parseObject('api', options.api, report)
  const { audience = given.issuers === undefined ? environment.AUTH0_AUDIENCE ?? given.resource : undefined, acceptUntypedTokens } = given
  if (audience === undefined && given.issuers === undefined) report('api.audience', 'is missing: give the identifier of the API, which has to be in "aud" of its tokens')
  if (given.issuers !== undefined && !(Array.isArray(given.issuers) && given.issuers.length > 0)) report('api.issuers', 'must be a list of issuers')
  const own = audience === undefined ? [] : [parseOwn({ ...given, audience }, { preset, clockTolerance, isOwn: hasLogins }, report)]
  if (own.length === 0 && given.algorithms !== undefined) report('api.algorithms', 'is of the configured provider: give "api.audience", too, or each of "api.issuers" algorithms of its own')
  const others = (Array.isArray(given.issuers) ? given.issuers : []).map((issuer, index) => parseOther(`api.issuers[${index}]`, issuer, { audience, acceptUntypedTokens, clockTolerance }, report))
  verifyDistinct([...own, ...others], report)
  const resource = given.resource === undefined ? null : parseResource(given.resource, instancePrefix, report)
  const hasAddress = appBaseUrls.length > 0 || given.resource !== undefined || hasLogins
  return {
    issuers: [...own, ...others],
    resource,
    scopesSupported: given.scopesSupported === undefined ? [] : parseNames('api.scopesSupported', given.scopesSupported, report),
    isCached: parseOneOf<boolean>('api.cache', given.cache, DEFAULTS.api.cache, [true, false], report),
    introspection: parseIntrospection(given.introspection, own, report),
    dpop: parseDpop(given.dpop, hasAddress, report),
    dpopNonce: parseOneOf<boolean>('api.dpopNonce', given.dpopNonce, DEFAULTS.api.dpopNonce, [true, false], report),
    isRevoked: parseIsRevoked(given.isRevoked, report)
  }
}

/** The configured provider; `isOwn` where people log in there, too. */
function parseOwn ({ audience, algorithms, acceptUntypedTokens }: Partial<ApiOptions>, { preset, clockTolerance, isOwn }: Pick<ApiIssuerConfig, 'clockTolerance' | 'isOwn'> & { preset: ProviderPreset }, report: Report): ApiIssuerConfig {
  return {
    issuer: preset.issuer.href,
    isOwn,
    audiences: parseNames('api.audience', audience, report),
    algorithms: parseAlgorithms('api', algorithms, report),
    secret: null,
    mustBeTyped: mustBeTyped('api', acceptUntypedTokens, preset.typesAccessTokens, report),
    clockTolerance,
    rolesClaim: null,
    permissionsClaim: null
  }
}

function parseOther (name: string, issuer: ApiIssuerOptions, common: Common, report: Report): ApiIssuerConfig {
  const given: Partial<ApiIssuerOptions> = parseObject(name, issuer, report)
  const { audience = common.audience, acceptUntypedTokens = common.acceptUntypedTokens, secret } = given
  if (audience === undefined) report(`${name}.audience`, 'is missing: give it here, or for all as "api.audience"')
  const audiences = audience === undefined ? [] : parseNames(`${name}.audience`, audience, report)
  const more = {
    clockTolerance: parseWholeNumber(`${name}.clockTolerance`, given.clockTolerance, common.clockTolerance, CLOCK_TOLERANCE, report),
    rolesClaim: given.rolesClaim === undefined ? null : parseClaimPath(`${name}.rolesClaim`, given.rolesClaim, report),
    permissionsClaim: given.permissionsClaim === undefined ? null : parseClaimPath(`${name}.permissionsClaim`, given.permissionsClaim, report)
  }
  if (secret !== undefined) {
    if (typeof given.issuer !== 'string' || given.issuer === '') report(`${name}.issuer`, 'is missing: give what stands in "iss" of its tokens')
    if (given.algorithms !== undefined) report(`${name}.algorithms`, 'is HS256 with "secret", and no other: leave it out')
    return {
      issuer: String(given.issuer), isOwn: false, audiences, algorithms: ['HS256'], secret: parseSecret(`${name}.secret`, secret, report), mustBeTyped: mustBeTyped(name, acceptUntypedTokens, true, report), ...more
    }
  }
  const preset = parsePreset(name, given, report)
  return {
    issuer: preset.issuer.href,
    isOwn: false,
    audiences,
    algorithms: parseAlgorithms(name, given.algorithms, report),
    secret: null,
    mustBeTyped: mustBeTyped(name, acceptUntypedTokens, preset.typesAccessTokens, report),
    ...more
  }
}

function parsePreset (name: string, { issuer, domain }: Partial<ApiIssuerOptions>, report: Report): ProviderPreset {
  if (issuer !== undefined && domain !== undefined) report(name, 'has "issuer" and "domain": give one')
  return domain === undefined ? parseIssuer(`${name}.issuer`, issuer, report) : parseDomain(`${name}.domain`, domain, report)
}

function mustBeTyped (name: string, accepts: boolean | undefined, byDefault: boolean, report: Report): boolean {
  return accepts === undefined ? byDefault : !parseOneOf<boolean>(`${name}.acceptUntypedTokens`, accepts, !byDefault, [true, false], report)
}

/** With a secret in their place an HMAC of the public key would do (RFC 8725 §2.1). */
function parseAlgorithms (name: string, given: readonly string[] | undefined, report: Report): readonly string[] {
  const algorithms: unknown = given ?? DEFAULTS.api.algorithms
  if (Array.isArray(algorithms) && algorithms.length > 0 && Array.from(algorithms).every(isAsymmetric)) return [...algorithms]
  report(`${name}.algorithms`, 'must be a list of signatures by a private key, such as ["RS256", "ES256"]')
  return []
}

function parseSecret (name: string, secret: unknown, report: Report): Uint8Array {
  const bytes = typeof secret === 'string' ? new TextEncoder().encode(secret) : secret
  if (bytes instanceof Uint8Array && bytes.length >= MIN_SECRET && new Set(bytes).size >= 5) return new Uint8Array(bytes)
  report(name, 'must be 32 random bytes or more, e.g. from "openssl rand -hex 32"')
  return new Uint8Array()
}

function parseNames (name: string, given: unknown, report: Report): readonly string[] {
  const names: unknown[] = Array.isArray(given) ? Array.from(given) : [given] // `every` alone skips holes
  if (names.length > 0 && names.every(item => typeof item === 'string' && item !== '')) return names as string[]
  report(name, 'must be a name, or a list of names')
  return []
}

/** @see RFC 9728 §1.2 */
function parseResource (resource: unknown, instancePrefix: string, report: Report): string | null {
  const url = parseUrl('api.resource', resource, report)
  if (url !== null && isReadByOthers(url)) report('api.resource', 'must be https, or on this machine')
  // It goes into a header, and clients compare it character by character.
  if (url !== null && !/^[\x21\x23-\x5B\x5D-\x7E]+$/.test(String(resource))) report('api.resource', 'must be written as a browser sends it, without spaces, quotes and letters beyond ASCII')
  if (url !== null && !/^(?:\/[\w.~-]+)*\/?$/.test(url.pathname)) report('api.resource', 'must have a path of letters, digits, "-", ".", "_" and "~" only: its metadata are a route')
  if (url !== null && instancePrefix !== '') {
    report('api.resource', `needs the plugin on the root of the server: here all is below "${instancePrefix}", and clients look for ${resourceMetadataPath(url.href)}`)
  }
  return url === null ? null : String(resource)
}

/** A proof names the address that it is for (RFC 9449 §4.2 `htu`). */
function parseDpop (given: ApiOptions['dpop'], hasAddress: boolean, report: Report): ApiConfig['dpop'] {
  if (!hasAddress && (given === 'allowed' || given === 'required')) report('api.dpop', 'needs the address that clients call: give "api.resource" or "appBaseUrl"')
  return parseOneOf('api.dpop', given, hasAddress ? DEFAULTS.api.dpop : 'off', ['allowed', 'required', 'off'], report)
}

function parseIntrospection (given: boolean | undefined, [own]: readonly ApiIssuerConfig[], report: Report): ApiConfig['introspection'] {
  if (!parseOneOf<boolean>('api.introspection', given, DEFAULTS.api.introspection, [true, false], report)) return null
  if (own === undefined) report('api.introspection', 'asks the configured provider: give "api.audience", too')
  return { audiences: own?.audiences ?? [] }
}

function parseIsRevoked (given: unknown, report: Report): ApiOptions['isRevoked'] {
  if (given !== undefined && typeof given !== 'function') report('api.isRevoked', 'must be a function')
  return given as ApiOptions['isRevoked']
}

/** Who of two were meant could not be told. */
function verifyDistinct (issuers: readonly ApiIssuerConfig[], report: Report): void {
  const names = issuers.map(({ issuer }) => issuer.replace(/\/$/, '')).filter(name => `${name}/` !== NONE.issuer.href)
  if (new Set(names).size < names.length) report('api.issuers', 'must name every issuer once; the configured provider is one of them where "api.audience" is given')
}
