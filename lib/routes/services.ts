import type { Addresses } from '../addresses.ts'
import type { BackchannelLogout } from '../backchannel-logout.ts'
import type { ErrorAnswer } from '../error-answer.ts'
import type { Logins } from '../login.ts'
import type { Logout } from '../logout.ts'
import type { MarkOwn } from '../policy/openapi.ts'
import type { Config } from '../options.ts'

/** What the routes need. */
export interface RouteServices {
  config: Config
  addresses: Addresses
  logins: Logins
  logout: Logout
  handleBackchannelLogout: BackchannelLogout
  answerError: ErrorAnswer
  markOwn: MarkOwn
}
