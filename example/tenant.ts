import Fastify from 'fastify'
import getPort from 'get-port'
import { files } from './files.ts'
import { asOpenId } from './tenant/authorize.ts'
import { avatar } from './tenant/avatar.ts'
import { front } from './tenant/front.ts'
import { login } from './tenant/login.ts'
import { logout } from './tenant/logout.ts'
import { people } from './tenant/people.ts'
import { createProvider, type TenantClient, type TenantSettings } from './tenant/provider.ts'

export interface TenantOptions extends TenantClient, Omit<TenantSettings, 'clients'> {
  /** Default: a free one. */
  port?: number
  /** Other applications that people log in to here. */
  otherClients?: readonly TenantClient[]
}

export interface Tenant {
  /** For the option `domain`, e.g. `localhost:4000`. */
  domain: string
  /** With the slash behind, as Auth0 writes it, e.g. `http://localhost:4000/`. */
  issuer: string
  close: () => Promise<void>
}

/**
 * Starts a stand-in for an Auth0 tenant on this computer: an OpenID provider with Auth0's paths, three people to be and no
 * passwords. It remembers nothing when it ends, and its signing keys are made anew each time.
 */
export async function startTenant (options: TenantOptions): Promise<Tenant> {
  const port = options.port ?? await getPort()
  const domain = `localhost:${port}`
  const issuer = `http://${domain}/`
  const clients = [options, ...options.otherClients ?? []]
  const provider = await createProvider(issuer, { ...options, clients })
  const answer = provider.callback()

  // Cookies know no ports: those of every application on localhost arrive here too.
  const app = Fastify({ http: { maxHeaderSize: 64 * 1024 }, forceCloseConnections: true })
  await app.register(login, { provider })
  await app.register(logout, { provider, clients })
  await app.register(front, { provider, issuer })
  for (const { id } of people) {
    app.get(`/people/${id}.svg`, async (_request, reply) => reply.type('image/svg+xml').send(avatar(id)))
  }
  await app.register(files, { folder: new URL('tenant/', import.meta.url) })

  await app.register(async app => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _payload, done) => done(null)) // oidc-provider reads bodies itself
    app.all('/*', (request, reply) => {
      reply.hijack()
      request.raw.url = asOpenId(request.raw.url as string)
      answer(request.raw, reply.raw)
    })
  })

  await app.listen({ port, host: 'localhost' })
  return { domain, issuer, close: () => app.close() }
}
