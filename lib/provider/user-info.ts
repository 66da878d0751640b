import type { FastifyBaseLogger } from 'fastify'
import type { Configuration, DPoPOptions, IDToken } from 'openid-client'
import { openidClient } from './client.ts'
import { UnusableAnswerError, isFailedRequest, providerError } from './failures.ts'
import { isTooDeep } from './nesting.ts'

/**
 * When UserInfo is asked: `'missing'` when a claim of a requested scope is not in the ID token; then the login goes on without
 * when UserInfo fails. `'always'`: then a failure is one of the login. `false`: never.
 */
export type UserInfoPolicy = 'missing' | 'always' | false

/** The claim that stands for its scope: who has it has what the provider knows (OpenID Connect Core 1.0 §5.4). */
const CLAIM_OF_SCOPE = { profile: 'name', email: 'email', phone: 'phone_number', address: 'address' }

/** What is said of this very login, and not of the person: the ID token's alone to say. */
const LOGIN_CLAIMS = new Set(['iss', 'auth_time', 'acr', 'amr', 'sid'])

interface LoggedIn {
  claims: IDToken
  accessToken: string
  /** Where the token is bound to a key. */
  proof: DPoPOptions
  scope: string
}

/** Asks the UserInfo endpoint for claims (OpenID Connect Core 1.0 §5.3). */
export function createUserInfo (policy: UserInfoPolicy, log: FastifyBaseLogger) {
  function isWanted (known: Configuration, { claims, scope }: LoggedIn): boolean {
    if (policy !== 'missing') return policy === 'always'
    if (known.serverMetadata().userinfo_endpoint === undefined) return false
    const scopes = scope.split(' ')
    return Object.entries(CLAIM_OF_SCOPE).some(([name, claim]) => scopes.includes(name) && claims[claim] === undefined)
  }

  return {
    /**
     * Claims beyond those of the ID token.
     *
     * @throws {FST_AUTH0_PROVIDER_FAILED} 502 when they are of another person (§5.3.2) or cannot be used
     */
    async claims (known: Configuration, login: LoggedIn): Promise<Record<string, unknown>> {
      if (!isWanted(known, login)) return {}
      const { fetchUserInfo } = await openidClient()
      try {
        const claims = await fetchUserInfo(known, login.accessToken, login.claims.sub, login.proof)
        if (isTooDeep(claims)) throw new UnusableAnswerError('claims that nest too deep') // in a JWT
        return withoutForeignProofs(claims, login.claims)
      } catch (error) {
        if (policy === 'always' || !isFailedRequest(error)) throw providerError(error, 'UserInfo')
        log.warn({ err: providerError(error, 'UserInfo') }, 'login goes on without UserInfo')
        return {}
      }
    }
  }
}

/** What is left of UserInfo: nothing of the login, and no word that another address than the ID token's is verified. */
function withoutForeignProofs (userInfo: Record<string, unknown>, idToken: IDToken): Record<string, unknown> {
  const isForeign = (claim: string) => idToken[claim] !== undefined && idToken[claim] !== userInfo[claim]
  return Object.fromEntries(Object.entries(userInfo).filter(([name]) => !LOGIN_CLAIMS.has(name) && !isForeign(name.replace(/_verified$/, ''))))
}
