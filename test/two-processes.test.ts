import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import getPort from 'get-port'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { secret } from './helpers/app.ts'
import { Browser } from './helpers/browser.ts'
import type { HostMessage, HostOptions } from './helpers/host-process.ts'
import { Provider } from './helpers/provider.ts'
import { skipWithoutRedis, startRedis, until, type RedisServer } from './helpers/redis.ts'

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

/** A process of the application. */
async function startHost (t: Test, provider: Provider, auth0: Auth0Options) {
  const port = await getPort({ host: 'localhost' })
  const url = `http://localhost:${port}`
  const options: HostOptions = {
    port,
    auth0: { issuer: provider.issuer, clientId: provider.clientId, clientSecret: provider.clientSecret, secret, appBaseUrl: url, ...auth0 }
  }
  const host = fork(fileURLToPath(new URL('helpers/host-process.ts', import.meta.url)), [JSON.stringify(options)]) // with this process' own compiler: coverage is counted in both
  t.teardown(() => endOf(host))
  const says = async (expected: HostMessage) => {
    const [message] = await once(host, 'message')
    if (message !== expected) throw new Error(`the process says ${message}`)
  }
  await says('listening')
  await until('it reaches Redis', async () => (await fetch(`${url}/login`, { redirect: 'manual' })).status !== 503)
  return { url, says, goOn: () => { host.send('go on') } }
}

async function endOf (host: ChildProcess): Promise<void> {
  if (host.exitCode !== null || host.signalCode !== null) return
  host.kill()
  await once(host, 'exit')
}

/** The provider in memory, over a socket. */
async function startProvider (t: Test): Promise<Provider & { sids: unknown[] }> {
  const port = await getPort({ host: '127.0.0.1' })
  const provider = Object.assign(new Provider({ issuer: `http://127.0.0.1:${port}/` }), { sids: [] as unknown[] })
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray()
    const body = chunks.length === 0 ? null : Buffer.concat(chunks)
    const answer = await provider.fetch(new URL(request.url!, provider.issuer), { method: request.method!, headers: request.headers as Record<string, string>, body })
    const text = await answer.text()
    const { id_token: idToken } = JSON.parse(text) as { id_token?: string }
    if (idToken !== undefined) provider.sids.push(JSON.parse(Buffer.from(idToken.split('.')[1]!, 'base64url').toString()).sid)
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(text)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return provider
}

function notify (url: string, logoutToken: string): Promise<Response> {
  return fetch(`${url}/backchannel-logout`, { method: 'POST', headers: FORM, body: new URLSearchParams({ logout_token: logoutToken }) })
}

/** Whose cookie it is, as a process sees it. */
async function whoHas (url: string, cookie: string): Promise<string | null> {
  const text = await (await fetch(`${url}/me`, { headers: { cookie } })).text()
  return text === '' || text === 'null' ? null : text
}
