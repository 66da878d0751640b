import { FST_AUTH0_SESSION_UNAVAILABLE } from '../errors.ts'
import type { SessionStoreLike } from '../store/session-store.ts'

/** A store of others that fails with our error: what it says itself is for the log, and no bug of the application. */
export function explainedStore (store: SessionStoreLike): SessionStoreLike {
  return {
    get: (sessionId, callback) => store.get(sessionId, (error, session) => callback(explain(error), session)),
    set: (sessionId, session, callback) => store.set(sessionId, session, error => callback(explain(error))),
    destroy: (sessionId, callback) => store.destroy(sessionId, error => callback(explain(error)))
  }
}

/** Stores in files say of a session that is not there `ENOENT`, which @fastify/session knows. */
export function isFailure (error: unknown): boolean {
  return error != null && (error as { code?: unknown }).code !== 'ENOENT'
}

function explain (error: unknown): unknown {
  return isFailure(error) ? new FST_AUTH0_SESSION_UNAVAILABLE({ cause: error }) : error
}
