import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { appBaseUrl, buildApp, leaks, type BuildOptions, type Built, secret } from './helpers/app.ts'
import type { Callback } from './helpers/provider.ts'

// promise 8, D15: what is secret stays out of the log, at every level. The application of these tests logs at `trace`.

const ISSUER = 'https://tenant.eu.auth0.com/'
const paths = ['/login', '/callback', '/logout']

t.test('Fastify\'s own lines on our routes show no query, for every method and answer (RFC 9700 §4.2.4)', async t => {
  const built = await buildApp(t, { browser: { refusedCookies: 'note' } })
  await t.test('and the routes do what they do', async () => { await visitAll(built) })
  const lines = built.logs.lines.filter(({ req }) => paths.includes(pathOf(req)))
  t.ok(lines.length > 15, `${lines.length} lines`)
  for (const { req } of lines) {
    t.strictSame(Object.keys(req as object).sort(), ['host', 'method', 'remoteAddress', 'url'])
    t.ok(paths.includes((req as { url: string }).url), (req as { url: string }).url)
  }
  t.notMatch(built.logs.text, 'canary')
})

t.test('nor with serializers of the application\'s own, which all other routes have', async t => {
  let text = ''
  const logger: FastifyServerOptions['logger'] = {
    level: 'trace',
    stream: { write: (line: string) => { text += line } },
    serializers: {
      req: ({ method, url, headers, query }) => ({ method, url, headers, query }) as never,
      res: ({ statusCode, request }) => ({ statusCode, url: request?.url, headers: request?.headers }) as never
    }
  }
  const built = await buildApp(t, { fastify: { logger }, routes: app => app.get('/other', async () => 'x') })
  await visitAll(built)
  t.match(text, '/callback')
  t.notMatch(text, 'canary')
  await built.browser.get('/other?a=seen')
  t.match(text, '/other?a=seen', 'and who wants their own query has it')
})

