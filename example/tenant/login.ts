import formbody from '@fastify/formbody'
import type { FastifyPluginAsync } from 'fastify'
import type Provider from 'oidc-provider'
import { sendPage } from '../page.ts'
import { errorPage, loginPage } from './pages.ts'
import { people, subject } from './people.ts'

/** The page on which one picks somebody to be, and what happens then. */
export const login: FastifyPluginAsync<{ provider: Provider }> = async (app, { provider }) => {
  await app.register(formbody)

  app.get('/u/login/:uid', async (request, reply) => {
    const { prompt, params, session } = await provider.interactionDetails(request.raw, reply.raw)
    if (prompt.name === 'consent') {
      return reply.redirect(await provider.interactionResult(request.raw, reply.raw, { consent: {} }), 303)
    }
    const client = await provider.Client.find(String(params.client_id))
    return sendPage(reply, loginPage({
      application: client?.clientName ?? 'the application',
      suggested: people.find(person => person.email === params.login_hint || subject(person) === session?.accountId) ?? null,
      again: session !== undefined
    }))
  })

  app.post<{ Body: { person?: string } }>('/u/login/:uid', async (request, reply) => {
    const person = people.find(({ id }) => id === request.body.person)
    const { session } = await provider.interactionDetails(request.raw, reply.raw)
    const resumeUrl = await provider.interactionResult(request.raw, reply.raw, person === undefined
      ? { error: 'access_denied', error_description: 'User did not authorize the request' }
      : { login: { accountId: subject(person), amr: ['pwd'] } }, { mergeWithLastSubmission: false })
    if (person !== undefined && session !== undefined) await changePerson(provider, session.uid, subject(person))
    return reply.redirect(resumeUrl, 303)
  })

  app.setErrorHandler((_error, _request, reply) => sendPage(reply.code(400), errorPage('This login page has expired. Go back to the application and log in again.')))
}

/**
 * Hands the session to another person, without the authorizations of the one before. oidc-provider would log that one out with
 * a page that needs JavaScript.
 */
async function changePerson (provider: Provider, sessionUid: string, accountId: string): Promise<void> {
  const session = await provider.Session.findByUid(sessionUid)
  if (session === undefined || session.accountId === accountId) return
  session.loginAccount({ accountId })
  session.authorizations = {}
  await session.persist()
}
