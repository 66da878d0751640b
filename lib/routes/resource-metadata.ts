import type { FastifyPluginAsync } from 'fastify'
import type { Api } from '../api/api.ts'
import type { MarkOwn } from '../policy/openapi.ts'
import { PROOF_ALGORITHMS } from '../verify/dpop-proof.ts'
import { resourceMetadataPath, WELL_KNOWN, type ResourceMetadata } from '../api/resource-metadata.ts'

/**
 * GET /.well-known/oauth-protected-resource - tells clients of the API who issues tokens for it; the same in front of its path.
 *
 * @see RFC 9728 §3
 */
export const resourceMetadataRoute: FastifyPluginAsync<{ api: Api, markOwn: MarkOwn }> = async (app, { markOwn, api: { config: { resource, scopesSupported, dpop }, issuers } }) => {
  if (resource === null) return
  app.addHook('onRoute', markOwn)
  const own = resourceMetadataPath(resource)
  // Clients that do not know the path look at the general place, which the API of another instance may have taken.
  const isFree = !app.hasRoute({ method: 'GET', url: WELL_KNOWN })
  for (const url of new Set([own, ...isFree ? [WELL_KNOWN] : []])) {
    app.get(url, async (): Promise<ResourceMetadata> => ({
      resource,
      authorization_servers: await issuers.names(),
      ...scopesSupported.length > 0 && { scopes_supported: scopesSupported },
      bearer_methods_supported: ['header'],
      ...dpop !== 'off' && { dpop_signing_alg_values_supported: PROOF_ALGORITHMS, dpop_bound_access_tokens_required: dpop === 'required' }
    }))
  }
}
