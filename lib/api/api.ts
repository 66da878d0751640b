import type { FastifyBaseLogger } from 'fastify'
import type { ApiConfig } from '../options.ts'
import type { Provider } from '../provider/provider.ts'
import { createBearerTokens, type BearerTokens } from './bearer-tokens.ts'
import { createTokenIssuers, type TokenIssuers } from './token-issuers.ts'

/** What accepts access tokens. */
export interface Api {
  config: ApiConfig
  issuers: TokenIssuers
  bearerTokens: BearerTokens
}

/** @param clockTolerance seconds */
export function createApi (config: ApiConfig, clockTolerance: number, provider: Provider, log: FastifyBaseLogger): Api {
  const issuers = createTokenIssuers(config, clockTolerance, provider, log)
  return { config, issuers, bearerTokens: createBearerTokens(config, issuers) }
}
