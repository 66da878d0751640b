import type { FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { retryAfter } from '../error-answer.ts'
import { FST_AUTH0_LOGOUT_TOKEN_INVALID } from '../errors.ts'
import type { RouteServices } from './services.ts'

const BODY_LIMIT = 16 * 1024 // bytes; a logout token has less than one thousand

/**
 * POST /backchannel-logout - ends what the provider says has ended.
 *
 * No browser comes here: there is no cookie, no page and no origin to look at. The token is the proof.
 *
 * @see OpenID Connect Back-Channel Logout 1.0 §2.5, §2.8
 */
export const backchannelLogoutRoute: FastifyPluginAsync<RouteServices> = async (app, { config, handleBackchannelLogout }) => {
  const { backchannelLogout: url } = config.routes
  if (url === null) return
  app.setErrorHandler<FastifyError>(answerError)

  app.post<{ Body?: { logout_token?: unknown } }>(url, { bodyLimit: BODY_LIMIT }, async (request, reply) => {
    const token = request.body?.logout_token // an array when it is there twice
    if (typeof token !== 'string') throw new FST_AUTH0_LOGOUT_TOKEN_INVALID({ cause: new Error('no form with one "logout_token"') })
    await handleBackchannelLogout(token)
    return reply.sent ? reply : reply.code(200).send()
  })

  app.route({
    method: ['GET', 'PUT', 'PATCH', 'DELETE'],
    url,
    handler: async (_request, reply) => reply.code(405).header('allow', 'POST').send()
  })
}

/** As the specification has it, for whoever asks. What failed here is for the log. */
function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { statusCode: status = 500, message } = error
  const statusCode = status >= 400 && status <= 599 ? status : 500
  if (statusCode < 500) {
    request.log.info({ err: error }, message)
    return reply.code(statusCode).send({ error: 'invalid_request', error_description: message })
  }
  request.log.error({ err: error }, message)
  if (statusCode === 503) reply.header('retry-after', retryAfter(error))
  return reply.code(statusCode).send({ error: 'server_error', error_description: 'The logout did not happen. Try again' })
}
