import Fastify from 'fastify'
import { createRemoteJWKSet, jwtVerify, type JWTPayload } from 'jose'

export interface ApiOptions {
  port: number
  /** Whose access tokens it takes, with the slash behind. */
  issuer: string
  /** What they have to be for. */
  audience: string
}

/** What the API answers with. Times in seconds since the epoch. */
export interface LogBook {
  entries: string[]
  /** Of the access token that opened it. */
  token: { sub: string, scope: string, issuedAt: number, expiresAt: number }
}

/** The scope that opens the log book. */
export const READ_LOG = 'read:log'

/** An API beside the web application: another server, which knows nobody but by an access token of the tenant (RFC 6750, RFC 9068). */
export async function startApi ({ port, issuer, audience }: ApiOptions): Promise<{ url: string, close: () => Promise<void> }> {
  const app = Fastify({ forceCloseConnections: true })
  const keys = createRemoteJWKSet(new URL('.well-known/jwks.json', issuer))

  app.get('/log', async (request, reply): Promise<LogBook> => {
    const [, token = ''] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? []
    const claims = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['RS256'] }).then(({ payload }) => payload, () => null)
    if (claims === null) return reply.code(401).header('www-authenticate', 'Bearer error="invalid_token"').send()
    if (!scopesOf(claims).includes(READ_LOG)) return reply.code(403).header('www-authenticate', `Bearer error="insufficient_scope", scope="${READ_LOG}"`).send()
    return {
      entries: ['18:40 lamp lit', '21:05 two sails to the north', '23:30 fog; horn every two minutes'],
      token: { sub: claims.sub!, scope: String(claims.scope), issuedAt: claims.iat!, expiresAt: claims.exp! }
    }
  })

  await app.listen({ port, host: 'localhost' })
  return { url: `http://localhost:${port}/log`, close: () => app.close() }
}

function scopesOf ({ scope }: JWTPayload): string[] {
  return typeof scope === 'string' ? scope.split(' ') : []
}
