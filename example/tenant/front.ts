import type { FastifyPluginAsync } from 'fastify'
import type Provider from 'oidc-provider'
import { sendPage } from '../page.ts'
import { frontPage } from './pages.ts'
import { findPerson } from './people.ts'

/** GET / - what the tenant says to who opens it without an application. */
export const front: FastifyPluginAsync<{ provider: Provider, issuer: string }> = async (app, { provider, issuer }) => {
  app.get('/', async (request, reply) => {
    const { accountId = '', authorizations = {} } = await provider.Session.get(provider.createContext(request.raw, reply.raw))
    const person = findPerson(accountId)
    const clients = await Promise.all(Object.keys(authorizations).map(id => provider.Client.find(id)))
    const applications = clients.map(client => client?.clientName ?? 'the application')
    return sendPage(reply, frontPage(issuer, person && { person, applications }))
  })
}
