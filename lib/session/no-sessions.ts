import { FST_AUTH0_LOGIN_REQUIRED } from '../errors.ts'
import type { Session, Sessions } from './sessions.ts'

const refuse = async (): Promise<never> => { throw new FST_AUTH0_LOGIN_REQUIRED() }

const nothing = () => {}

const NOBODY: Session = { login: null, id: null, verifyStartable: refuse, start: refuse, renew: refuse, update: refuse, end: refuse, commit: nothing, close: nothing }

/** Where nobody logs in: cookies are not looked at. */
export const NO_SESSIONS: Sessions = { open: () => NOBODY, mustFetch: false, endByProvider: null, seenTokens: null, directory: null }
