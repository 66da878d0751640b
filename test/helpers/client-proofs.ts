import { constants, createHmac, timingSafeEqual, verify, type KeyObject } from 'node:crypto'
import { checkClient, OAuthError } from './authorizations.ts'
import type { Json } from './id-tokens.ts'

const MAX_AGE = 300 // seconds (RFC 7523 §3; Auth0)
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** How a client has registered to prove itself, and what with. Not given: by its secret, in the body or in a header. */
export interface Registration {
  method: 'client_secret_jwt' | 'private_key_jwt' | 'tls_client_auth'
  /** Verifies what it signs. */
  publicKey?: KeyObject
  /** The one algorithm, as registered. */
  algorithm?: string
  /** Whom assertions have to be for. Default: the issuer. */
  audience?: string
}

/** A JWT that was verified. */
export interface Verified {
  header: Json
  claims: Json
}

interface Client { id: string, secret: string, issuer: string }

/** Checks what a client signs as a strict provider does (RFC 7523 §3; RFC 9101 §6): the one way that was registered, each JWT once. */
export class ClientProofs {
  /** What was verified, oldest first. */
  readonly assertions: Verified[] = []
  readonly requestObjects: Verified[] = []
  readonly #seen = new Set<string>()

  /** Throws unless the client has proven itself in its one way. */
  check (headers: Headers, body: URLSearchParams, client: Client, registration: Registration | undefined): void {
    if (registration === undefined) return checkClient(headers, body, client)
    const holds = (isTrue: boolean, description: string) => {
      if (!isTrue) throw new OAuthError('invalid_client', description, 401)
    }
    holds(!headers.has('authorization') && !body.has('client_secret'), 'no secret')
    holds(body.get('client_id') === client.id, 'client_id')
    if (registration.method === 'tls_client_auth') return holds(!body.has('client_assertion'), 'no assertion')
    holds(body.getAll('client_assertion_type').join() === ASSERTION, 'client_assertion_type')
    const { header, claims } = this.#verify(body.get('client_assertion') ?? '', client, registration, 'invalid_client')
    holds(claims.iss === client.id && claims.sub === client.id, 'iss and sub')
    holds(claims.aud === (registration.audience ?? client.issuer), 'aud')
    this.assertions.push({ header, claims })
  }

  /** The parameters of a request object, the claims that protect it left out. */
  unfold (parameters: URLSearchParams, client: Client, registration: Registration | undefined): URLSearchParams {
    const holds = (isTrue: boolean, description: string) => {
      if (!isTrue) throw new OAuthError('invalid_request_object', description)
    }
    holds([...parameters.keys()].sort().join() === 'client_id,request', 'client_id and request alone')
    const { header, claims } = this.#verify(parameters.get('request') as string, client, { ...registration, method: 'private_key_jwt' }, 'invalid_request_object')
    holds(header.typ === 'oauth-authz-req+jwt', 'typ')
    const { iss, aud, exp, iat, nbf, jti, ...request } = claims
    holds(iss === client.id && aud === client.issuer && request.client_id === parameters.get('client_id'), 'iss, aud and client_id')
    this.requestObjects.push({ header, claims })
    return new URLSearchParams(Object.entries(request).map(([name, value]): [string, string] => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]))
  }

  #verify (jwt: string, { id, secret }: Client, { method, publicKey, algorithm }: Registration, error: string): Verified {
    const holds = (isTrue: boolean, description: string) => {
      if (!isTrue) throw new OAuthError(error, description, error === 'invalid_client' ? 401 : 400)
    }
    const parts = jwt.split('.')
    holds(parts.length === 3, 'one JWT')
    const [header, claims] = parts.slice(0, 2).map(part => JSON.parse(Buffer.from(part, 'base64url').toString())) as [Json, Json]
    const [input, signature] = [Buffer.from(`${parts[0]}.${parts[1]}`), Buffer.from(parts[2]!, 'base64url')]
    const isByKey = method === 'private_key_jwt'
    holds(header.alg === (isByKey ? algorithm : 'HS256'), 'alg')
    holds(isByKey ? verifies(String(header.alg), publicKey!, input, signature) : isHmac(secret, input, signature), 'the signature')
    const now = Date.now() / 1000
    const { exp, iat, nbf, jti } = claims as Record<string, number>
    holds(exp! > now && exp! - iat! <= MAX_AGE && iat! <= now && nbf! <= now, 'exp, iat and nbf')
    holds(typeof jti === 'string' && !this.#seen.has(`${id} ${jti}`), 'jti is new')
    this.#seen.add(`${id} ${jti}`)
    return { header, claims }
  }
}

function verifies (alg: string, key: KeyObject, input: Buffer, signature: Buffer): boolean {
  const hash = `sha${alg.slice(2)}`
  if (alg.startsWith('PS')) return verify(hash, input, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: Number(alg.slice(2)) / 8 }, signature)
  if (alg.startsWith('RS')) return verify(hash, input, key, signature)
  if (alg.startsWith('ES')) return verify(hash, input, { key, dsaEncoding: 'ieee-p1363' }, signature)
  return verify(null, input, key, signature)
}

function isHmac (secret: string, input: Buffer, signature: Buffer): boolean {
  const expected = createHmac('sha256', secret).update(input).digest()
  return signature.length === expected.length && timingSafeEqual(signature, expected)
}
