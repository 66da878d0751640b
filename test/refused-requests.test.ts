import { EventEmitter, once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { setImmediate as tick, setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'
import type { Browser, BrowserResponse } from './helpers/browser.ts'

// The handler of a refused request never runs, whatever hooks the application has.

/** What an application may do to answers, or while they are made. */
const applications: Array<[name: string, add: (app: FastifyInstance) => unknown, auth0?: Auth0Options]> = [
  ['without hooks', () => {}],
  ['with an asynchronous onSend hook', app => app.addHook('onSend', async () => { await tick() })],
  ['with an onSend hook that makes a stream of the answer', app => app.addHook('onSend', async (_request, _reply, payload) => Readable.from(slowly(payload)))],
  ['with a slow preHandler hook', app => app.addHook('preHandler', async () => { await tick() })],
  ['with an asynchronous error handler', app => app.setErrorHandler<Error & { statusCode?: number }>(async (error, _request, reply) => {
    await tick()
    return reply.code(error.statusCode ?? 500).send({ message: error.message })
  })],
  ['whose onError sends a stream', app => app.addHook('onSend', async () => { await tick() }), {
    onError: (error, _request, reply) => reply.code(statusOf(error)).send(Readable.from(slowly(error.message)))
  }],
  ['whose onError answers later', () => {}, {
    onError: async (error, _request, reply) => {
      await tick()
      return reply.code(statusOf(error)).send(error.message)
    }
  }],
  ['whose onError hijacks the reply', () => {}, {
    onError: (error, _request, reply) => {
      reply.hijack()
      setImmediate(() => reply.raw.writeHead(statusOf(error)).end(error.message))
    }
  }],
  ['whose onError hijacks the reply and returns it', () => {}, {
    onError: (error, _request, reply) => {
      setImmediate(() => reply.raw.writeHead(statusOf(error)).end(error.message))
      return reply.hijack()
    }
  }]
]

const requests: Array<[name: string, send: (browser: Browser) => Promise<BrowserResponse>, statusCode: number]> = [
  ['a stranger who navigates', browser => browser.get('/admin'), 302],
  ['a stranger with a form', browser => browser.post('/admin'), 401],
  ['a stranger with a script', browser => browser.fetch('/admin'), 401]
]
const requestsOfAda: typeof requests = [
  ['somebody who lacks the role and navigates', browser => browser.get('/admin'), 403],
  ['somebody who lacks the role, by HEAD', browser => browser.fetch('/admin', { method: 'HEAD' }), 403],
  ['somebody who lacks the role, with a script', browser => browser.fetch('/admin'), 403],
  ['a form of another site', browser => browser.post('/admin', {}, { site: 'same-site' }), 403],
  ['a script of another site', browser => browser.fetch('/admin', { site: 'same-site', method: 'POST' }), 403]
]

for (const hook of ['onRequest', 'preHandler'] as const) {
  for (const [name, add, auth0 = {}] of applications) {
    t.test(`the handler never runs for who is refused ${hook === 'onRequest' ? 'on request' : 'before the handler'}, in an application ${name}`, async t => {
      const { app, browser, newBrowser, ran } = await guardedApp(t, hook, add, auth0)
      for (const [who, send, statusCode] of requests) t.equal((await send(newBrowser())).statusCode, statusCode, who)
      await browser.login('/profile')
      for (const [who, send, statusCode] of requestsOfAda) t.equal((await send(browser)).statusCode, statusCode, who)
      await settle()
      t.same(ran, [])
      t.equal((await app.inject('/public')).statusCode, 200, 'and the application serves on')
    })
  }
}

t.test('the handler never runs when the client hangs up while the answer waits', async t => {
  for (const headers of [{ 'sec-fetch-mode': 'navigate' }, { 'sec-fetch-mode': 'cors' }, { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'x-forwarded-proto': 'http' }]) {
    const held = gate()
    const { app, ran } = await guardedApp(t, 'preHandler', app => app.addHook('onSend', async () => held.wait()))
    const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(`GET /admin HTTP/1.1\r\nHost: app.example.com\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`)
    await held.reached
    socket.destroy()
    await sleep(20)
    held.open()
    await settle()
    t.same(ran, [])
  }
})

t.test('the handler never runs when the client hangs up while onError works', async t => {
  const held = gate()
  const { app, ran } = await guardedApp(t, 'preHandler', () => {}, { onError: () => held.wait() })
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const request = httpRequest({ port, path: '/admin', method: 'POST', headers: { 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'same-origin' } }).on('error', () => {}).end()
  await held.reached
  request.destroy()
  await sleep(20)
  held.open()
  await settle()
  t.same(ran, [])
})

t.test('D15 nothing is answered, nor logged, to who hangs up in the middle of the answer of onError', async t => {
  const held = gate()
  async function * endless () {
    yield 'the beginning of'
    await held.wait()
  }
  const { app, logs } = await guardedApp(t, 'preHandler', () => {}, { onError: async (_error, _request, reply) => reply.code(400).send(Readable.from(endless())) })
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('GET /callback?code=hunter2&state=x HTTP/1.1\r\nHost: app.example.com\r\nAccept: text/html\r\n\r\n')
  await once(socket, 'data')
  socket.destroy()
  await sleep(20)
  held.open()
  await settle()
  t.notMatch(logs.text, /already sent|ERR_HTTP_HEADERS_SENT|hunter2/i)
})

t.test('the handler never runs when the time for it is over', async t => {
  const { browser, ran } = await guardedApp(t, 'preHandler', app => app.addHook('onSend', async request => {
    if (request.url === '/admin') await sleep(60)
  }), {}, { handlerTimeout: 20 })
  t.equal((await browser.get('/admin')).statusCode, 503)
  await sleep(100)
  t.same(ran, [])
})

t.test('the handler never runs when another hook has begun to answer', async t => {
  const { browser, ran } = await guardedApp(t, 'preHandler', app => {
    app.addHook('onSend', async () => { await tick() })
    app.addHook('onRequest', async (request, reply) => { if (request.url === '/admin') reply.code(418).send('teapot') })
  })
  for (const response of [await browser.get('/admin'), await browser.fetch('/admin')]) t.ok(response.statusCode >= 400 || response.statusCode === 302)
  await settle()
  t.same(ran, [])
})

t.test('a check that fails is an error of the application, and lets nobody in', async t => {
  const { browser } = await buildApp(t, {
    routes: app => {
      app.get('/sync', { onRequest: app.requireAuth({ claims: () => { throw new Error('of the check') } }) }, async () => 'secret')
      app.get('/async', { onRequest: app.requireAuth({ claims: () => Promise.reject(new Error('of the check')) }) }, async () => 'secret')
    }
  })
  await browser.login()
  for (const path of ['/sync', '/async']) t.match(await browser.get(path), { statusCode: 500, body: /of the check/ }, 'by its own error handler')
})

/** An application with a page for administrators, which Ada is not. */
async function guardedApp (t: Test, hook: 'onRequest' | 'preHandler', add: (app: FastifyInstance) => unknown, auth0: Auth0Options = {}, fastify = {}) {
  const ran: string[] = []
  const built = await buildApp(t, {
    auth0,
    fastify,
    before: add,
    routes: app => app.route({
      method: ['GET', 'POST'],
      url: '/admin',
      [hook]: app.requireAuth({ roles: 'admin' }),
      handler: async request => {
        ran.push(request.method)
        return 'secret'
      }
    })
  })
  built.app.addContentTypeParser('application/x-www-form-urlencoded', async () => ({}))
  return { ...built, ran }
}

function statusOf (error: Error & { statusCode?: number }): number {
  return error.statusCode ?? 500
}

async function * slowly (payload: unknown) {
  await tick()
  yield String(payload ?? '')
}

/** Lets everything happen that was only waiting for its turn. */
async function settle (): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await tick()
}

/** A hook that waits until it is let go on, and tells when it is reached. */
function gate () {
  const events = new EventEmitter()
  const reached = once(events, 'reached')
  const opened = once(events, 'open')
  return { reached, open: () => events.emit('open'), wait: () => { events.emit('reached'); return opened.then(() => {}) } }
}
