import { FST_AUTH0_CALLBACK_INVALID } from './errors.ts'
import type { AnyRequest } from './fastify.ts'
import { parseJwt } from './provider/strict-jwt.ts'

const MAX_VALUE = 4096 // characters; Entra ID's codes are the longest, with some 1,500
const MAX_JWT = 16 * 1024 // characters
const PARAMETERS = ['code', 'state', 'iss', 'error', 'error_description']
/** Where JARM has all of them. */
const JWT = 'response'
/** What only the implicit and hybrid grants bring. */
const FOREIGN = ['access_token', 'id_token']

/** The query of a request, whatever parser the application has. */
export function parseQuery (request: AnyRequest): URLSearchParams {
  const start = request.url.indexOf('?')
  return new URLSearchParams(start === -1 ? '' : request.url.slice(start))
}

/** How answers come: by what was asked for (OAuth 2.0 Form Post Response Mode; JARM §2.3). */
export interface AnswerForm {
  isFormPost: boolean
  /** Whether an answer is one signed JWT, and no plain one is taken. */
  isJwtAnswer: boolean
}

/** A provider's answer to a login. */
export interface CallbackAnswer {
  /** With a `jwt` they are its claims, and not to be believed before it is verified; of use to find the login that is meant. */
  parameters: URLSearchParams
  jwt: string | null
}

/**
 * Reads a provider's answer to a login: from the query, or from the body of a `form_post`; plain, or in a JWT.
 *
 * @throws {FST_AUTH0_CALLBACK_INVALID} 400 for what no provider sends
 * @see RFC 6749 §3.1 (nothing twice, empty is absent), §4.1.2; OAuth 2.0 Form Post Response Mode §2; JWT Secured Authorization Response Mode for OAuth 2.0 (JARM) §2.1
 */
export function parseCallbackAnswer (request: AnyRequest, { isFormPost, isJwtAnswer }: AnswerForm): CallbackAnswer {
  if ((request.method === 'POST') !== isFormPost) throw invalid()
  const sent = isFormPost ? parseForm(request.body) : parseQuery(request)
  if ((isJwtAnswer ? [...FOREIGN, ...PARAMETERS] : [...FOREIGN, JWT]).some(name => sent.has(name))) throw invalid()
  if (!isJwtAnswer) return { parameters: parseParameters(sent), jwt: null }
  const jwt = takeOne(sent, JWT, MAX_JWT)
  return { parameters: parseParameters(claimsOf(jwt)), jwt }
}

function parseParameters (sent: URLSearchParams): URLSearchParams {
  const answer = new URLSearchParams()
  for (const name of PARAMETERS) {
    const value = takeOne(sent, name, MAX_VALUE)
    if (value !== '') answer.set(name, value) // sent without a value is not sent
  }
  if (answer.get('state') === null || answer.has('code') === answer.has('error')) throw invalid()
  return answer
}

function takeOne (sent: URLSearchParams, name: string, maxLength: number): string {
  const [value = '', ...more] = sent.getAll(name)
  if (more.length > 0 || value.length > maxLength) throw invalid()
  return value
}

function claimsOf (jwt: string): URLSearchParams {
  const { payload } = parseJwt(jwt, invalid)
  const claims = Object.entries(payload).filter(([name]) => PARAMETERS.includes(name))
  if (claims.some(([, value]) => typeof value !== 'string')) throw invalid()
  return new URLSearchParams(claims as Array<[string, string]>)
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
