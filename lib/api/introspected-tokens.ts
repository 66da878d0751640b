import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import { now } from '../clock.ts'
import { FST_AUTH0_ACCESS_TOKEN_INVALID } from '../errors.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { Provider } from '../provider/provider.ts'
import { frozenCopy } from '../session/frozen-json.ts'
import type { User } from '../session/sessions.ts'

const REMEMBERED = 5000
const LIFETIME = 30 // seconds for which an answer counts, at most: so long a token that was revoked may go on

/** What is remembered of a token; `null`: that it is good for nothing. */
interface Answer {
  claims: Readonly<User> | null
  until: number
}

/** Asks the provider for the claims of an access token that tells none itself. Throws as `BearerTokens`. */
export type IntrospectedTokens = (token: string) => Promise<Readonly<User>>

/** @see RFC 7662 §2.2, §4 */
export function createIntrospectedTokens ({ audiences, isCached }: { audiences: readonly string[], isCached: boolean }, provider: Pick<Provider, 'introspect'>): IntrospectedTokens {
  const known = new LruMap<Answer>(REMEMBERED)
  const underWay = new Map<string, Promise<Answer>>()

  async function ask (token: string): Promise<Answer> {
    const found = await provider.introspect(token)
    const claims = found === null ? null : parse(found.claims, found.issuer)
    return { claims, until: Math.min(now() + LIFETIME, claims?.exp as number | undefined ?? Infinity) }
  }

  /** `null` for one that was not for us. */
  function parse (claims: Readonly<Record<string, unknown>>, issuer: string): Readonly<User> | null {
    const { iss = issuer, aud, exp = Infinity, nbf = 0, client_id: clientId, sub = clientId } = claims
    const isForUs = [aud].flat().some(audience => audiences.includes(audience as string))
    const isNow = typeof exp === 'number' && now() < exp && typeof nbf === 'number' && nbf <= now()
    return iss === issuer && isForUs && isNow && typeof sub === 'string' && sub !== '' ? frozenCopy({ ...claims, iss, sub }) : null
  }

  return async token => {
    const name = hash('sha256', token, 'base64')
    let answer = known.get(name)
    if (answer === undefined || now() >= answer.until) {
      const asked = underWay.get(name) ?? ask(token).finally(() => underWay.delete(name))
      underWay.set(name, asked)
      answer = await asked
      if (isCached) known.set(name, answer)
    }
    if (answer.claims === null) throw new FST_AUTH0_ACCESS_TOKEN_INVALID({ cause: new ProviderFailure('access token: the provider says that it is not active, or not for this API') })
    return answer.claims
  }
}
