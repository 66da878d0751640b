import { createServer } from 'node:http'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { AddressInfo } from 'node:net'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { Browser } from './helpers/browser.ts'
import { startExample } from './helpers/example.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'

// Back-channel logout over real sockets. It is oidc-provider that makes the logout tokens, signs them and posts them.

const kinds: Array<[name: string, skip: string | false, options: (t: Test) => Promise<Auth0Options>]> = [
  ['in memory', false, async () => ({ session: { store: new MemoryStore() } })],
  ['in Redis', skipWithoutRedis, async t => ({ session: { redis: (await startRedis(t)).url } })],
  ['in encrypted cookies, with revocations', false, async () => ({ revocations: {} })],
  ['in encrypted cookies, with revocations in Redis', skipWithoutRedis, async t => ({ revocations: { redis: (await startRedis(t)).url } })]
]

for (const [name, skip, options] of kinds) {
  t.test(`I9 a logout token of oidc-provider ends the session that it names, and no other; sessions ${name}`, { skip }, async t => {
    const { open, tenant, posts } = await start(t, await options(t))
    const [one, other] = [await open(), await open()]
    const { sid } = (await one.get('/me')).json()
    t.equal(typeof sid, 'string')

    await one.get(`${tenant.issuer}v2/logout`)
    t.equal((await one.get('/me')).location?.pathname, '/login')
    t.equal((await other.get('/me')).statusCode, 200, 'the same person in another browser')

    t.equal(posts.length, 1)
    const [{ type, token, status, caching }] = posts as [Post]
    t.equal(type, 'application/x-www-form-urlencoded')
    t.same(decodeProtectedHeader(token).typ, 'logout+jwt')
    t.match(decodeJwt(token), { iss: tenant.issuer, aud: 'lantern', sid, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } })
    t.equal(status, 200)
    t.match(caching, 'no-store')

    await logIn(one)
    t.equal((await one.get('/me')).statusCode, 200, 'who logs in again is logged in again')
  })
}

t.test('an application that is down, or answers with an error, keeps nobody from logging out at the tenant', async t => {
  const { open, tenant, posts } = await start(t, {}) // whose application has no such route
  const browser = await open()
  const answer = await browser.get(`${tenant.issuer}v2/logout`)
  t.equal(answer.statusCode, 200)
  t.same(posts.map(({ status }) => status), [404])
  t.equal((await browser.get('/me')).statusCode, 200, 'here nobody knows')
  await browser.submit('/logout')
  t.equal((await browser.navigate('/profile')).url.origin, new URL(tenant.issuer).origin)
})

/** What the tenant sent, and how it was answered. */
interface Post {
  type: string | undefined
  token: string
  status: number
  caching: string | null
}

async function start (t: Test, auth0: Auth0Options) {
  const posts: Post[] = []
  // Between the tenant and the application, to see what they say.
  const between = createServer(async (request, response) => {
    const { 'content-type': type } = request.headers
    const body = await text(request)
    const answer = await fetch(`${url}/backchannel-logout`, { method: 'POST', headers: { 'content-type': type! }, body })
    posts.push({ type, token: new URLSearchParams(body).get('logout_token')!, status: answer.status, caching: answer.headers.get('cache-control') })
    response.writeHead(answer.status).end(await answer.text())
  })
  await once(between.listen(0, 'localhost'), 'listening')
  t.teardown(() => between.close())

  const { url, tenant } = await startExample(t, {
    auth0,
    tenant: { backchannelLogoutUri: `http://localhost:${(between.address() as AddressInfo).port}/` },
    routes: app => app.get('/me', { preHandler: app.requireAuth() }, async request => request.auth0.user)
  })
  const open = async () => logIn(new Browser({ baseUrl: url }))
  return { tenant, posts, open }
}

async function logIn (browser: Browser): Promise<Browser> {
  await browser.submit((await browser.navigate('/login')).url, { person: 'amara' })
  return browser
}
