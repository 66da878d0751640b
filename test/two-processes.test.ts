import t from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { Browser } from './helpers/browser.ts'
import { startHost, startProvider } from './helpers/processes.ts'
import type { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis, type RedisServer } from './helpers/redis.ts'

const NAME = 'auth0'
const SUB = 'auth0|ada'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

/** How people are logged out by the second process. */
type End = (person: { browser: Browser, provider: Provider, url: string, sid: string }) => Promise<unknown>

const ends: Record<string, End> = {
  'a logout': ({ browser, url }) => browser.post(`${url}/logout`),
  'a newer login': ({ browser, url }) => browser.login(`${url}/login?returnTo=/me`),
  'back-channel logout by sid': ({ provider, url, sid }) => notify(url, provider.logoutToken({ claims: { sid, sub: undefined } })),
  'back-channel logout by sub': ({ provider, url }) => notify(url, provider.logoutToken())
}

/** Where sessions are. */
const kinds: Record<string, (redis: RedisServer) => { auth0: Auth0Options, ends: Record<string, End> }> = {
  'sessions in Redis': redis => ({
    auth0: { session: { redis: redis.url } },
    ends: { ...ends, 'ending all of a person': ({ browser, url }) => browser.fetch(`${url}/end-all`, { method: 'POST' }) }
  }),
  'encrypted cookies, with revocations in Redis': redis => ({ auth0: { revocations: { redis: redis.url } }, ends })
}

t.test('two processes', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  for (const [kind, options] of Object.entries(kinds)) {
    const { auth0, ends } = options(redis)
    t.test(`promise 1, H1: a slow request in one process does not bring back what ended in the other: ${kind}`, async t => {
      const provider = await startProvider(t)
      const [one, two] = await Promise.all([startHost(t, provider, auth0), startHost(t, provider, auth0)])
      for (const [name, end] of Object.entries(ends)) {
        t.test(name, async t => {
          const browser = new Browser({ baseUrl: one.url, provider })
          await browser.login('/login?returnTo=/me')
          const cookie = `${NAME}=${browser.cookie(NAME)}`
          t.same([await whoHas(one.url, cookie), await whoHas(two.url, cookie)], [SUB, SUB], 'both know them')
          const sid = String(provider.sids.at(-1))

          const slow = fetch(`${one.url}/slow`, { headers: { cookie } })
          await one.says('waiting')
          const ended = await end({ browser, provider, url: two.url, sid }) as { statusCode?: number, status?: number }
          t.ok((ended.statusCode ?? ended.status)! < 400)
          one.goOn()
          const response = await slow
          const { user, updated } = await response.json() as { user: string, updated: boolean | string }
          t.equal(user, SUB, 'it answers as it began')
          t.equal(updated, 'session' in auth0 ? 'FST_AUTH0_LOGIN_REQUIRED' : true)

          const [written = ''] = response.headers.getSetCookie().map(header => header.split(';', 1)[0]!)
          for (const { url } of [one, two]) {
            for (const copy of [cookie, written]) t.equal(await whoHas(url, copy), null, 'the session stays dead')
            t.equal(await (await fetch(`${url}/cart`, { headers: { cookie } })).text(), 'null')
          }
        })
      }
    })
  }
})

function notify (url: string, logoutToken: string): Promise<Response> {
  return fetch(`${url}/backchannel-logout`, { method: 'POST', headers: FORM, body: new URLSearchParams({ logout_token: logoutToken }) })
}

/** Whose cookie it is, as a process sees it. */
async function whoHas (url: string, cookie: string): Promise<string | null> {
  const text = await (await fetch(`${url}/me`, { headers: { cookie } })).text()
  return text === '' || text === 'null' ? null : text
}
