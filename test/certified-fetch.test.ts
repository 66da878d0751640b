import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createBoundedFetch } from '../lib/provider/bounded-fetch.ts'
import { createCertifiedFetch } from '../lib/provider/certified-fetch.ts'
import { clientCertificate } from './helpers/certificates.ts'
import { serverCertificate } from './helpers/strict-provider.ts'

// What shows a certificate, against servers that misbehave. Those that behave are in client-journeys.test.ts.

const certificate = clientCertificate()

t.test('sends method, headers and form, shows the certificate, and gives back status, headers and body', async t => {
  const { url } = await serve(t, async (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerX509Certificate()!
    const sent = { method: request.method, type: request.headers['content-type'], length: request.headers['content-length'], body: await text(request), subject }
    response.writeHead(201, [['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['content-type', 'application/json']].flat()).end(JSON.stringify(sent))
  })
  const own = createCertifiedFetch({ ...certificate, ca: [serverCertificate.cert] })
  const response = await own(url, { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ a: 'ü&' }) })
  t.equal(response.status, 201)
  t.same(response.headers.getSetCookie(), ['a=1', 'b=2'])
  t.same(await response.json(), { method: 'POST', type: 'application/x-www-form-urlencoded', length: '11', body: 'a=%C3%BC%26', subject: 'CN=client' })
  t.match(await (await own(url, { method: 'GET' })).json(), { method: 'GET', body: '' })
})

t.test('takes an answer without a body', async t => {
  for (const status of [200, 204, 304]) {
    const { url } = await serve(t, async (_request, response) => { response.writeHead(status).end() })
    const response = await createCertifiedFetch({ ...certificate, ca: [serverCertificate.cert] })(url, { method: 'POST' })
    t.match([response.status, await response.text()], [status, ''])
  }
})

const refused: Array<[name: string, handler: Handler, reason: RegExp, ca?: string]> = [
  ['a server that nobody vouches for', async (_request, response) => { response.end('{}') }, /self-signed certificate: DEPTH_ZERO_SELF_SIGNED_CERT|self-signed certificate/, certificate.cert],
  ['a redirect', async (_request, response) => { response.writeHead(307, { location: '/elsewhere' }).end() }, /a redirect instead of an answer \(307\)/],
  ['a status that is none', async (_request, response) => { response.writeHead(999).write('{') }, /no answer from https:\/\/localhost:\d+\/token: .*(999|status)/i],
  ['a connection that breaks before the answer', async request => { request.socket.destroy() }, /no answer .*(hang up|ECONNRESET)/],
  ['a connection that breaks within the answer', async (request, response) => { response.write('{', () => request.socket.destroy()) }, /no answer .*aborted/],
  ['an answer that never comes', async () => {}, /not complete within 300 ms/],
  ['an answer that never ends', async (_request, response) => { response.write('{') }, /not complete within 300 ms/],
  ['an answer that is too long', async (_request, response) => { response.on('error', () => {}).end('x'.repeat(2 ** 20)) }, /more than 524288 bytes/]
]
for (const [name, handler, reason, ca = serverCertificate.cert] of refused) {
  t.test(`D8 D9 refuses ${name}, and lets go of the connection`, async t => {
    const { url, sockets } = await serve(t, handler)
    const timeout = reason.source.includes('300 ms') ? 300 : 5000
    const bounded = createBoundedFetch({ fetch: createCertifiedFetch({ ...certificate, ca: [ca] }), timeout, closing: new AbortController().signal })
    await t.rejects(bounded(url, { method: 'POST', headers: {}, body: new URLSearchParams({ code: 'secret' }), redirect: 'manual' }), { message: reason })
    await Promise.all(sockets.map(async socket => socket.destroyed || once(socket, 'close')))
  })
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

async function serve (t: Test, handler: Handler): Promise<{ url: string, sockets: TLSSocket[] }> {
  const sockets: TLSSocket[] = []
  const server = createServer({ ...serverCertificate, requestCert: true, rejectUnauthorized: false }, handler)
  server.on('secureConnection', socket => { sockets.push(socket.on('error', () => {})) })
  await once(server.listen(0, 'localhost'), 'listening')
  t.teardown(() => { server.close(); server.closeAllConnections() })
  return { url: `https://localhost:${(server.address() as AddressInfo).port}/token`, sockets }
}
