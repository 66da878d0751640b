import type { FastifyBaseLogger } from 'fastify'
import type { ApiConfig, Config } from '../options.ts'
import type { Provider } from '../provider/provider.ts'
import type { Records } from '../store/records.ts'
import { createBearerTokens, type BearerTokens } from './bearer-tokens.ts'
import { createIntrospectedTokens } from './introspected-tokens.ts'
import { createNonces } from './nonces.ts'
import { createVerifyPossession } from './possession.ts'
import { createReplays } from './replays.ts'
import { createTokenIssuers, type TokenIssuers } from './token-issuers.ts'

/** What accepts access tokens. */
export interface Api {
  config: ApiConfig
  issuers: TokenIssuers
  bearerTokens: BearerTokens
}

/** @param shared what all processes have in common, if there is anything */
export function createApi (config: ApiConfig, { name, secrets, appBaseUrls, clockTolerance }: Config, provider: Provider, shared: Records | null, log: FastifyBaseLogger): Api {
  const { resource, dpop: mode, dpopNonce } = config
  const issuers = createTokenIssuers(config, provider, log)
  const bases = resource === null ? appBaseUrls : [...appBaseUrls, new URL(resource).origin]
  const nonces = dpopNonce ? createNonces(secrets, [name]) : null
  const verifyPossession = createVerifyPossession({ mode, bases, clockTolerance, replays: createReplays(shared, [name]), nonces })
  const introspect = config.introspection === null ? null : createIntrospectedTokens({ ...config.introspection, isCached: config.isCached, clockTolerance }, provider)
  return { config, issuers, bearerTokens: createBearerTokens(config, { issuers, verifyPossession, introspect }) }
}
