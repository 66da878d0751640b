import type { FastifyError } from 'fastify'
import { FST_AUTH0_PROVIDER_UNAVAILABLE } from '../errors.ts'
import { publish } from '../events.ts'
import type { AnyRequest } from '../fastify.ts'
import type { Config } from '../options.ts'
import { ProviderFailure } from '../provider/failures.ts'
import type { Provider, Tokens } from '../provider/provider.ts'
import type { Login, Renewal, RenewedLogin, User } from '../session/sessions.ts'
import { asSameUser } from './same-user.ts'
import { differenceFromLogin, idTokenHint, renewedTokens, type Target } from './login-tokens.ts'

/** The work of a refresh: for one access token of a login that has a refresh token, and on behalf of one request. */
export type Refresh = (target: Target, request: AnyRequest) => Pick<Renewal, 'run' | 'discard'>

export function createRefresh ({ name: instance, onRefresh }: Pick<Config, 'name' | 'onRefresh'>, provider: Pick<Provider, 'refresh' | 'revoke'>): Refresh {
  /** Milliseconds since the epoch: until then the provider asked not to be asked. */
  let pausedUntil = 0

  async function run (target: Target, request: AnyRequest, login: Login): Promise<RenewedLogin> {
    const startedAt = performance.now()
    const tell = (code: string | null) => {
      const { audience, scope } = target
      const { user: { iss, sub } } = login
      publish('refresh', { instance, iss, sub, requestId: request.id, audience, scope, code, milliseconds: performance.now() - startedAt })
    }
    try {
      const renewed = await refresh(target, request, login)
      tell(null)
      request.log.debug({ sub: login.user.sub, audience: target.audience }, 'access token renewed')
      return renewed
    } catch (error) {
      tell((error as FastifyError).code)
      throw error
    }
  }

  async function refresh (target: Target, request: AnyRequest, login: Login): Promise<RenewedLogin> {
    const { user, issuedAt, tokens: { refreshToken, dpopKey } } = login
    if (Date.now() < pausedUntil) throw paused()
    const { iss, sub, auth_time: authTime } = user
    const { tokens, identity } = await provider.refresh(refreshToken as string, differenceFromLogin(login.tokens, target), { iss, sub, authTime, issuedAt, dpopKey }).catch(pause)
    return {
      user: await enriched(identity === null ? user : renewedUser(login, identity.user), target, tokens, request),
      idToken: identity === null ? login.idToken : idTokenHint(identity.idToken),
      issuedAt: identity?.issuedAt ?? issuedAt,
      tokens: renewedTokens(login.tokens, target, tokens)
    }
  }

  return (target, request) => ({
    run: login => run(target, request, login),
    discard ({ tokens: { refreshToken } }) {
      if (refreshToken !== null) provider.revoke(refreshToken) // beside the answer; never fails
    }
  })

  /** An application that fails must not cost anybody the new tokens. */
  async function enriched (user: User, { audience }: Target, tokens: Tokens, request: AnyRequest): Promise<User> {
    if (onRefresh === undefined) return user
    const copy = structuredClone(user)
    try {
      const better = await onRefresh({ user: copy, audience, tokens }, request) ?? copy
      return asSameUser(better, user)
    } catch (error) {
      request.log.error({ err: error }, 'onRefresh failed')
      return user
    }
  }

  function pause (error: unknown): never {
    const { cause } = error as Error
    if (cause instanceof ProviderFailure && cause.retryAfter !== null) pausedUntil = Date.now() + cause.retryAfter * 1000
    throw error
  }

  function paused (): Error {
    const seconds = Math.ceil((pausedUntil - Date.now()) / 1000)
    return new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('refresh: the provider asked not to be asked yet', seconds) })
  }
}

/** What a new ID token says, but for what `onLogin` said better. */
function renewedUser ({ user, ownClaims }: Login, claims: User): User {
  const changed = Object.entries(claims).filter(([name]) => !ownClaims.includes(name))
  return { ...user, ...Object.fromEntries(changed) }
}
