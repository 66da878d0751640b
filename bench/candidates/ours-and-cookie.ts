import cookie from '@fastify/cookie'
import Fastify from 'fastify'
import { createTenant } from '../tenant.ts'
import { build as buildOurs } from './ours.ts'

/** As `ours`, in an application that has @fastify/cookie too, as the floors have: what we alone add. */
export function build () {
  const app = Fastify()
  app.register(cookie)
  return buildOurs(createTenant(), app)
}
