import type { FastifyPluginAsync } from 'fastify'
import type { Api } from '../api/api.ts'
import { FST_AUTH0_OPTIONS_INVALID } from '../errors.ts'
import type { MarkOwn } from '../policy/openapi.ts'
import { PROOF_ALGORITHMS } from '../verify/dpop-proof.ts'
import { resourceMetadataPath, WELL_KNOWN, type ResourceMetadata } from '../api/resource-metadata.ts'

/** Tells of an API. */
type Tell = () => Promise<ResourceMetadata>

/** Of which API the general place tells, on each server: of the one whose place it is, else of the first. Clients look there that do not know the path. */
const general = new WeakMap<object, { tell: Tell, isOwn: boolean }>()

/**
 * GET /.well-known/oauth-protected-resource - tells clients of the API who issues tokens for it; the same in front of its path.
 *
 * @throws {FST_AUTH0_OPTIONS_INVALID} where two APIs have one place
 * @see RFC 9728 §3
 */
export const resourceMetadataRoute: FastifyPluginAsync<{ api: Api, markOwn: MarkOwn }> = async (app, { markOwn, api: { config: { resource, scopesSupported, dpop }, issuers } }) => {
  if (resource === null) return
  app.addHook('onRoute', markOwn)
  const { server } = app
  const own = resourceMetadataPath(resource)
  const isOwn = own === WELL_KNOWN
  const taken = general.get(server)
  if (taken?.isOwn === true && isOwn) throw new FST_AUTH0_OPTIONS_INVALID(`- Option "api.resource": another instance tells of an API at ${WELL_KNOWN}. Give one of them a path`)
  if (taken === undefined || isOwn) general.set(server, { tell, isOwn })
  if (!isOwn) app.get(own, tell)
  if (!app.hasRoute({ method: 'GET', url: WELL_KNOWN })) app.get(WELL_KNOWN, async () => general.get(server)?.tell())

  async function tell (): Promise<ResourceMetadata> {
    const names = await issuers.names()
    return {
      resource: resource as string,
      ...names.length > 0 && { authorization_servers: names }, // an empty list says nothing (§3.2)
      ...scopesSupported.length > 0 && { scopes_supported: scopesSupported },
      bearer_methods_supported: ['header'],
      ...dpop !== 'off' && { dpop_signing_alg_values_supported: PROOF_ALGORITHMS, dpop_bound_access_tokens_required: dpop === 'required' }
    }
  }
}
