import type { FastifyPluginAsync } from 'fastify'
import type { Api } from '../api/api.ts'
import type { MarkOwn } from '../policy/openapi.ts'
import { PROOF_ALGORITHMS } from '../verify/dpop-proof.ts'
import { resourceMetadataPaths, type ResourceMetadata } from '../api/resource-metadata.ts'

/**
 * GET /.well-known/oauth-protected-resource - tells clients of the API who issues tokens for it; the same in front of its path.
 *
 * @see RFC 9728 §3
 */
export const resourceMetadataRoute: FastifyPluginAsync<{ api: Api, markOwn: MarkOwn }> = async (app, { markOwn, api: { config: { resource, scopesSupported, dpop }, issuers } }) => {
  if (resource === null) return
  app.addHook('onRoute', markOwn)
  for (const url of resourceMetadataPaths(resource)) {
    app.get(url, async (): Promise<ResourceMetadata> => ({
      resource,
      authorization_servers: await issuers.names(),
      ...scopesSupported.length > 0 && { scopes_supported: scopesSupported },
      bearer_methods_supported: ['header'],
      ...dpop !== 'off' && { dpop_signing_alg_values_supported: PROOF_ALGORITHMS, dpop_bound_access_tokens_required: dpop === 'required' }
    }))
  }
}
