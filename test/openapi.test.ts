import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import auth0, { type Auth0, type Auth0Options, type RequestAuth0 } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { appBaseUrl, buildApp, secret, type BuildOptions } from './helpers/app.ts'

declare module 'fastify' {
  interface FastifyInstance { staff: Auth0 }
  interface FastifyRequest { staff: RequestAuth0 }
}

/** As far as the tests look into it. */
interface Document {
  components: { securitySchemes?: Record<string, object> }
  paths: Record<string, Record<string, { security?: object[], responses: Record<string, { description: string, content?: object }> }>>
}

const openapi = { openapi: '3.1.0', info: { title: 'Lantern', version: '1.0.0' } }
const session = { type: 'apiKey', in: 'cookie', name: '__Host-auth0' }
const bearer = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }

for (const order of ['before', 'after'] as const) {
  t.test(`with @fastify/swagger ${order} the plugin, guarded routes tell what they demand`, async t => {
    const document = await documentOf(await build(t, { order }))
    t.match(document.components.securitySchemes, { auth0Session: session, auth0Bearer: bearer })
    t.same(Object.fromEntries(Object.entries(document.paths).map(([path, { get }]) => [path, get?.security])), {
      '/public': undefined, '/page': [{ auth0Session: [] }], '/api': [{ auth0Bearer: ['read:messages'] }], '/either': [{ auth0Session: [] }, { auth0Bearer: [] }], '/context/page': [{ auth0Session: [] }]
    })
    t.same(Object.keys(document.paths['/page']?.get?.responses ?? {}), ['200', '401', '403'])
    t.same(document.paths['/page']?.get?.responses[200], document.paths['/public']?.get?.responses[200], 'what is said of an answer elsewhere is said here')
    t.same(Object.keys(document.paths['/public']?.get?.responses ?? {}), ['200'])
    await isValid(t, document)
  })

  t.test(`so it does ${order} a plugin without a route of its own`, async t => {
    const noRoutes = { routes: { login: false, callback: false, logout: false }, redirectUri: 'https://app.example.com/mine' } as const
    const document = await documentOf(await build(t, { order, auth0: noRoutes }))
    t.same(document.paths['/page']?.get?.security, [{ auth0Session: [] }])
    t.notOk(Object.keys(document.paths).some(path => path.includes('auth0')))
  })

  t.test(`and a transform of the application's, for ${order}, sees it`, async t => {
    const seen: string[] = []
    await documentOf(await build(t, {
      order,
      swagger: {
        transform ({ schema, url }) {
          if (schema?.security !== undefined) seen.push(url)
          return { schema, url }
        }
      }
    }))
    t.same(seen, ['/page', '/api', '/either', '/context/page'])
  })

  t.test(`documents as YAML, of version 3.0, and of version 2, ${order}`, async t => {
    const app = await build(t, { order })
    await app.ready()
    t.match(app.swagger({ yaml: true }), '      security:\n        - auth0Session: []\n')
    const older = await documentOf(await build(t, { order, swagger: { openapi: { ...openapi, openapi: '3.0.3' } } }))
    t.same(older.paths['/api']?.get?.security, [{ auth0Bearer: [] }], 'where scopes are for OAuth 2.0 alone')
    await isValid(t, older)
    const oldest = await build(t, { order, swagger: { openapi: undefined, swagger: { info: openapi.info } } as object })
    const { paths } = await documentOf(oldest)
    t.same(Object.keys(paths), ['/public', '/page', '/api', '/either', '/context/page'])
    t.same(paths['/page']?.get?.security, undefined)
  })
}

