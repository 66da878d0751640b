import type { FastifyBaseLogger } from 'fastify'
import { FST_AUTH0_ACCESS_TOKEN_INVALID } from '../errors.ts'
import type { ApiConfig, ApiIssuerConfig } from '../options.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { KeySet } from '../provider/key-set.ts'
import type { Provider, Signer } from '../provider/provider.ts'
import type { AccessTokenExpectation } from '../verify/access-token.ts'
import { createLastingKeys } from './lasting-keys.ts'

/** One whose access tokens are accepted. */
export interface TokenIssuer {
  /** What verifies its tokens. */
  readonly keys: KeySet | Uint8Array
  /**
   * What its tokens are compared with.
   *
   * @throws {FST_AUTH0_PROVIDER_UNAVAILABLE} 503 while nothing is known of it
   */
  expectation (): Promise<AccessTokenExpectation>
}

/** Those whose access tokens are accepted. */
export interface TokenIssuers {
  /**
   * By `iss`, before anything is asked of anybody (RFC 8725 §3.10).
   *
   * @throws {FST_AUTH0_ACCESS_TOKEN_INVALID} 401 for one that is not on the list
   */
  find (iss: unknown): TokenIssuer
  /** As they spell themselves, where that is known. Not those that share a secret, of whom nobody can get a token. */
  names (): Promise<string[]>
}

export function createTokenIssuers ({ issuers }: ApiConfig, provider: Pick<Provider, 'signer' | 'signerOf'>, log: FastifyBaseLogger): TokenIssuers {
  const signerOf = ({ isOwn, issuer }: ApiIssuerConfig) => isOwn ? provider.signer : provider.signerOf(new URL(issuer))
  const known = issuers.map(config => ({
    config, issuer: config.secret === null ? published(config, signerOf(config), log) : shared(config, config.secret)
  }))
  const byName = new Map(known.flatMap(({ config, issuer }) => spellings(config).map(name => [name, issuer])))
  return {
    find (iss) {
      const issuer = typeof iss === 'string' ? byName.get(iss) : undefined
      if (issuer === undefined) throw new FST_AUTH0_ACCESS_TOKEN_INVALID({ cause: new ProviderFailure('access token: its issuer is not on the list') })
      return issuer
    },

    async names () {
      const publishing = known.filter(({ config }) => config.secret === null)
      return Promise.all(publishing.map(async ({ config, issuer }) => issuer.expectation().then(({ issuer }) => issuer, () => config.issuer)))
    }
  }
}

/** An issuer that publishes its keys. */
function published ({ audiences, algorithms, mustBeTyped, clockTolerance, issuer: name }: ApiIssuerConfig, signer: () => Promise<Signer>, log: FastifyBaseLogger): TokenIssuer {
  const keys = createLastingKeys(async () => (await signer()).keys, error => log.warn({ err: error, issuer: name }, 'keys not renewed: those there are serve on'))
  return {
    keys,
    // Its own spelling of its name counts, which its metadata tell.
    expectation: async () => ({ issuer: (await signer()).issuer, audience: audiences, algorithms, clockTolerance, keys, mustBeTyped })
  }
}

/** An issuer that shares a secret with us. */
function shared ({ issuer, audiences, algorithms, mustBeTyped, clockTolerance }: ApiIssuerConfig, secret: Uint8Array): TokenIssuer {
  return {
    keys: secret,
    expectation: async () => ({ issuer, audience: audiences, algorithms, clockTolerance, keys: secret, mustBeTyped })
  }
}

/** What its tokens may call an issuer: people write it with or without a slash behind. */
function spellings ({ issuer, secret }: ApiIssuerConfig): string[] {
  return secret === null ? [issuer, issuer.endsWith('/') ? issuer.slice(0, -1) : `${issuer}/`] : [issuer]
}
