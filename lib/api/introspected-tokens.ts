import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import { now } from '../clock.ts'
import { FST_AUTH0_ACCESS_TOKEN_INVALID, FST_AUTH0_PROVIDER_UNAVAILABLE } from '../errors.ts'
import { ProviderFailure } from '../provider/failures.ts'
import { Pauses } from '../provider/pauses.ts'
import type { Provider } from '../provider/provider.ts'
import { frozenCopy } from '../session/frozen-json.ts'
import type { User } from '../session/sessions.ts'
import { judgeIntrospected, type IntrospectionExpectation, type Judgement } from './introspected-claims.ts'

const REMEMBERED = 5000 // of each kind
const LIFETIME = 30 // seconds for which an answer counts, at most: so long a token that was revoked may go on
const MAX_UNDER_WAY = 50 // questions; whoever makes tokens up could else have the provider asked as often as they like
const RETRY_AFTER = 1 // seconds

/** What is remembered of a token. In seconds since the epoch. */
type Answer = Judgement & { until: number }

/** Asks the provider for the claims of an access token that tells none itself. Throws as `BearerTokens`. */
export type IntrospectedTokens = (token: string) => Promise<Readonly<User>>

/** What the provider's answers are judged by. */
export interface IntrospectionOptions extends Omit<IntrospectionExpectation, 'issuer'> {
  isCached: boolean
}

/** @see RFC 7662 §2.2, §4 */
export function createIntrospectedTokens ({ isCached, ...expected }: IntrospectionOptions, provider: Pick<Provider, 'introspect'>): IntrospectedTokens {
  const taken = new LruMap<Answer>(REMEMBERED)
  const refused = new LruMap<Answer>(REMEMBERED) // apart: made-up tokens shall not push good ones out
  const underWay = new Map<string, Promise<Answer>>()
  const pauses = new Pauses()

  function recall (name: string): Answer | null {
    const answer = taken.get(name) ?? refused.get(name)
    return answer === undefined || now() >= answer.until ? null : answer
  }

  /** One question for a token, however many wait. */
  async function askOnce (name: string, token: string): Promise<Answer> {
    const others = underWay.get(name)
    if (others !== undefined) return others
    if (underWay.size >= MAX_UNDER_WAY) throw new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('introspection: too many questions at once', RETRY_AFTER) })
    pauses.begin(name, false)
    const asked = ask(name, token).finally(() => underWay.delete(name))
    underWay.set(name, asked)
    return asked
  }

  async function ask (name: string, token: string): Promise<Answer> {
    const found = await provider.introspect(token).catch(error => {
      pauses.failed(name, error)
      throw error
    })
    const answer = judge(found)
    if (isCached) remember(name, answer)
    return answer
  }

  function judge (found: Awaited<ReturnType<Provider['introspect']>>): Answer {
    const until = now() + LIFETIME
    if (found === null) return { claims: null, reason: 'the provider says that it is not active', validFrom: Infinity, until }
    const judgement = judgeIntrospected(found.claims, { ...expected, issuer: found.issuer })
    if (judgement.claims === null) return { ...judgement, until: Math.min(until, judgement.validFrom) }
    const { exp = Infinity } = judgement.claims as { exp?: number }
    return { claims: frozenCopy(judgement.claims), until: Math.min(until, exp) }
  }

  function remember (name: string, answer: Answer): void {
    taken.delete(name)
    if (answer.claims === null) refused.set(name, answer)
    else taken.set(name, answer)
  }

  return async token => {
    const name = hash('sha256', token, 'base64')
    const answer = recall(name) ?? await askOnce(name, token)
    if (answer.claims === null) throw new FST_AUTH0_ACCESS_TOKEN_INVALID({ cause: new ProviderFailure(`access token: ${answer.reason}`) })
    return answer.claims
  }
}
