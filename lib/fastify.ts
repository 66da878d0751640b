import type { FastifyReply, FastifyRequest, RawServerBase, RouteGenericInterface } from 'fastify'

/** A request of any server: http, https or HTTP/2. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, RawServerBase>

/** A reply of any server: http, https or HTTP/2. */
export type AnyReply = FastifyReply<RouteGenericInterface, RawServerBase>