t.test('what the application says itself stays', async t => {
  const mine = { type: 'object', properties: { mine: { type: 'string' } } }
  const app = await build(t, {
    swagger: { openapi: { ...openapi, components: { securitySchemes: { auth0Session: { type: 'apiKey', in: 'cookie', name: 'mine' }, other: { type: 'mutualTLS' as 'http', scheme: '' } } } } },
    routes: app => {
      const preHandler = app.requireAuth()
      app.get('/security', { preHandler, schema: { security: [{ other: [] }], summary: 'Mine' } }, async () => '')
      app.get('/open', { preHandler, schema: { security: [] } }, async () => '')
      app.get('/401', { preHandler, schema: { response: { 200: mine, 401: mine } } }, async () => '')
      app.get('/4xx', { preHandler, schema: { response: { '4XX': mine } } }, async () => '')
      app.get('/default', { preHandler, schema: { response: { default: mine } } }, async () => '')
      app.get('/hidden', { preHandler, schema: { hide: true } }, async () => '')
    }
  })
  const { paths, components } = await documentOf(app)
  t.match(components.securitySchemes, { auth0Session: { name: 'mine' }, auth0Bearer: bearer, other: { type: 'mutualTLS' } })
  t.match(paths['/security']?.get, { security: [{ other: [] }], summary: 'Mine' })
  t.same(paths['/open']?.get?.security, [])
  t.match(paths['/401']?.get?.responses, { 401: { content: { 'application/json': { schema: mine } } }, 403: { description: 'Not allowed' } })
  t.same(Object.keys(paths['/4xx']?.get?.responses ?? {}), ['4XX'])
  t.same(Object.keys(paths['/default']?.get?.responses ?? {}), ['default'])
  t.notOk('/hidden' in paths)
})

t.test('answers stay as they are, whatever documents say of them', async t => {
  const app = await build(t, { routes: app => app.get('/typed', { preHandler: app.requireAuth(), schema: { response: { 200: { type: 'string' } } } }, async () => '') })
  const before = await app.inject('/typed')
  await documentOf(app)
  const after = await app.inject('/typed')
  for (const { statusCode, body } of [before, after]) {
    t.equal(statusCode, 401)
    t.same(JSON.parse(body), { statusCode: 401, code: 'FST_AUTH0_LOGIN_REQUIRED', error: 'Unauthorized', message: 'Log in to use this resource' })
  }
})

t.test('an error of the application with more in it keeps that', async t => {
  const app = await build(t, {
    routes: app => {
      app.setErrorHandler((_error, _request, reply) => reply.code(401).send({ mine: true }))
      app.get('/dressed', { preHandler: app.requireAuth() }, async () => '')
    }
  })
  await documentOf(app)
  t.same((await app.inject('/dressed')).json(), { mine: true })
})

t.test('what is lent for a document is taken back', async t => {
  const schema = { summary: 'Mine' }
  const known: Array<{ url: string, schema?: object }> = []
  const app = await build(t, {
    before: app => app.addHook('onRoute', route => { known.push(route) }),
    routes: app => app.get('/mine', { preHandler: app.requireAuth(), schema }, async () => '')
  })
  await documentOf(app)
  t.equal(known.find(({ url }) => url === '/mine')?.schema, schema)
  t.equal(known.find(({ url }) => url === '/page')?.schema, undefined)
})

t.test('documents in one go differ as they should, and those that none of our routes is in stay as they are', async t => {
  const app = await build(t, {
    swagger: { openapi: { ...openapi, openapi: '3.0.3' } },
    before: app => app.register(swagger, { openapi, decorator: 'newer' as 'swagger' }),
    routes: async app => {
      await app.register(swagger, { openapi, decorator: 'late' as 'swagger' })
      app.get('/late', { preHandler: app.requireAuth() }, async () => '')
    }
  })
  await app.ready()
  const { newer, late } = app as unknown as Record<'newer' | 'late', () => Document>
  t.same((app.swagger() as unknown as Document).paths['/api']?.get?.security, [{ auth0Bearer: [] }])
  t.same(newer().paths['/api']?.get?.security, [{ auth0Bearer: ['read:messages'] }])
  await null
  t.same(late().paths['/late']?.get?.security, undefined)
})

t.test('schemas of another kind get no answers that are JSON Schema', async t => {
  const app = await build(t, {
    swagger: { transform: ({ schema, url }) => ({ schema: { ...schema as object, response: {}, summary: Object.keys(schema?.response ?? { none: '' }).join() }, url }) },
    routes: app => {
      const serializerCompiler = () => () => ''
      app.get('/route', { preHandler: app.requireAuth(), serializerCompiler }, async () => '')
      app.register(async app => {
        app.setSerializerCompiler(serializerCompiler)
        app.get('/server', { preHandler: app.requireAuth() }, async () => '')
      })
    }
  })
  const { paths } = await documentOf(app)
  t.match(paths['/page']?.get, { summary: '200,401,403' })
  for (const url of ['/route', '/server']) t.match(paths[url]?.get, { summary: 'none', security: [{ auth0Session: [] }, { auth0Bearer: [] }] })
})

