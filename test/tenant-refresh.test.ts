import { setTimeout as sleep } from 'node:timers/promises'
import getPort from 'get-port'
import t, { type Test } from 'tap'
import { READ_LOG, startApi } from '../example/api.ts'
import type { Auth0Options } from '../lib/index.ts'
import { Browser, type BrowserResponse } from './helpers/browser.ts'
import { startExample } from './helpers/example.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'

// Refreshes over real sockets, with oidc-provider, which rotates refresh tokens and takes a second use of one for theft; and an API that verifies what it is sent.

const AUDIENCE = 'https://lantern.example/log'
const LIFETIME = 2 // seconds
const SCOPE = `openid profile email offline_access ${READ_LOG}`

const kinds: Array<[name: string, skip: string | false, options: (t: Test) => Promise<Auth0Options>]> = [
  ['in encrypted cookies', false, async () => ({})],
  ['in Redis', skipWithoutRedis, async t => ({ session: { redis: (await startRedis(t)).url } })]
]

for (const [name, skip, options] of kinds) {
  t.test(`D13, D14 a page that calls an API goes on while its tokens expire, however many tabs ask for it at once; sessions ${name}`, { skip }, async t => {
    const { browser } = await start(t, await options(t))
    const first = issuedAt(await logIn(browser))
    let last = first
    for (let time = 0; time < 2; time++) {
      await sleep(1000 * LIFETIME)
      const tabs = await Promise.all(Array.from({ length: 10 }, () => browser.get('/profile')))
      t.same(tabs.map(({ statusCode }) => statusCode), tabs.map(() => 200))
      const times = new Set(tabs.map(issuedAt))
      t.equal(times.size, 1, 'one token for all')
      t.ok([...times][0]! > last)
      last = [...times][0]!
    }
    await browser.submit('/logout')
    t.match((await browser.navigate('/profile')).url.pathname, '/u/login/')
  })
}

const issuedAt = ({ body }: BrowserResponse) => Date.parse(/datetime="(.+?)"/.exec(body)?.[1] ?? '')

async function logIn (browser: Browser): Promise<BrowserResponse> {
  const page = await browser.navigate('/profile')
  return browser.submit(page.url, { person: 'amara' })
}

async function start (t: Test, auth0: Auth0Options) {
  const port = await getPort()
  const { url, tenant } = await startExample(t, {
    auth0: { authorizationParams: { audience: AUDIENCE, scope: SCOPE }, ...auth0 },
    tenant: { api: { audience: AUDIENCE, scope: READ_LOG, lifetime: LIFETIME } },
    logBook: `http://localhost:${port}/log`
  })
  const api = await startApi({ port, issuer: tenant.issuer, audience: AUDIENCE })
  t.teardown(api.close)
  return { browser: new Browser({ baseUrl: url }) }
}
