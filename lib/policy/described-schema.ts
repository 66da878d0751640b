import type { FastifySchema } from 'fastify'
import type { GuardPolicy } from '../guard/guard-policy.ts'
import { securityRequirements } from './security-requirements.ts'
import type { WatchedRoute } from './watched-routes.ts'

const PROPERTIES = { statusCode: { type: 'integer' }, code: { type: 'string' }, error: { type: 'string' }, message: { type: 'string' } }

/** What guards add to the answers of a route: Fastify's own error, as docs/errors.md has it. */
const REFUSALS = {
  401: { description: 'Not authenticated, or not freshly or surely enough', type: 'object', properties: PROPERTIES },
  403: { description: 'Not allowed', type: 'object', properties: PROPERTIES }
}
/** As @fastify/swagger has it for a route that says nothing of its answers. */
const ANSWER = { 200: { description: 'Default Response', type: 'null' } }

/** The schema of a route with what its guards demand. What the application says itself stays as it is. */
export function describedSchema ({ options: { schema }, isJsonSchema }: Pick<WatchedRoute, 'options' | 'isJsonSchema'>, guards: readonly GuardPolicy[], hasScopes: boolean): FastifySchema {
  return {
    security: securityRequirements(guards, hasScopes),
    ...schema,
    ...isJsonSchema && { response: { ...schema?.response ?? ANSWER, ...refusalsBeside(schema?.response ?? {}) } }
  } as FastifySchema // which @fastify/swagger extends
}

function refusalsBeside (answers: object): object {
  const said = Object.keys(answers).map(status => status.toLowerCase())
  return Object.fromEntries(Object.entries(REFUSALS).filter(([status]) => ![status, '4xx', 'default'].some(name => said.includes(name))))
}
