import { isDeepStrictEqual } from 'node:util'
import type { AnyRequest } from '../fastify.ts'
import type { Config } from '../options.ts'
import type { Tokens } from '../provider/provider.ts'
import { frozenCopy } from '../session/frozen-json.ts'
import type { Login, Session, User } from '../session/sessions.ts'
import { nameOfTarget, type Target } from './login-tokens.ts'
import { asSameUser, differentClaims } from './same-user.ts'

const MAX_WAIT = 10_000 // milliseconds

/** What `onRefresh` is to see. */
export interface RefreshedTokens {
  target: Target
  tokens: Tokens
  /** As it was kept with them. */
  login: Login
}

/** Lets `onRefresh` enrich the user of a login whose new tokens are kept already, so that nothing that it does, or fails to do, costs anybody the tokens. Never fails. */
export type RefreshHook = (session: Session, request: AnyRequest, refreshed: RefreshedTokens) => Promise<void>

export function createRefreshHook (onRefresh: Config['onRefresh']): RefreshHook {
  /** What it is at, for each request: a hook that gets a token for the very target that it was called for would call itself for ever. */
  const underWay = new WeakMap<AnyRequest, Set<string>>()

  return async (session, request, { target, tokens, login }) => {
    const names = underWay.get(request) ?? new Set()
    const name = nameOfTarget(target)
    if (onRefresh === undefined || names.has(name)) return
    underWay.set(request, names.add(name))
    const call = async () => {
      const copy = structuredClone(login.user)
      const user = await onRefresh({ user: copy, audience: target.audience, tokens: Object.freeze({ ...tokens }) }, request) ?? copy
      return asSameUser(frozenCopy(user), login.user)
    }
    try {
      await keep(session, login, await within(call()))
    } catch (error) {
      request.log.error({ err: error }, 'onRefresh failed')
    } finally {
      names.delete(name)
    }
  }
}

/** As one more renewal: so it gets wherever the tokens get, and over nothing that is newer. */
async function keep (session: Session, login: Login, user: User): Promise<void> {
  if (isDeepStrictEqual(user, login.user)) return
  const enriched = (newest: User) => withChanges(newest, login.user, user)
  await session.renew({
    name: `onRefresh ${login.tokens.refreshes}`,
    isDone: newest => isDeepStrictEqual(enriched(newest.user), newest.user),
    async run ({ user, idToken, issuedAt, tokens }) {
      const renewed = { user: enriched(user), idToken, issuedAt, tokens: { ...tokens, refreshes: tokens.refreshes + 1 } }
      session.verifyFits?.(renewed)
      return renewed
    },
    discard () {}
  })
}

/** Makes the changes of a hook. What changed meanwhile stays as it became: another refresh may have had a hook of its own. */
function withChanges (newest: User, before: User, after: User): User {
  const changed = differentClaims(before, after).filter(name => isDeepStrictEqual(before[name], newest[name]))
  const kept = Object.entries(newest).filter(([name]) => !changed.includes(name))
  const made = Object.entries(after).filter(([name]) => changed.includes(name))
  return Object.fromEntries([...kept, ...made]) as User
}

async function within<T> (work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const passed = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${MAX_WAIT} ms`)), MAX_WAIT).unref()
  })
  return Promise.race([work, passed]).finally(() => clearTimeout(timer))
}
