import { FST_AUTH0_CALLBACK_INVALID } from './errors.ts'
import type { AnyRequest } from './fastify.ts'

const MAX_VALUE = 4096 // characters; Entra ID's codes are the longest, with some 1,500
const PARAMETERS = ['code', 'state', 'iss', 'error', 'error_description']
/** What only the implicit and hybrid grants and JARM bring. */
const FOREIGN = ['access_token', 'id_token', 'response']

/** The query of a request, whatever parser the application has. */
export function parseQuery (request: AnyRequest): URLSearchParams {
  const start = request.url.indexOf('?')
  return new URLSearchParams(start === -1 ? '' : request.url.slice(start))
}

/**
 * Reads a provider's answer to a login: from the query, or from the body of a `form_post`.
 *
 * @throws {FST_AUTH0_CALLBACK_INVALID} 400 for what no provider sends
 * @see RFC 6749 §3.1 (nothing twice, empty is absent), §4.1.2; OAuth 2.0 Form Post Response Mode §2
 */
export function parseCallbackAnswer (request: AnyRequest, isFormPost: boolean): URLSearchParams {
  if ((request.method === 'POST') !== isFormPost) throw invalid()
  const sent = isFormPost ? parseForm(request.body) : parseQuery(request)
  if (FOREIGN.some(name => sent.has(name))) throw invalid()
  const answer = new URLSearchParams()
  for (const name of PARAMETERS) {
    const [value = '', ...more] = sent.getAll(name)
    if (more.length > 0 || value.length > MAX_VALUE) throw invalid()
    if (value !== '') answer.set(name, value) // sent without a value is not sent
  }
  if (answer.get('state') === null || answer.has('code') === answer.has('error')) throw invalid()
  return answer
}

function parseForm (body: unknown): URLSearchParams {
  const fields = new URLSearchParams()
  for (const [name, value] of Object.entries(body ?? {})) {
    for (const item of [value].flat()) {
      if (typeof item !== 'string') throw invalid() // a callback route of the application's own may take JSON
      fields.append(name, item)
    }
  }
  return fields
}

function invalid (): Error {
  return new FST_AUTH0_CALLBACK_INVALID()
}
