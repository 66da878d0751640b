import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { TLSSocket } from 'node:tls'
import getPort from 'get-port'
import type Provider from 'oidc-provider'
import type { ClientMetadata, Configuration } from 'oidc-provider'
import type { Test } from 'tap'
import { certificateAsPem, clientCertificate } from './certificates.ts'
import { rsaKey } from './id-tokens.ts'

const SERVER = { name: 'localhost', key: rsaKey('server') }
const HOUR = 3600 // seconds

/** What the servers here show: signed by itself. */
export const serverCertificate: { cert: string, key: string } = clientCertificate(SERVER)

export interface StrictOptions {
  /** How the one client is registered, beside its id `strict` and its addresses. */
  client: Partial<ClientMetadata>
  features?: Configuration['features']
  configuration?: Configuration
  /** With it the provider is at https, and has aliases of its endpoints at a host that asks for certificates: of these authorities. */
  authorities?: Buffer[]
}

export interface StrictProvider {
  issuer: string
  clientId: string
  /** Where the application has to be. */
  appBaseUrl: string
  provider: Provider
  /** The requests, oldest first, by server, method and path. */
  requests: string[]
}

/** Starts oidc-provider, with Ada at her desk: whoever is sent there comes back logged in. */
export async function startStrictProvider (t: Test, { client, features, configuration, authorities }: StrictOptions): Promise<StrictProvider> {
  const [port, aliasPort, appPort] = [await getPort(), await getPort(), await getPort()]
  const issuer = `${authorities === undefined ? 'http' : 'https'}://localhost:${port}`
  const appBaseUrl = `http://localhost:${appPort}`
  const { Provider } = await quietly(() => import('oidc-provider'))
  const provider = await quietly(async () => new Provider(issuer, {
    clients: [{
      client_id: 'strict',
      redirect_uris: [`${appBaseUrl}/callback`],
      post_logout_redirect_uris: [appBaseUrl, `${appBaseUrl}/`],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...client
    }],
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      revocation: { enabled: true, allowedPolicy: async (_ctx: unknown, client: { clientId: string }, token: { clientId?: string }) => client.clientId === token.clientId },
      rpInitiatedLogout: { enabled: true },
      ...features
    } as Configuration['features'],
    clientAuthMethods: [client.token_endpoint_auth_method ?? 'client_secret_basic'],
    jwks: { keys: [{ ...rsaKey('strict').privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'strict' }] },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    ttl: { AccessToken: HOUR, IdToken: HOUR, RefreshToken: HOUR, Interaction: HOUR, Session: HOUR, Grant: HOUR },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: async () => ({ sub, name: 'Ada', email: 'ada@example.com' }) }),
    async loadExistingGrant ({ oidc }) {
      const grant = new oidc.provider.Grant({ clientId: oidc.client!.clientId, accountId: oidc.session!.accountId! })
      grant.addOIDCScope('openid profile email offline_access')
      await grant.save()
      return grant
    },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    ...authorities !== undefined && { discovery: { mtls_endpoint_aliases: aliases(`https://localhost:${aliasPort}`) } },
    ...configuration
  }))
  provider.on('server_error', (_ctx, error) => { t.fail(error) })

  const requests: string[] = []
  const answer = provider.callback()
  const handle = (server: string) => async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url as string, issuer)
    requests.push(`${server} ${request.method} ${pathname}`)
    if (pathname.startsWith('/interaction/')) {
      const { prompt } = await provider.interactionDetails(request, response)
      return provider.interactionFinished(request, response, prompt.name === 'login' ? { login: { accountId: 'ada' } } : { consent: {} }, { mergeWithLastSubmission: true })
    }
    if (pathname === '/session/end') return endSession(provider, request, response, appBaseUrl)
    await answer(request, response)
  }

  const servers = authorities === undefined
    ? [createServer(handle('plain')).listen(port, 'localhost')]
    : [
        createSecureServer(serverCertificate, handle('plain')).listen(port, 'localhost'),
        createSecureServer({ ...serverCertificate, requestCert: true, rejectUnauthorized: false, ca: authorities.map(certificateAsPem) }, handle('alias')).listen(aliasPort, 'localhost')
      ]
  for (const server of servers) {
    t.teardown(() => new Promise<void>(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    }))
  }
  return { issuer, clientId: 'strict', appBaseUrl, provider, requests }
}

/** For the feature `mTLS`: what the connection tells of the client's certificate. */
export const mutualTls = (subject: string): NonNullable<NonNullable<Configuration['features']>['mTLS']> => ({
  enabled: true,
  tlsClientAuth: true,
  selfSignedTlsClientAuth: true,
  getCertificate: ({ req }) => (req.socket as TLSSocket).getPeerX509Certificate?.()?.toString(),
  certificateAuthorized: ({ req }) => (req.socket as TLSSocket).authorized,
  certificateSubjectMatches: ({ req }, property, expected) => property === 'tls_client_auth_subject_dn' && expected === subject && (req.socket as TLSSocket).getPeerX509Certificate?.()?.subject === subject
})

function aliases (origin: string): Record<string, string> {
  return {
    token_endpoint: `${origin}/token`,
    pushed_authorization_request_endpoint: `${origin}/request`,
    revocation_endpoint: `${origin}/token/revocation`,
    introspection_endpoint: `${origin}/token/introspection`,
    userinfo_endpoint: `${origin}/me`
  }
}

/** Without the page that asks whether one wants to. */
async function endSession (provider: Provider, request: IncomingMessage, response: ServerResponse, appBaseUrl: string): Promise<void> {
  const session = await provider.Session.get(provider.createContext(request, response))
  await session.destroy()
  response.writeHead(303, { location: new URL(request.url as string, appBaseUrl).searchParams.get('post_logout_redirect_uri') ?? appBaseUrl }).end()
}

/** Keeps quiet what oidc-provider says about production and about Node 20. */
async function quietly<T> (run: () => Promise<T>): Promise<T> {
  const { warn, info } = console
  Object.assign(console, { warn () {}, info () {} })
  try {
    return await run()
  } finally {
    Object.assign(console, { warn, info })
  }
}
