import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type ApiOptions } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { Provider } from './helpers/provider.ts'

interface Call {
  command: string
  answer: string
}

const docs = await readFile(new URL('../docs/apis.md', import.meta.url), 'utf8')

t.test('J1, J2, J3, J4, J5, J18 the refusals in docs/apis.md are what the server answers', async t => {
  const calls = callsIn('Answers')
  t.equal(calls.length, 9)
  const { provider, url } = await serve(t, { audience: AUDIENCE })
  const variables = {
    TOKEN: provider.accessToken(),
    EXPIRED: provider.accessToken({ claims: { exp: 1_700_000_000 } }),
    FORGED: provider.accessToken('a foreign key under our kid'),
    OF_ANOTHER_API: provider.accessToken({ claims: { aud: 'https://other.example.com' } })
  }
  for (const { command, answer } of calls) t.equal(await send(url, command, variables), answer, command)
})

t.test('J19 the metadata in docs/apis.md are what the server tells, and where its challenge leads', async t => {
  const calls = callsIn('MCP, and other clients that find their way')
  t.equal(calls.length, 2)
  const { url } = await serve(t, { resource: 'https://api.example.com/mcp' })
  for (const { command, answer } of calls) t.equal(await send(url, command, {}), answer, command)
})

/** The calls of a section, and what came back as far as it is shown. */
function callsIn (section: string): Call[] {
  const [, rest = ''] = docs.split(`## ${section}\n`)
  const [, block = ''] = /```console\n(.*?)```/s.exec(rest) ?? []
  return block.split(/^\$ /m).slice(1).map(part => {
    const [command = '', ...answer] = part.trimEnd().split('\n')
    return { command, answer: answer.join('\n') }
  })
}

async function serve (t: Test, api: ApiOptions) {
  const provider = new Provider({ issuer: 'https://tenant.eu.auth0.com/' })
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(auth0, { domain: 'tenant.eu.auth0.com', fetch: provider.fetch, api })
  app.get('/api/messages', { preHandler: app.requireAuth({ scopes: 'read:messages' }) }, async () => [])
  app.delete('/api/messages/:id', { preHandler: app.requireAuth({ scopes: 'delete:messages' }) }, async () => 'gone')
  app.get('/api/payouts', { preHandler: app.requireAuth({ acr: 'urn:example:2fa', maxAge: 300 }) }, async () => 'done')
  app.get('/mcp', { preHandler: app.requireAuth() }, async () => 'done')
  return { provider, url: await app.listen() }
}

/** Sends what a line with curl sends, and gives what `curl -i` prints, of the headers the challenge only. */
async function send (server: string, command: string, variables: Record<string, string>): Promise<string> {
  const words = [...command.replace(/\$([A-Z_]+)/g, (_, name) => variables[name] ?? '?').matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  const after = (flag: string) => words.flatMap((word, index) => words[index - 1] === flag ? [word] : [])
  const url = new URL(`http://${words.find(word => word.startsWith('localhost:3000'))}`)
  const headers = after('-H').flatMap(header => header.split(/: (.*)/, 2))
  const { port } = new URL(server)
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.request({ port, method: after('-X')[0] ?? 'GET', path: url.pathname + url.search, headers: ['host', url.host, ...headers] }, resolve).on('error', reject).end()
  })
  const body = await text(response)
  if (!words.includes('-i')) return body
  const challenge = response.headers['www-authenticate']
  return [`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`, ...challenge === undefined ? [] : [`www-authenticate: ${challenge}`], ...body === '' ? [] : ['', body]].join('\n')
}
