import { channel, type Channel } from 'node:diagnostics_channel'

/** Whom an event is about: never more than their issuer and `sub`, and no token, cookie or address. */
interface About {
  /** Option `name` of the instance. */
  instance: string
  iss: string
  sub: string
}

/** `fastify-auth0:login`: a session began. */
export interface LoginMessage extends About {
  /** Fastify's id of the request. */
  requestId: string
}

/** `fastify-auth0:refresh`: a new access token was needed: the provider was asked for it, or had said with `Retry-After` that it is not to be asked yet. */
export interface RefreshMessage extends About {
  requestId: string
  /** The API that was asked for; `null` when none was named. */
  audience: string | null
  /** The scope that was asked for; `null` when it is that of the provider's choice. */
  scope: string | null
  /** Code of the error that it failed with; `null` when it did not. */
  code: string | null
  milliseconds: number
}

/** `fastify-auth0:logout`: a session was ended by the person. */
export interface LogoutMessage extends About {
  requestId: string
}

/** `fastify-auth0:backchannel-logout`: sessions were ended by the provider. */
export interface BackchannelLogoutMessage {
  instance: string
  /** How many; with `revocations` how many marks were made. */
  sessions: number
}

/** `fastify-auth0:refusal`: somebody was not let in, or not logged in. */
export interface RefusalMessage {
  instance: string
  requestId: string
  /** Code of the error. */
  code: string
  statusCode: number
}

/** What is published, by the name behind `fastify-auth0:`. */
export interface EventMessages {
  login: LoginMessage
  refresh: RefreshMessage
  logout: LogoutMessage
  'backchannel-logout': BackchannelLogoutMessage
  refusal: RefusalMessage
}

const channels: Record<keyof EventMessages, Channel> = {
  login: channel('fastify-auth0:login'),
  refresh: channel('fastify-auth0:refresh'),
  logout: channel('fastify-auth0:logout'),
  'backchannel-logout': channel('fastify-auth0:backchannel-logout'),
  refusal: channel('fastify-auth0:refusal')
}

/** Tells whoever subscribed to `node:diagnostics_channel`; costs nothing where nobody did. */
export function publish<Name extends keyof EventMessages> (name: Name, message: EventMessages[Name]): void {
  channels[name].publish(message)
}
