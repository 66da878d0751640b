import Fastify from 'fastify'
import { redisUrl } from '../redis.ts'
import { createTenant } from '../tenant.ts'
import { build as buildOurs } from './ours.ts'

/** As `ours`, with sessions in Redis. */
export function build (tenant = createTenant(), app = Fastify()) {
  return buildOurs(tenant, app, { session: { redis: redisUrl() } })
}