t.test('nor when onError throws into the application\'s error handler', async t => {
  for (const before of [undefined, (app: FastifyInstance) => app.setErrorHandler(async (_error, _request, reply) => reply.code(418).send('teapot'))]) {
    const built = await buildApp(t, { auth0: { onError: error => { throw error } }, ...before === undefined ? {} : { before } })
    const response = await built.browser.get('/callback?code=canary&state=canary')
    t.equal(response.statusCode, before === undefined ? 400 : 418)
    t.match(response.headers, { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
    t.notMatch(built.logs.text, 'canary')
  }
})

t.test('nor when onError throws an error of its own, or answers twice', async t => {
  const built = await buildApp(t, {
    auth0: {
      onError: (_error, request, reply) => {
        if (request.headers['x-throw'] !== undefined) throw new TypeError('a bug')
        reply.send('mine')
      }
    }
  })
  const thrown = await built.browser.get('/callback?code=canary&state=canary', { headers: { 'x-throw': '1' } })
  t.equal(thrown.statusCode, 500)
  t.equal((await built.browser.get('/callback?code=canary&state=canary')).body, 'mine')
  t.notMatch(built.logs.text, 'canary')
})

const late: Array<[name: string, endpoint: 'token' | 'discovery', address: string | null]> = [
  ['token endpoint', 'token', null],
  ['metadata, at the callback', 'discovery', null],
  ['metadata, at the login', 'discovery', '/login?login_hint=canary']
]
for (const [name, endpoint, address] of late) {
  t.test(`nor when Fastify's handlerTimeout was faster than the provider's ${name}`, async t => {
    const { browser, provider } = await buildApp(t)
    const callback = await browser.leave('/login?prompt=none', { authorize: { callback: endpoint === 'token' ? {} : { error: 'login_required' } } })
    const restarted = await buildApp(t, { provider, fastify: { handlerTimeout: 50 } })
    provider.failNext(endpoint, 'slow')
    const before = provider.calls.length
    const response = await restarted.browser.get(address ?? callback.url, { headers: { cookie: browser.cookies.header(callback.url) } })
    t.equal(response.statusCode, 503)
    await answered(provider, before)
    t.notMatch(restarted.logs.text, 'canary')
    revealsNothing(t, restarted, callback)
  })
}

const journeys: Array<[name: string, options: BuildOptions]> = [
  ['by query', {}],
  ['by form_post', { auth0: { authorizationParams: { response_mode: 'form_post' } } }],
  ['with a pushed request', { auth0: { pushedAuthorizationRequests: true } }],
  ['with Basic and UserInfo', { auth0: { clientAuthMethod: 'client_secret_basic', userInfo: 'always' } }],
  ['with strict cookies', { auth0: { session: { cookie: { sameSite: 'strict' } } } }]
]
for (const [name, options] of journeys) {
  t.test(`D15 the whole log of a login ${name} has no code, state, verifier, token, secret or cookie`, async t => {
    const built = await buildApp(t, { ...options, provider: { issuer: ISSUER } })
    const { browser } = built
    const callback = await browser.leave('/login?returnTo=/me')
    const sent = browser.cookies.at(new URL(appBaseUrl)).map(({ value }) => value)
    await browser.comeBack(callback)
    await browser.comeBack(callback)
    sent.push(...browser.cookies.at(new URL(appBaseUrl)).map(({ value }) => value))
    await browser.get('/me')
    await browser.submit('/logout')
    revealsNothing(t, built, callback, sent)
  })
}

const faults = ['invalid_grant', 'invalid_client', '500', 'html', 'invalid JSON', 'reset while reading', 'no access token', 'numeric access token', 'token type mac'] as const
for (const fault of faults) {
  t.test(`D15 nor does that of a login that fails by ${fault}, or the page that says so`, async t => {
    const built = await buildApp(t)
    const callback = await built.browser.leave()
    built.provider.fail('token', fault)
    const page = await built.browser.comeBack(callback)
    t.ok(page.statusCode >= 400)
    revealsNothing(t, built, callback, [], page.body)
  })
}

for (const forgery of ['iss of another', 'alg none', 'claims changed after signing', 'exp past', 'nonce of another', 'sub missing'] as const) {
  t.test(`D15 nor does that of an ID token with ${forgery}`, async t => {
    const built = await buildApp(t)
    const callback = await built.browser.leave()
    built.provider.forge('idToken', forgery)
    const page = await built.browser.comeBack(callback)
    t.ok(page.statusCode >= 400)
    revealsNothing(t, built, callback, [], page.body)
  })
}

t.test('D15 nor does that of a refusal by onLogin, or of a denial', async t => {
  const built = await buildApp(t, { auth0: { onLogin: () => { throw new Error('no') } } })
  const callback = await built.browser.leave()
  const page = await built.browser.comeBack(callback)
  revealsNothing(t, built, callback, [], page.body)
  const denied = await built.browser.leave('/login', { authorize: { callback: { error: 'access_denied', error_description: 'They said no' } } })
  await built.browser.comeBack(denied)
  revealsNothing(t, built, denied)
  t.match(built.logs.text, 'They said no', 'but why it was denied stands there')
})

/** Every route of ours by every method, as a browser and as a script, with a query that must not be logged. */
async function visitAll ({ browser }: Built): Promise<void> {
  const query = '?code=canary&state=canary&returnTo=/canary&login_hint=canary&error_description=canary'
  for (const path of paths) {
    for (const method of ['GET', 'HEAD']) {
      await browser.get(path + query, { method })
      await browser.fetch(path + query, { method })
      await browser.get(path + query, { method, headers: { 'sec-purpose': 'prefetch' } })
    }
    if (path !== '/login') await browser.post(path + query, { code: 'canary', state: 'canary', returnTo: '/canary' })
    if (path !== '/login') await browser.fetch(path + query, { method: 'POST', json: { code: 'canary' } })
  }
}

function pathOf (req: unknown): string {
  return String((req as { url?: string } | undefined)?.url).split('?')[0]!
}

function revealsNothing (t: Test, { logs, provider }: Built, { parameters, request }: Callback, cookies: string[] = [], page = ''): void {
  const secrets = new Set([...provider.secrets, ...cookies, secret, parameters.get('state')!, request.get('nonce')!, request.get('code_challenge')!])
  t.ok(secrets.size > 4)
  const leaked = [...secrets].filter(value => value !== '' && (logs.text + page).includes(value))
  t.same(leaked, [])
}

/** Waits until the provider's answers since a call were read, and what comes of them was done. */
async function answered ({ calls }: Built['provider'], since: number): Promise<void> {
  while (calls.slice(since).some(({ bytesRead }) => bytesRead === 0)) await sleep(20)
  await sleep(50)
}

t.test('D15 every test that builds an application fails when a token, code, verifier or secret is in its log: what finds that finds it', async t => {
  const { browser, provider, logs } = await buildApp(t, {
    auth0: { authorizationParams: { scope: 'openid offline_access' } },
    routes: app => app.get('/token', async ({ auth0 }) => auth0.getAccessToken({ forceRefresh: true }))
  })
  await browser.login('/login?returnTo=/me')
  const { body: accessToken } = await browser.get('/token')
  await browser.post('/logout')
  t.ok(logs.lines.some(({ level }) => level === 20), 'down to the finest lines')
  t.ok(provider.secrets.size >= 9)
  t.ok(provider.secrets.has(accessToken))
  for (const secret of provider.secrets) t.same(leaks({ text: `{"msg":"got ${secret}"}`, lines: [] }, provider), [secret])
})
