import { isDeepStrictEqual } from 'node:util'
import type { FastifyError } from 'fastify'
import { FST_AUTH0_PROVIDER_UNAVAILABLE } from '../errors.ts'
import { publish } from '../events.ts'
import type { AnyRequest } from '../fastify.ts'
import type { Config } from '../options.ts'
import { ProviderFailure } from '../provider/failures.ts'
import { Pauses } from '../provider/pauses.ts'
import type { Provider, Tokens } from '../provider/provider.ts'
import { present } from '../session/renewals.ts'
import type { AccessToken, Login, LoginTokens, RenewedLogin, Session, User } from '../session/sessions.ts'
import { differenceFromLogin, idTokenHint, nameOfTarget, renewedTokens, tokenFor, type Target } from './login-tokens.ts'
import { createRefreshHook } from './refresh-hook.ts'

/** For what there is to be a new access token. */
export interface NeededToken {
  target: Target
  /** Whether a token that is there by now will do. */
  isWanted (token: AccessToken | null): boolean
  /** Whether there is a valid one, which will do if need be. */
  hasValid: boolean
}

/** Gets a new access token for a login that has a refresh token, on behalf of one request. Gives all that the login has then. */
export type Refresh = (session: Session, request: AnyRequest, wanted: NeededToken) => Promise<LoginTokens>

/** What the provider answered to one request. */
type Brought = { failure: null, tokens: Tokens } | { failure: FastifyError }

export function createRefresh ({ name: instance, onRefresh }: Pick<Config, 'name' | 'onRefresh'>, provider: Pick<Provider, 'refresh' | 'revoke'>): Refresh {
  const pauses = new Pauses()
  const enrich = createRefreshHook(onRefresh)

  return async (session, request, { target, isWanted, hasValid }) => {
    const before = present(session.login)
    const turn = pauses.begin(before.id, hasValid)
    const brought: { last: Brought | null } = { last: null }
    const login = await session.renew({
      name: nameOfTarget(target),
      isDone: ({ tokens }) => isWanted(tokenFor(tokens, target)),
      async run (login) {
        pauses.verifyNoneSince(turn, login.id)
        const { renewed, ...answer } = await run(target, request, login)
        brought.last = answer
        return renewed
      },
      discard ({ tokens: { refreshToken } }) {
        if (refreshToken !== null) provider.revoke(refreshToken) // beside the answer; never fails
      }
    })
    const given = tokenFor(login.tokens, target)
    const { last } = brought
    const isNew = last?.failure === null || !isDeepStrictEqual(given, tokenFor(before.tokens, target))
    if (!isNew) throw last?.failure ?? new FST_AUTH0_PROVIDER_UNAVAILABLE({ cause: new ProviderFailure('refresh: what another request brought is of no use') })
    if (last?.failure === null && last.tokens.accessToken === given?.token) await enrich(session, request, { target, tokens: last.tokens, login })
    return login.tokens
  }

  async function run (target: Target, request: AnyRequest, login: Login): Promise<Brought & { renewed: RenewedLogin }> {
    const startedAt = performance.now()
    const tell = (code: string | null) => {
      const { audience, scope } = target
      const { user: { iss, sub } } = login
      publish('refresh', { instance, iss, sub, requestId: request.id, audience, scope, code, milliseconds: performance.now() - startedAt })
    }
    try {
      const brought = await refresh(target, login)
      if (brought.failure !== null) pauses.failed(login.id, brought.failure)
      else pauses.succeeded(login.id)
      tell(brought.failure?.code ?? null)
      if (brought.failure === null) request.log.debug({ sub: login.user.sub, audience: target.audience }, 'access token renewed')
      return brought
    } catch (error) {
      pauses.failed(login.id, error)
      tell((error as FastifyError).code)
      throw error
    }
  }

  async function refresh (target: Target, login: Login): Promise<Brought & { renewed: RenewedLogin }> {
    const { user, idToken, issuedAt, tokens: { refreshToken, dpopKey } } = login
    const { iss, sub, auth_time: authTime } = user
    const answer = await provider.refresh(refreshToken as string, differenceFromLogin(login.tokens, target), { iss, sub, authTime, issuedAt, dpopKey })
    if (answer.failure !== null) {
      const tokens = { ...login.tokens, refreshToken: answer.refreshToken, refreshes: login.tokens.refreshes + 1 }
      return { failure: answer.failure as FastifyError, renewed: { user, idToken, issuedAt, tokens } }
    }
    const { tokens, identity } = answer
    const renewed = {
      user: identity === null ? user : renewedUser(login, identity.user),
      idToken: identity === null ? idToken : idTokenHint(identity.idToken),
      issuedAt: Math.max(issuedAt, identity?.issuedAt ?? 0), // the provider's clocks may differ
      tokens: renewedTokens(login.tokens, target, tokens)
    }
    return { failure: null, tokens, renewed }
  }
}

/** What a new ID token says, but for what `onLogin` said better. */
function renewedUser ({ user, ownClaims }: Login, claims: User): User {
  const changed = Object.entries(claims).filter(([name]) => !ownClaims.includes(name))
  return { ...user, ...Object.fromEntries(changed) }
}
