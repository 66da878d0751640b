import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { createBoundedFetch } from '../lib/provider/bounded-fetch.ts'
import { NoAnswerError, UnusableAnswerError } from '../lib/provider/failures.ts'
import { buildApp } from './helpers/app.ts'
import { createProvider } from './helpers/provider.ts'
import type { FaultName } from './helpers/provider-faults.ts'

const JWKS = 'https://tenant.example.com/.well-known/jwks.json'
const MAX = 512 * 1024

type Fetch = typeof globalThis.fetch

/** A bounded fetch, as openid-client calls it. */
function bound (fetch: Fetch, timeout = 50, closing = new AbortController().signal) {
  const bounded = createBoundedFetch({ fetch, timeout, closing })
  return (url = JWKS) => bounded(url, { method: 'GET', headers: {}, body: null, redirect: 'manual' })
}

/** Rejects in time, with that reason. */
async function gives (t: Test, call: Promise<unknown>, kind: typeof NoAnswerError, message: RegExp) {
  const before = performance.now()
  const error = await call.then(() => null, error => error)
  t.ok(error instanceof kind, `a ${kind.name}`)
  t.match(error?.message, message)
  t.ok(performance.now() - before < 2000, 'in time')
}

// Too late

for (const fault of ['hang', 'hang after the headers', 'trickle', 'slow'] as FaultName[]) {
  t.test(`D9 gives up an answer that is complete too late: ${fault} (ASVS 5.0 §16.5.2)`, async t => {
    const provider = createProvider()
    provider.fail('jwks', fault)
    await gives(t, bound(provider.fetch)(), NoAnswerError, /no answer from https:\/\/tenant\.example\.com\/\.well-known\/jwks\.json: not complete within 50 ms/)
    t.ok(provider.calls[0]!.aborted, 'and ends the call')
  })
}

t.test('D9 gives up a fetch that knows of no signals', async t => {
  await gives(t, bound(() => new Promise(() => {}))(), NoAnswerError, /not complete within 50 ms/)
})

t.test('D9 gives up a body that knows of no signals, and lets go of it', async t => {
  let isLetGo = false
  const body = new ReadableStream({
    start: controller => controller.enqueue(Buffer.from('{')),
    cancel () { isLetGo = true }
  })
  await gives(t, bound(async () => new Response(body))(), NoAnswerError, /not complete/)
  t.ok(isLetGo)
})

t.test('an answer that comes when nobody waits any more is not read', async t => {
  let answer: (response: Response) => void = () => {}
  let pulls = 0
  let isLetGo = false
  const fetch: Fetch = () => new Promise(resolve => { answer = resolve })
  await gives(t, bound(fetch, 10)(), NoAnswerError, /not complete within 10 ms/)
  answer(new Response(new ReadableStream({ pull () { pulls++ }, cancel () { isLetGo = true } }, { highWaterMark: 0 })))
  await setImmediate()
  t.equal(pulls, 0)
  t.ok(isLetGo)
})

// Too much

for (const fault of ['oversized', 'oversized, declared', 'endless'] as FaultName[]) {
  t.test(`D5 reads no more than 512 KB: ${fault}`, async t => {
    const provider = createProvider()
    provider.fail('jwks', fault)
    await gives(t, bound(provider.fetch, 5000)(), UnusableAnswerError, /an answer of more than 524288 bytes/)
    t.ok(provider.calls[0]!.bytesRead <= MAX + 64 * 1024, `${provider.calls[0]!.bytesRead} bytes`)
    t.ok(provider.calls[0]!.aborted)
  })
}

t.test('512 KB are not too much', async t => {
  const text = JSON.stringify('x'.repeat(MAX - 2))
  t.equal(await (await bound(async () => new Response(text))()).text(), text)
})

t.test('D5 a compressed answer counts as what it becomes', async t => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '))
  const url = await listen(t, (_request, response) => response.setHeader('content-encoding', 'gzip').end(bomb))
  await gives(t, bound(fetch, 5000)(url), UnusableAnswerError, /more than/)
})

