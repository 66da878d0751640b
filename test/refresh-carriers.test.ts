import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import session from '@fastify/session'
import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { buildTokenSite, holdRefresh, LIFETIME, says } from './helpers/token-site.ts'

// Who keeps renewed tokens, when the request that got them cannot.

const inCookies: Record<string, () => Auth0Options> = {
  'encrypted cookies': () => ({}),
  'encrypted cookies, with revocations': () => ({ revocations: {} })
}
const inAForeignStore: Record<string, () => Auth0Options> = {
  'a store of others': () => ({ session: { store: new session.MemoryStore() } })
}
const kinds = { ...inCookies, ...inAForeignStore, 'a MemoryStore': () => ({ session: { store: new MemoryStore() } }) }
const MINUTE = 61 // seconds; by then no process remembers what became of a login

for (const [name, auth0] of Object.entries(kinds)) {
  t.test(`${name}: a page that is loaded again while its tokens are renewed keeps them`, async t => {
    for (const page of ['/token', '/slow']) {
      const { cookie, provider, clock, open, send, keep, ask } = await build(t, auth0())
      clock.advance(LIFETIME)
      const held = holdRefresh(provider)
      const first = await open(page, cookie())
      await held.done
      first.destroy()
      await sleep(20) // until the server knows
      const second = send('/token', cookie())
      await sleep(20)
      held.release()
      t.equal(keep(await second).statusCode, 200)
      await sleep(150) // until the first handler is done, too
      clock.advance(MINUTE)
      t.equal((await ask()).statusCode, 200)
      t.same([provider.refreshes.length, provider.reuses], [1, 0])
    }
  })

  t.test(`${name}: a handler that does not wait for its tokens leaves them to who does`, async t => {
    const { cookie, provider, clock, send, keep, ask } = await build(t, auth0())
    clock.advance(LIFETIME)
    const held = holdRefresh(provider)
    const hasty = send('/hasty', cookie())
    await held.done
    const patient = send('/token', cookie())
    t.equal((await hasty).body, 'later')
    held.release()
    t.equal(keep(await patient).statusCode, 200)
    clock.advance(MINUTE)
    t.equal((await ask()).statusCode, 200)
    t.same([provider.refreshes.length, provider.reuses], [1, 0])
  })

  t.test(`${name}: a login that is refused ends, though who asked has answered already`, async t => {
    const { cookie, provider, clock, send, isLoggedIn } = await build(t, auth0())
    clock.advance(LIFETIME)
    const [asked, refused] = [new Moment(), new Moment()]
    provider.failNext('token', async () => {
      asked.come()
      await refused.hasCome
      return says('invalid_grant')()
    })
    const hasty = send('/hasty', cookie())
    await asked.hasCome
    const patient = send('/token', cookie())
    t.equal((await hasty).body, 'later')
    refused.come()
    t.match((await patient).json(), { statusCode: 401, code: 'FST_AUTH0_REFRESH_TOKEN_REFUSED' })
    t.notOk(await isLoggedIn())
    t.equal(provider.refreshes.length, 1)
  })

  t.test(`${name}: who has sent the headers gets what others brought, and spends nothing`, async t => {
    const { cookie, provider, clock, send, keep, streams } = await build(t, auth0())
    const begun = cookie()
    t.match((await send('/stream', begun)).body, /^access-token/, 'the one that is there')
    clock.advance(LIFETIME)
    const [sent, asks] = [new Moment(), new Moment()]
    streams.push(async () => {
      sent.come()
      await asks.hasCome
    })
    const stream = send('/stream', begun)
    await sent.hasCome
    const { accessToken } = keep(await send('/token', begun)).json()
    asks.come()
    t.equal((await stream).body, accessToken)
    t.equal(provider.refreshes.length, 1)
  })
}

for (const [name, auth0] of Object.entries({ ...inCookies, ...inAForeignStore })) {
  t.test(`${name}: who has sent the headers spends no refresh token, which could not be kept`, async t => {
    const { cookie, provider, clock, send } = await build(t, auth0())
    clock.advance(LIFETIME)
    t.equal((await send('/stream', cookie())).body, 'FST_AUTH0_SESSION_WRITTEN')
    t.equal(provider.refreshes.length, 0)
  })

  t.test(`${name}: who has sent the headers gets the token that is there, for as long as it is good`, async t => {
    const { cookie, provider, clock, send } = await build(t, auth0())
    clock.advance(LIFETIME - 50)
    t.match((await send('/stream', cookie())).body, /^access-token/)
    t.equal(provider.refreshes.length, 0)
  })
}

for (const [name, auth0] of Object.entries(inCookies)) {
  t.test(`${name}: an answer for caches that gets new tokens is for them no more`, async t => {
    const { cookie, clock, send, logs } = await build(t, auth0())
    const before = await send('/news', cookie())
    t.same([before.headers['cache-control'], before.headers['set-cookie']], ['public, max-age=600', undefined])
    clock.advance(LIFETIME)
    const renewed = await send('/news', cookie())
    t.same([renewed.headers['cache-control'], renewed.headers['cdn-cache-control'], renewed.cookies.length > 0], ['private, no-store', undefined, true])
    t.match(logs.text, 'this answer is not for caches')
  })
}

/** Something that a test waits for, or brings about. */
class Moment {
  come = () => {}
  readonly hasCome = new Promise<void>(resolve => { this.come = resolve })
}

async function build (t: Test, auth0: Auth0Options) {
  /** What streams do between their headers and the rest. */
  const streams: Array<() => Promise<void>> = []
  const site = await buildTokenSite(t, {
    auth0,
    routes: app => {
      app.get('/hasty', async request => Promise.race([request.auth0.getAccessToken(), sleep(50).then(() => 'later')]))
      app.get('/slow', async request => {
        const token = await request.auth0.getAccessToken()
        await sleep(100)
        return token
      })
      app.get('/news', async (request, reply) => {
        await request.auth0.getAccessToken()
        return reply.header('cache-control', 'public, max-age=600').header('cdn-cache-control', 'max-age=600').send('news')
      })
      app.get('/stream', async (request, reply) => {
        async function * pieces () {
          await streams.shift()?.()
          yield await request.auth0.getAccessToken().catch(error => error.code)
        }
        return reply.send(Readable.from(pieces()))
      })
    }
  })
  await site.app.listen({ port: 0 })
  const { port } = site.app.server.address() as AddressInfo
  return {
    ...site,
    streams,
    /** As `send`, over a socket, without waiting for the answer. */
    open: async (path: string, cookie: string) => {
      const request = httpRequest({ port, path, headers: { cookie, 'x-forwarded-proto': 'https', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' } })
      request.on('error', () => {})
      request.end()
      await once(request, 'finish')
      return request
    },
    /** Has the browser keep the cookies of an answer. */
    keep: (answer: LightMyRequestResponse) => {
      for (const header of [answer.headers['set-cookie'] ?? []].flat()) site.browser.cookies.keep(header, new URL('https://app.example.com'), 'strict')
      return answer
    }
  }
}
