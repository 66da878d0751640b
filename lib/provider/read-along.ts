import type { Configuration, CustomFetch } from 'openid-client'
import { now } from '../clock.ts'
import { openidClient } from './client.ts'
import { isObject } from './document.ts'
import { REFRESH_TOKEN } from './token-answer.ts'

/** What the token endpoint said last, also when openid-client refuses it. */
export interface SeenAnswer {
  /** Seconds since the epoch. */
  receivedAt: number
  refreshToken: string | null
  idToken: string | null
}

/**
 * Reads along what the token endpoint answers, and lets openid-client see it without members that are `null`: with those some providers say that there is
 * nothing to say.
 *
 * @param configuration of one exchange
 */
export async function readAlong (configuration: Configuration): Promise<SeenAnswer> {
  const openid = await openidClient()
  const fetch = configuration[openid.customFetch] as CustomFetch
  const seen: SeenAnswer = { receivedAt: now(), refreshToken: null, idToken: null }
  configuration[openid.customFetch] = async (url, init) => {
    const response = await fetch(url, init)
    if (init.method !== 'POST' || response.status !== 200) return response // keys, or a "no"
    const answer: unknown = await response.clone().json().catch(() => null)
    if (!isObject(answer)) return response
    const { refresh_token: refreshToken, id_token: idToken } = answer
    Object.assign(seen, {
      receivedAt: now(),
      refreshToken: typeof refreshToken === 'string' && REFRESH_TOKEN.test(refreshToken) ? refreshToken : null,
      idToken: typeof idToken === 'string' ? idToken : null
    } satisfies SeenAnswer)
    const said = Object.entries(answer).filter(([, value]) => value !== null)
    return new Response(JSON.stringify(Object.fromEntries(said)), { status: response.status, headers: response.headers })
  }
  return seen
}