// Elsewhere

for (const status of [301, 302, 303, 307, 308, 304]) {
  t.test(`D8 follows no redirect (${status}), since it would carry a secret along`, async t => {
    const provider = createProvider()
    provider.fail('jwks', () => new Response(null, { status, headers: { location: 'https://attacker.example/' } }))
    await gives(t, bound(provider.fetch)(), UnusableAnswerError, new RegExp(`a redirect instead of an answer \\(${status}\\)`))
    t.equal(provider.callsTo('attacker').length, 0)
  })
}

t.test('D8 follows none over sockets', async t => {
  let calls = 0
  const url = await listen(t, (_request, response) => {
    calls++
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  await gives(t, bound(fetch, 5000)(url), UnusableAnswerError, /redirect/)
  t.equal(calls, 1)
})

t.test('D8 takes no answer of a fetch that followed one by itself', async t => {
  const followed = Object.defineProperty(new Response('{}'), 'redirected', { value: true })
  await gives(t, bound(async () => followed)(), UnusableAnswerError, /redirect/)
})

const urls: Array<[url: string, isTaken: boolean]> = [
  ['https://tenant.example.com/', true],
  ['http://localhost:4000/', true],
  ['http://tenant.localhost/', true],
  ['http://127.0.0.1:4000/', true],
  ['http://127.8.9.1/', true],
  ['http://[::1]:4000/', true],
  ['http://tenant.example.com/', false],
  ['http://localhost.example.com/', false],
  ['http://127.0.0.1.example.com/', false],
  ['http://127.example.com/', false],
  ['http://notlocalhost/', false],
  ['http://169.254.169.254/latest/meta-data', false],
  ['http://0.0.0.0/', false],
  ['ftp://localhost/', false],
  ['file:///etc/passwd', false],
  ['javascript:alert(1)', false],
  ['data:application/json,{}', false]
]
for (const [url, isTaken] of urls) {
  t.test(`F3 ${isTaken ? 'goes' : 'does not go'} to ${url} (RFC 9700 §2.6)`, async t => {
    const called: string[] = []
    const call = bound(async url => {
      called.push(String(url))
      return new Response('{}')
    })(url)
    if (isTaken) t.equal((await call).status, 200)
    else await gives(t, call, UnusableAnswerError, /not https/)
    t.same(called, isTaken ? [url] : [])
  })
}

// Not at all

const broken: Array<[name: string, thrown: unknown, message: RegExp]> = [
  ['an error with a code', new TypeError('fetch failed', { cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }) }), /: fetch failed: ECONNREFUSED$/],
  ['an error with a cause', new TypeError('fetch failed', { cause: new Error('proxy is closed') }), /: fetch failed: proxy is closed$/],
  ['a plain error', new Error('offline'), /: offline$/],
  ['an error with a null cause', new Error('offline', { cause: null }), /: offline$/],
  ['a text', 'offline', /: offline$/],
  ['nothing', undefined, /: undefined$/],
  ['an error that repeats what it sent', new Error('could not send code=AbCdEfGhIjKlMnOpQrStUvWxYz'), /: could not send …$/]
]
for (const [name, thrown, message] of broken) {
  t.test(`a fetch that throws ${name} gave no answer`, t => gives(t, bound(async () => { throw thrown })(), NoAnswerError, message))
}

t.test('a connection that breaks off gave no answer', async t => {
  const provider = createProvider()
  provider.failNext('jwks', 'connection reset', 'reset while reading')
  await gives(t, bound(provider.fetch)(), NoAnswerError, /ECONNRESET/)
  await gives(t, bound(provider.fetch)(), NoAnswerError, /UND_ERR_SOCKET/)
  const url = await listen(t, (request, response) => {
    response.write('{')
    setTimeout(() => request.socket.destroy(), 10)
  })
  await gives(t, bound(fetch, 5000)(url), NoAnswerError, /terminated/)
})

// Whole

