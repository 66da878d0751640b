import type { FastifyInstance, RouteOptions } from 'fastify'

/** A route, with the context that it was defined in. What other plugins change of its options meanwhile shows. */
export interface WatchedRoute {
  readonly url: string
  readonly options: RouteOptions
  readonly context: FastifyInstance
  /** Whether its schemas are JSON Schema, as far as is known. */
  readonly isJsonSchema: boolean
}

/** The routes of a server. */
export interface WatchedRoutes {
  readonly routes: readonly WatchedRoute[]
  /** A drawing of those that were there before and cannot be known; `null`: none. */
  readonly earlier: string | null
}

const NO_ROUTES = '(empty tree)' // what Fastify draws then

/** Watches which routes are defined from now on. */
export function watchRoutes (app: FastifyInstance): WatchedRoutes {
  const routes: WatchedRoute[] = []
  const drawing = app.printRoutes({ commonPrefix: false })
  app.addHook('onRoute', function (options) {
    const { serializerCompiler = this.serializerCompiler } = options
    routes.push({ url: options.url, options, context: this, isJsonSchema: serializerCompiler === undefined })
  })
  return { routes, earlier: drawing === NO_ROUTES ? null : drawing }
}
