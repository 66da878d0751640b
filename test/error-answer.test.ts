import { setImmediate as tick } from 'node:timers/promises'
import { decodeHTML } from 'entities'
import t, { type Test } from 'tap'
import { FST_AUTH0_LOGIN_REFUSED, type Auth0Options } from '../lib/index.ts'
import { appBaseUrl, buildApp, type Built } from './helpers/app.ts'
import type { BrowserResponse, RequestOptions } from './helpers/browser.ts'

const script: RequestOptions = { headers: { 'sec-fetch-mode': 'cors', accept: '*/*' } }

const payloads = [
  '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", '</title></style></p><svg/onload=alert(1)>', '<!--', '&lt;script&gt;',
  'javascript:alert(1)', '{{7*7}}', '\u2028<b>', '\u0000<i>'
]
const places: Array<[name: string, open: (built: Built, payload: string) => Promise<BrowserResponse>]> = [
  ['what the provider says', async ({ browser }, payload) => browser.comeBack(await browser.leave('/login', { authorize: { callback: { error: 'access_denied', error_description: payload } } }))],
  ['an error that the provider made up', async ({ browser }, payload) => browser.comeBack(await browser.leave('/login', { authorize: { callback: { error: payload } } }))],
  ['a state', ({ browser }, payload) => browser.get(`/callback?code=x&state=${encodeURIComponent(payload)}`)],
  ['returnTo of a login that failed', async ({ browser }, payload) => {
    const callback = await browser.leave(`/login?returnTo=${encodeURIComponent(`/x?${payload}`)}`, { authorize: { callback: { error: 'access_denied' } } })
    return browser.comeBack(callback)
  }],
  ['returnTo of a login that cannot begin', ({ browser, provider }, payload) => {
    provider.fail('par', '503')
    return browser.get(`/login?returnTo=${encodeURIComponent(payload)}`)
  }],
  ['the address of a guarded page', ({ browser }, payload) => browser.get(`/admin?${encodeURIComponent(payload)}&${payload.replaceAll(/[^!-~]/g, '')}`)],
  ['returnTo of a logout from another site', ({ browser }, payload) => browser.get(`/logout?returnTo=${encodeURIComponent(payload)}&${encodeURIComponent(payload)}=1`, { site: 'cross-site' })],
  ['a message of the application', async ({ browser }, payload) => browser.comeBack(await browser.leave(`/login?login_hint=${encodeURIComponent(payload)}`, { authorize: { user: { sub: 'auth0|refused', name: payload } } }))],
  ['the id of the request', ({ browser }, payload) => browser.get('/callback', { headers: { 'x-request-id': payload } })],
  ['the Host header', ({ browser }, payload) => browser.get('/login', { headers: { host: `evil.example${payload}` } })]
]
for (const [name, open] of places) {
  t.test(`B9 nothing is reflected unescaped: ${name} (ASVS 1.2, 3.2.2)`, async t => {
    const built = await buildApp(t, {
      auth0: {
        appBaseUrl: [appBaseUrl, 'https://other.example.net'],
        pushedAuthorizationRequests: name === 'returnTo of a login that cannot begin',
        onLogin: ({ user }) => { if (user.sub === 'auth0|refused') throw new FST_AUTH0_LOGIN_REFUSED(`Not you, ${user.name}`) }
      },
      fastify: { requestIdHeader: 'x-request-id' },
      routes: app => app.get('/admin', { onRequest: app.requireAuth({ roles: 'admin' }) }, async () => 'secret')
    })
    if (name.includes('guarded')) await built.browser.login()
    for (const payload of payloads) {
      const { body, headers } = await open(built, payload)
      t.match(headers['content-type'], 'text/html')
      const tags = new Set([...body.matchAll(/<([^\s>]+)/g)].map(([, tag]) => tag))
      const ours = new Set('!doctype html head meta title style body main h1 p div a form input button /head /title /style /body /main /h1 /p /div /a /form /button /html'.split(' '))
      t.same([...tags].filter(tag => !ours.has(tag!)), [], payload)
      const attributes = [...body.matchAll(/<[a-z][^\s>]*((?:\s+[a-z-]+="[^"]*")*)\s*>/g)]
      t.equal(attributes.length, body.match(/<[a-z]/g)?.length, 'every tag is well formed')
      for (const [, href = ''] of body.matchAll(/href="([^"]*)"/g)) t.equal(new URL(decodeHTML(href), appBaseUrl).origin, appBaseUrl, 'and leads nowhere else')
    }
  })
}

t.test('B9 of what the provider says, nothing reaches the page', async t => {
  const { browser } = await buildApp(t)
  const callback = await browser.leave('/login', { authorize: { callback: { error: 'server_error', error_description: 'Call 555-1234 now' } } })
  t.notMatch((await browser.comeBack(callback)).body, /555|server_error/)
})

const thrown: Array<[name: string, error: unknown, expected: { statusCode: number, code: string, message: string }]> = [
  ['a bug', new Error('hunter2'), { statusCode: 500, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['a bug with a code', Object.assign(new Error('hunter2'), { code: 'ECONNREFUSED' }), { statusCode: 500, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['a bug with a number for a code', new DOMException('hunter2', 'AbortError'), { statusCode: 500, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['a status that is none', Object.assign(new Error('hunter2'), { statusCode: 200 }), { statusCode: 500, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['a status that is too high', Object.assign(new Error('hunter2'), { statusCode: 600 }), { statusCode: 500, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['something of the application that is down', Object.assign(new Error('hunter2'), { statusCode: 503 }), { statusCode: 503, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['text', 'hunter2', { statusCode: 500, code: 'FST_AUTH0_FAILED', message: 'Something went wrong' }],
  ['a refusal of the application', Object.assign(new Error('Closed on Sundays'), { statusCode: 403, code: 'SUNDAY' }), { statusCode: 403, code: 'SUNDAY', message: 'Closed on Sundays' }],
  ['a refusal without a code', Object.assign(new Error('Closed on Sundays'), { statusCode: 418 }), { statusCode: 418, code: 'FST_AUTH0_FAILED', message: 'Closed on Sundays' }]
]
for (const [name, error, expected] of thrown) {
  t.test(`messages of bugs are for the log, not for the visitor: ${name} (ASVS 16.5.1)`, async t => {
    const { browser, logs } = await buildApp(t, { auth0: { onLogin: () => { throw error } } })
    const json = await browser.comeBack(await browser.leave(), script)
    t.match(json.json(), expected)
    t.equal(json.statusCode, expected.statusCode)
    const { body } = await browser.comeBack(await browser.leave())
    t.match(body, `${expected.statusCode} · ${expected.code} ·`)
    for (const text of [json.body, body]) t.notMatch(text, /hunter2|ECONNREFUSED|AbortError/)
    if (expected.statusCode >= 500) t.match(logs.text, 'hunter2')
    t.equal(logs.lines.some(({ level }) => level === 50), expected.statusCode >= 500, 'what the visitor caused is no error of ours')
  })
}

type OnError = NonNullable<Auth0Options['onError']>
const replies: Array<[name: string, onError: OnError]> = [
  ['returns the reply', (error, _request, reply) => reply.code(418).send({ mine: error.message })],
  ['returns a promise of the reply', async (error, _request, reply) => { await tick(); return reply.code(418).send({ mine: error.message }) }],
  ['sends and returns nothing', (error, _request, reply) => { reply.code(418).send({ mine: error.message }) }],
  ['returns the reply and sends later', (error, _request, reply) => {
    setImmediate(() => reply.code(418).send({ mine: error.message }))
    return reply
  }],
  ['writes to the socket itself', (error, _request, reply) => { reply.hijack().raw.writeHead(418).end(JSON.stringify({ mine: error.message })) }]
]
for (const [name, onError] of replies) {
  t.test(`an onError that ${name} has the last word`, async t => {
    const { responses, logs } = await allErrors(t, onError)
    t.notMatch(logs.text, /already sent/i, 'and we do not try to answer, too: Fastify would log the address for that, with code and state')
    for (const response of responses) {
      t.equal(response.statusCode, 418)
      t.type(response.json().mine, 'string')
    }
  })
}

const silent: Array<[name: string, onError: OnError]> = [
  ['nothing', () => {}],
  ['nothing, later', async () => { await tick() }],
  ['something else', () => 7],
  ['something else, later', async () => ({ page: 'mine' })]
]
for (const [name, onError] of silent) {
  t.test(`an onError that returns ${name} leaves the answer to us`, async t => {
    const { responses } = await allErrors(t, onError)
    t.same(responses.map(({ statusCode }) => statusCode), [400, 400, 401])
  })
}

t.test('an onError may redirect', async t => {
  const { responses } = await allErrors(t, (error, _request, reply) => reply.redirect(`/sorry?${(error as Error & { code: string }).code}`))
  t.same(responses.map(({ location }) => location?.href), [...Array(2).fill(`${appBaseUrl}/sorry?FST_AUTH0_CALLBACK_INVALID`), `${appBaseUrl}/sorry?FST_AUTH0_LOGIN_REQUIRED`])
})

const failing: Array<[name: string, onError: OnError]> = [
  ['throws', () => { throw Object.assign(new Error('of onError'), { statusCode: 451 }) }],
  ['rejects', async () => { throw Object.assign(new Error('of onError'), { statusCode: 451 }) }],
  ['throws the error on', error => { throw error }]
]
for (const [name, onError] of failing) {
  t.test(`an onError that ${name} leaves the answer to the application's error handler`, async t => {
    const { responses } = await allErrors(t, onError)
    for (const response of responses) t.match(response.json(), { byTheApplication: String })
  })
}

t.test('a script that a guard refuses is answered by the application alone', async t => {
  const seen: string[] = []
  const { browser } = await allErrors(t, (_error, request) => { seen.push(request.url) })
  seen.length = 0
  t.match((await browser.fetch('/guarded', { method: 'POST' })).json(), { byTheApplication: 'Log in to use this resource' })
  t.same(seen, [])
})

/** Answers to a callback that fails, as a page and for a script, and to a form that a guard refuses. */
async function allErrors (t: Test, onError: OnError) {
  const built = await buildApp(t, {
    auth0: { onError },
    before: app => app.setErrorHandler<Error>((error, _request, reply) => reply.send({ byTheApplication: error.message })),
    routes: app => app.post('/guarded', { onRequest: app.requireAuth }, async () => 'secret')
  })
  const { browser } = built
  return { ...built, responses: [await browser.get('/callback'), await browser.fetch('/callback'), await browser.post('/guarded')] }
}