const answers: Array<[name: string, response: () => Response, message: RegExp | null]> = [
  ['JSON', () => new Response('{"a":1}', { headers: { 'content-type': 'text/plain' } }), null],
  ['a JWT', () => new Response('a.b.c', { headers: { 'content-type': 'application/jwt; charset=utf-8' } }), null],
  ['an error page', () => new Response('<html>', { status: 500, headers: { 'retry-after': '7' } }), null],
  ['an error without a body', () => new Response(null, { status: 401 }), null],
  ['a page', () => new Response('<html>secret'), /^an answer that is not JSON$/],
  ['half of an answer', () => new Response('{"access_token":"secret'), /^an answer that is not JSON$/],
  ['nothing', () => new Response(null), /^an answer that is not JSON$/],
  ['no content', () => new Response(null, { status: 204 }), /^an answer that is not JSON$/],
  ['JSON that nests 33 levels', () => new Response(`${'['.repeat(33)}${']'.repeat(33)}`), /nests too deep/]
]
for (const [name, response, message] of answers) {
  t.test(`D5 an answer that is ${name} is ${message === null ? 'handed on' : 'refused'}`, async t => {
    const call = bound(async () => response())()
    if (message !== null) return gives(t, call, UnusableAnswerError, message)
    const [actual, expected] = [await call, response()]
    t.equal(actual.status, expected.status)
    t.same([...actual.headers], [...expected.headers])
    t.equal(await actual.text(), await expected.text())
  })
}

// The end

t.test('closing gives up what is under way, and what would come after', async t => {
  const provider = createProvider()
  provider.fail('jwks', 'hang')
  const closing = new AbortController()
  const fetch = bound(provider.fetch, 5000, closing.signal)
  const calls = [fetch(), fetch()]
  await setImmediate()
  closing.abort()
  for (const call of calls) await gives(t, call, NoAnswerError, /the application is closing/)
  await gives(t, fetch(), NoAnswerError, /the application is closing/)
  t.equal(provider.calls.length, 2)
  t.ok(provider.calls.every(({ aborted }) => aborted))
})

t.test('closing the application answers whoever waits for the provider, and leaves nothing behind', async t => {
  const unhandled: unknown[] = []
  const note = (problem: unknown) => { unhandled.push(problem) }
  for (const event of ['unhandledRejection', 'warning']) process.on(event, note)
  t.teardown(() => { for (const event of ['unhandledRejection', 'warning']) process.off(event, note) })
  const provider = createProvider()
  provider.failAll('hang')
  const { app, newBrowser, logs } = await buildApp(t, { provider })
  const logins = Array.from({ length: 30 }, () => newBrowser().get('/login'))
  await setImmediate()
  await app.close()
  for (const { statusCode } of await Promise.all(logins)) t.equal(statusCode, 503)
  t.equal(logs.lines.filter(({ msg }) => msg?.startsWith('provider not ready')).length, 0, 'nobody is told of a provider that was not waited for')
  await setImmediate()
  t.same(unhandled, [])
})

t.test('Node warns of no leak, however many log in at once', async t => {
  const warnings: unknown[] = []
  const note = (warning: Error) => { if (warning.name === 'MaxListenersExceededWarning') warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const { newBrowser } = await buildApp(t)
  const browsers = Array.from({ length: 30 }, () => newBrowser())
  const callbacks = await Promise.all(browsers.map(browser => browser.leave('/login')))
  const back = await Promise.all(browsers.map((browser, index) => browser.comeBack(callbacks[index]!)))
  t.ok(back.every(({ statusCode }) => statusCode === 303))
  await setImmediate()
  t.same(warnings, [])
})

t.test('no timer keeps the process alive, once there is an answer or the application closed', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  await bound(async () => new Response('{}'), 60_000)()
  t.equal(timers(), before)
  const { app } = await buildApp(t, { auth0: { fetch: () => new Promise(() => {}), httpTimeout: 60_000 } })
  await app.ready()
  await setImmediate()
  await app.close()
  await setImmediate()
  t.equal(timers(), before)
})

/** The address of a server of this test. */
async function listen (t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
