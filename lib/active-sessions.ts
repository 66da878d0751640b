import { FST_AUTH0_LOGIN_REQUIRED, FST_AUTH0_STORE_REQUIRED } from './errors.ts'
import type { AnyRequest } from './fastify.ts'
import type { RequestAuth } from './request-auth.ts'
import type { KnownSession, SessionDirectory, Sessions } from './session/sessions.ts'

/** A session of a person. Times in seconds since the epoch. */
export interface ActiveSession extends KnownSession {
  /** Whether it is that of the request which was given. */
  readonly current: boolean
}

/**
 * `app.auth0.sessions`: who is logged in where, and ending that. Needs sessions in Redis, or in a `MemoryStore`.
 *
 * @throws {FST_AUTH0_STORE_REQUIRED} 500 where sessions are kept elsewhere
 * @throws {FST_AUTH0_SESSION_UNAVAILABLE} 503
 */
export interface ActiveSessions {
  /** The sessions of a person of this provider, newest first. With a request, it is told which one is that request's. */
  list (sub: string, request?: AnyRequest): Promise<ActiveSession[]>
  /** Ends one, wherever it is in use. Gives whether it was there. Whose it is, is for the caller to verify. */
  end (id: string): Promise<boolean>
  /** Ends all of a person, e.g. when an account is closed. Gives how many there were. */
  endAll (person: { sub: string }): Promise<number>
  /**
   * Ends all of whoever is calling but the one of this request. Gives how many there were.
   *
   * @throws {FST_AUTH0_LOGIN_REQUIRED} 401
   */
  endOthers (request: AnyRequest): Promise<number>
}

/** Who brings an access token has no session, whatever cookies come with it. */
function currentId ({ bringsToken, currentSession }: RequestAuth): string | null {
  return bringsToken ? null : currentSession.id
}

export function createActiveSessions ({ directory }: Sessions, authOf: (request: AnyRequest) => RequestAuth): ActiveSessions {
  function known (): SessionDirectory {
    if (directory === null) throw new FST_AUTH0_STORE_REQUIRED('"session.redis"')
    return directory
  }

  return {
    async list (sub, request) {
      const current = request === undefined ? null : currentId(authOf(request))
      return (await known().list(sub)).map(session => ({ ...session, current: session.id === current }))
    },
    end: async id => known().end(id),
    endAll: async ({ sub }) => known().endAll(sub, null),
    async endOthers (request) {
      const { login, currentSession } = authOf(request)
      if (login === null) throw new FST_AUTH0_LOGIN_REQUIRED()
      return known().endAll(login.user.sub, currentSession.id)
    }
  }
}
