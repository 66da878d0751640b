import type { FastifyInstance } from 'fastify'
import type { Config } from '../options.ts'
import { createOpenapi, defineDocumentRoute, type MarkOwn } from './openapi.ts'
import { requirePolicies } from './require-policy.ts'
import { listRoutes, type ListedRoute } from './route-policy.ts'
import { securitySchemes } from './security-schemes.ts'
import { watchRoutes, type WatchedRoutes } from './watched-routes.ts'

/** Who may use which route. */
export interface Policies {
  list (): ListedRoute[]
  /** @throws {FST_AUTH0_POLICY_MISSING} that names the routes of which nobody said */
  requireAll (): void
  markOwn: MarkOwn
}

/** What instances on one server share. */
interface Shared {
  watched: WatchedRoutes
  schemes: Record<string, object>
  markOwn: MarkOwn
}

const SHARED: unique symbol = Symbol('policies')

/** Watches from now on which routes are defined, to tell who may use them: applications, and documents of @fastify/swagger. */
export function createPolicies (app: FastifyInstance, config: Pick<Config, 'name' | 'hasLogins' | 'cookie' | 'api' | 'routes'>): Policies {
  const { watched, schemes, markOwn } = (app as { [SHARED]?: Shared })[SHARED] ?? share(app, Object.values(config.routes).some(path => path !== null))
  Object.assign(schemes, securitySchemes(config))
  return { list: () => listRoutes(watched.routes), requireAll: () => requirePolicies(watched), markOwn }
}

function share (app: FastifyInstance, hasRoutes: boolean): Shared {
  const watched = watchRoutes(app)
  const schemes = {}
  const markOwn = createOpenapi(watched.routes, schemes)
  const shared: Shared = { watched, schemes, markOwn }
  app.decorate(SHARED, shared)
  defineDocumentRoute(app, markOwn, hasRoutes)
  return shared
}