t.test('two instances, and an API that takes bound tokens alone', async t => {
  const app = await build(t, {
    auth0: { api: { audience: AUDIENCE, dpop: 'required' } },
    second: { name: 'staff', prefix: '/staff' },
    routes: app => app.get('/both', { onRequest: [app.requireAuth({ via: 'bearer' }), app.staff.requireAuth()] }, async () => '')
  })
  const document = await documentOf(app)
  t.match(document.components.securitySchemes, { auth0Bearer: { type: 'http', scheme: 'DPoP' }, staffSession: { name: '__Host-staff' } })
  t.same(Object.keys(document.components.securitySchemes ?? {}), ['auth0Session', 'auth0Bearer', 'staffSession'])
  t.same(document.paths['/both']?.get?.security, [{ auth0Bearer: [], staffSession: [] }])
  await isValid(t, document)
})

t.test('the route for late documents is not there for callers, and ours', async t => {
  const app = await build(t, { order: 'after' })
  const [ours, none] = await Promise.all(['/.fastify-auth0', '/.fastify-auth1'].map(url => app.inject({ method: 'TRACE' as 'GET', url })))
  t.equal(ours?.statusCode, 404)
  t.equal(ours?.body, none?.body.replace('auth1', 'auth0'))
  t.same(app.auth0.routes().filter(({ method }) => method === 'TRACE'), [{ method: 'TRACE', url: '/.fastify-auth0', policy: 'plugin' }])
})

t.test('where nobody logs in, sessions are no way to be admitted', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi })
  await app.register(auth0, { domain: 'tenant.example.com', api: { audience: AUDIENCE } })
  app.get('/api', { preHandler: app.requireAuth() }, async () => '')
  const document = await documentOf(app)
  t.same(Object.keys(document.components.securitySchemes ?? {}), ['auth0Bearer'])
  t.same(document.paths['/api']?.get?.security, [{ auth0Bearer: [] }])
})

t.test('without @fastify/swagger there is nothing of it', async t => {
  const { app } = await buildApp(t, {})
  await app.ready()
  t.same(app.auth0.routes().filter(({ method }) => method === 'TRACE'), [])
})

interface Options {
  /** Where @fastify/swagger is registered. Default: before the plugin. */
  order?: 'before' | 'after'
  swagger?: FastifyDynamicSwaggerOptions
  auth0?: Auth0Options
  /** Another instance. */
  second?: Auth0Options
  before?: BuildOptions['before']
  routes?: (app: FastifyInstance) => unknown
}

async function build (t: Test, { order = 'before', swagger: options, auth0: first, second, before, routes }: Options): Promise<FastifyInstance> {
  const addSwagger = (app: FastifyInstance) => app.register(swagger, { openapi, ...options })
  const { app } = await buildApp(t, {
    auth0: { api: { audience: AUDIENCE }, ...first },
    before: async app => {
      await before?.(app)
      if (order === 'before') await addSwagger(app)
    },
    routes: false
  })
  if (second !== undefined) await app.register(auth0, { domain: 'staff.example.com', clientId: 'staff', clientSecret: 'client-secret-of-the-tests', secret, appBaseUrl, ...second })
  if (order === 'after') await addSwagger(app)
  app.get('/public', async () => '')
  app.get('/page', { preHandler: app.requireAuth({ via: 'session' }) }, async () => '')
  app.get('/api', { preHandler: app.requireAuth({ via: 'bearer', scopes: 'read:messages' }) }, async () => '')
  app.get('/either', { preHandler: app.requireAuth() }, async () => '')
  await app.register(async app => {
    app.addHook('onRequest', app.requireAuth({ via: 'session' }))
    app.get('/page', async () => '')
  }, { prefix: '/context' })
  await routes?.(app)
  return app
}

async function documentOf (app: FastifyInstance): Promise<Document> {
  await app.ready()
  return app.swagger() as unknown as Document
}

/** By the schema of its version of OpenAPI. */
async function isValid (t: Test, document: Document): Promise<void> {
  const { valid, errors } = await new Validator().validate({ ...document })
  t.ok(valid, JSON.stringify(errors))
}
