import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import auth0, { type Auth0Options } from '../../lib/index.ts'
import { Browser, type BrowserOptions } from './browser.ts'
import { Provider, type ProviderOptions } from './provider.ts'

export const appBaseUrl = 'https://app.example.com'
const REAL_SECRET = 16 // characters
export const secret = '5f0d9c81e7b24a63f1c8d02e9a7b4c65d3e8f10a2b7c4d96'

export interface BuildOptions {
  /** Options of the plugin, over those that the tests need. */
  auth0?: Auth0Options
  fastify?: FastifyServerOptions
  provider?: Provider | ProviderOptions
  browser?: Partial<BrowserOptions>
  /** Runs before our plugin is registered. */
  before?: (app: FastifyInstance) => unknown
  /** Adds routes to the usual ones; `false`: none at all. */
  routes?: ((app: FastifyInstance) => unknown) | false
}

/** What the application logged, at level `trace`. */
export interface Logs {
  /** As it was written, to be searched for secrets. */
  text: string
  lines: Array<Record<string, unknown> & { level: number, msg?: string, err?: { code?: string, message: string, stack?: string } }>
}

export interface Built {
  app: FastifyInstance
  provider: Provider
  browser: Browser
  logs: Logs
  /** One more person, with another cookie jar. */
  newBrowser: (options?: Partial<BrowserOptions>) => Browser
}

/**
 * An application with the plugin, a provider in memory and a browser; closed when the test ends, which fails if anything secret is in the log. Routes: `/` greets, `/me` tells what
 * `request.auth0` knows, `/profile` is guarded, `POST /notes` too, `/public` never asks who is calling.
 */
export async function buildApp (t: Test, options: BuildOptions = {}): Promise<Built> {
  const provider = options.provider instanceof Provider ? options.provider : new Provider(options.provider)
  const logs: Logs = { text: '', lines: [] }
  const app = Fastify({ trustProxy: true, logger: { level: 'trace', stream: intoLogs(logs) }, ...options.fastify })
  const logsAddresses = options.auth0?.routes?.callback === false // of a callback route of the application's own, code and state
  t.teardown(() => {
    if (!logsAddresses && leaks(logs, provider).length > 0) throw new Error(`the log tells ${leaks(logs, provider).length} secrets`)
  })
  t.teardown(() => app.close())
  await options.before?.(app)
  await app.register(auth0, { ...identity(provider, options.auth0), secret, appBaseUrl, fetch: provider.fetch, ...options.auth0 })
  if (options.routes !== false) {
    addRoutes(app)
    await options.routes?.(app)
  }
  const newBrowser = (more: Partial<BrowserOptions> = {}) =>
    new Browser({ baseUrl: origin(options.auth0?.appBaseUrl), app, provider, ...options.browser, ...more })
  return { app, provider, browser: newBrowser(), logs, newBrowser }
}

/** What the application logged of what nobody else may see. Codes and states that a test made up, of some letters, are in any text. */
export function leaks ({ text }: Logs, { secrets }: Provider): string[] {
  return [...secrets].filter(secret => secret.length >= REAL_SECRET && text.includes(secret))
}

const origin = (configured: Auth0Options['appBaseUrl']) => new URL([configured ?? appBaseUrl].flat()[0] as string).origin

function identity (provider: Provider, given: Auth0Options = {}): Auth0Options {
  const { host, pathname } = new URL(provider.issuer)
  const isNamed = given.domain !== undefined || given.issuer !== undefined
  return {
    ...(!isNamed && (pathname === '/' ? { domain: host } : { issuer: provider.issuer })),
    clientId: provider.clientId,
    ...(given.clientAuthMethod ?? 'client_secret_post').startsWith('client_secret_') && { clientSecret: provider.clientSecret }
  }
}

function intoLogs (logs: Logs): Writable {
  return new Writable({
    write (chunk, _encoding, done) {
      logs.text += chunk
      for (const line of String(chunk).split('\n')) if (line !== '') logs.lines.push(JSON.parse(line))
      done()
    }
  })
}

function addRoutes (app: FastifyInstance): void {
  app.get('/', async ({ auth0: { user } }) => `Hello ${user?.name ?? 'stranger'}`)
  app.get('/me', async ({ auth0: { user, isAuthenticated, via, session, roles, permissions } }) => ({ user, isAuthenticated, via, session, roles, permissions }))
  app.get('/profile', { preHandler: app.requireAuth() }, async request => request.auth0.user)
  app.post('/notes', { preHandler: app.requireAuth() }, async request => ({ written: true, by: request.auth0.user?.sub }))
  app.get('/public', async () => 'public')
}
