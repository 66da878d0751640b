import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import { OWN } from '../guard/guard-policy.ts'
import { describedSchema } from './described-schema.ts'
import { guardsOf } from './guards-of.ts'
import type { SecuritySchemes } from './security-schemes.ts'
import type { WatchedRoute } from './watched-routes.ts'

/** An OpenAPI document while @fastify/swagger makes it. */
interface Document {
  openapi: string
  components?: { securitySchemes?: SecuritySchemes }
}

/** Marks a route as ours, which keeps it out of all documents. */
export type MarkOwn = (route: RouteOptions) => void

/**
 * Lets documents of @fastify/swagger tell what guards demand.
 *
 * It tells only a route's own `swaggerTransform` which document is being made. Those of ours name the schemes in it, and lend each guarded route a schema that says
 * what its guards demand, until the document is made: Fastify sees none of that, so it neither compiles it nor serializes an error by it.
 *
 * @param schemes may grow until the server is ready
 */
export function createOpenapi (routes: readonly WatchedRoute[], schemes: SecuritySchemes): MarkOwn {
  let described: Document | null = null
  const borrowers = new Map<RouteOptions, FastifySchema | undefined>()

  /** For a document of version 2 there is no `openapiObject`. */
  function swaggerTransform ({ url, openapiObject: document }: { url: string, openapiObject?: Document }) {
    if (document !== undefined && document !== described) describe(document)
    return { schema: { hide: true }, url }
  }

  function describe (document: Document): void {
    if (described === null) queueMicrotask(takeBack) // a document is made in one go
    else takeBack()
    described = document
    document.components = { ...document.components, securitySchemes: { ...schemes, ...document.components?.securitySchemes } }
    const hasScopes = !document.openapi.startsWith('3.0')
    for (const route of routes) lend(route, hasScopes)
  }

  function lend (route: WatchedRoute, hasScopes: boolean): void {
    const guards = guardsOf(route)
    if (guards.length === 0) return
    borrowers.set(route.options, route.options.schema)
    route.options.schema = describedSchema(route, guards, hasScopes)
  }

  function takeBack (): void {
    for (const [options, schema] of borrowers) Object.assign(options, { schema })
    borrowers.clear()
    described = null
  }

  return route => { route.config = { ...route.config, ...{ [OWN]: true, swaggerTransform } as object } }
}

/**
 * Defines a route for documents that no other route of ours is in, since @fastify/swagger sees only what comes after it: before any that is guarded. To callers it is
 * not there.
 *
 * @param isSeen whether routes of ours come after what is registered now
 */
export function defineDocumentRoute (app: FastifyInstance, markOwn: MarkOwn, isSeen: boolean): void {
  let isDone = isSeen && app.hasDecorator('swagger')

  function define (): void {
    if (isDone || !app.hasDecorator('swagger')) return
    isDone = true
    const route: RouteOptions = { method: 'TRACE', url: '/.fastify-auth0', handler: (_request, reply) => { reply.callNotFound() } }
    markOwn(route)
    app.route(route)
  }

  define()
  app.addHook('onRoute', define)
}
