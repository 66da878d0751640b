import { isDeepStrictEqual } from 'node:util'
import type { Seal } from './seal.ts'
import type { Login, User } from './sessions.ts'

/** A login without those claims that its ID token has in it. */
interface LeanLogin extends Omit<Login, 'user'> {
  /** What the ID token does not say, or says otherwise. */
  user: Partial<User>
  /** Names of the claims of the ID token that are none of the user's. */
  without: readonly string[]
}

/** Makes a seal for logins that says nothing twice: a fifth of a cookie would be claims that stand in the ID token, too. */
export function createLeanSeal (seal: Seal): Seal {
  return {
    seal: login => seal.seal(lean(login as Login)),
    open (sealed) {
      const kept = seal.open(sealed) as LeanLogin | null
      return kept === null ? null : whole(kept)
    }
  }
}

function lean (login: Login): LeanLogin {
  const { user, idToken } = login
  const known = claimsOf(idToken)
  const own = Object.entries(user).filter(([name, value]) => !(Object.hasOwn(known, name) && isDeepStrictEqual(known[name], value)))
  return { ...login, user: Object.fromEntries(own), without: Object.keys(known).filter(name => !Object.hasOwn(user, name)) }
}

function whole ({ without, ...login }: LeanLogin): Login {
  const known = claimsOf(login.idToken)
  for (const name of without) delete known[name]
  return { ...login, user: { ...known, ...login.user } as User }
}

/** Of an ID token that was verified when it came. */
function claimsOf (idToken: string | null): Record<string, unknown> {
  const [, payload] = idToken?.split('.') ?? []
  return payload === undefined ? {} : JSON.parse(Buffer.from(payload, 'base64url').toString())
}
