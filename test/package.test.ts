import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { installPacked, type Consumer } from './helpers/packed.ts'

const { default: manifest } = await import('../package.json', { with: { type: 'json' } })
const lib = (await readdir(new URL('../lib/', import.meta.url), { recursive: true })).filter(name => name.endsWith('.ts')).map(name => name.slice(0, -'.ts'.length))
let consumer: Consumer

const options = `{
  domain: 'tenant.example.com', clientId: 'client-id', clientSecret: 'a client secret', appBaseUrl: 'https://app.example.com',
  secret: '5f0d9c81e7b24a63f1c8d02e9a7b4c65d3e8f10a2b7c4d96', fetch: async () => { throw new Error('no network') }
}`
const answers = `
const navigation = { accept: 'text/html' }
const [refused, sent] = [await app.inject('/profile'), await app.inject({ url: '/profile', headers: navigation })]
console.log(JSON.stringify([refused.statusCode, refused.json().code, sent.headers.location]))
await app.close()
`
const expected = [401, 'FST_AUTH0_LOGIN_REQUIRED', '/login?returnTo=%2Fprofile']

t.setTimeout(180_000) // TypeScript runs three times

t.before(async () => { consumer = await installPacked(t) })

t.test('the package has what is needed, and nothing else', async t => {
  const types = lib.map(name => `dist/${name}.d.ts`)
  t.same(consumer.files, [...types, 'dist/index.js', 'CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'package.json'].sort())
})

t.test('it says for what it is', async t => {
  t.match(manifest, { license: 'MIT', type: 'module', engines: { node: '>=20.19' }, peerDependencies: { fastify: '^5.0.0' } })
  t.match(await readFile(new URL('../LICENSE', import.meta.url), 'utf8'), 'MIT License')
  for (const name of Object.keys(manifest.dependencies)) t.notMatch(name, /^(fastify|@types\/)$/)
  t.notOk(Object.keys(manifest.scripts).some(name => /install$/.test(name)), 'and runs nothing when it is installed')
})

t.test('it loads by import', async t => {
  t.same(await consumer.run('by-import.mjs', `
    import Fastify from 'fastify'
    import auth0, { FST_AUTH0_LOGIN_REFUSED } from 'fastify-auth0'
    const app = Fastify()
    await app.register(auth0, ${options})
    if (new FST_AUTH0_LOGIN_REFUSED('why').message !== 'why') throw new Error('no error class')
    app.get('/profile', { preHandler: app.requireAuth }, async () => 'secret')
    ${answers}`), expected)
})

t.test('it loads by require', async t => {
  t.same(await consumer.run('by-require.cjs', `
    const app = require('fastify')()
    app.register(require('fastify-auth0'), ${options})
    const { FST_AUTH0_LOGIN_REFUSED } = require('fastify-auth0')
    if (new FST_AUTH0_LOGIN_REFUSED('why').message !== 'why') throw new Error('no error class')
    app.register(async app => { app.get('/profile', { preHandler: app.requireAuth }, async () => 'secret') })
    async function ask () { ${answers} }
    ask()`), expected)
})

t.test('it loads at once what every application needs, and only when it is needed what takes long to load', async t => {
  const [atOnce, later] = await consumer.run('imports.mjs', `
    import { readFileSync } from 'node:fs'
    import { fileURLToPath } from 'node:url'
    const source = readFileSync(fileURLToPath(import.meta.resolve('fastify-auth0')), 'utf8')
    const find = pattern => [...new Set([...source.matchAll(pattern)].map(([, name]) => name))].filter(name => !name.startsWith('node:')).sort()
    console.log(JSON.stringify([find(/^import .*?"(.+)";$/gm), find(/import\\("(.+?)"\\)/g)]))`) as [string[], string[]]
  t.same(atOnce, ['@fastify/error', '@fastify/formbody', 'cookie', 'entities/escape', 'fastify-plugin', 'leven', 'toad-cache'])
  t.same(later, ['@fastify/cookie', '@fastify/session', 'ioredis', 'jose', 'openid-client'])
})

t.test('it is configured by the environment alone', async t => {
  t.same(await consumer.run('by-environment.mjs', `
    import Fastify from 'fastify'
    import auth0 from 'fastify-auth0'
    const variables = { AUTH0_DOMAIN: 'tenant.example.com', AUTH0_CLIENT_ID: 'id', AUTH0_CLIENT_SECRET: 'shh', AUTH0_SECRET: '5f0d9c81e7b24a63f1c8d02e9a7b4c65d3e8f10a2b7c4d96', APP_BASE_URL: 'https://app.example.com' }
    Object.assign(process.env, variables)
    const app = Fastify()
    await app.register(auth0)
    app.get('/profile', { preHandler: app.requireAuth }, async () => 'secret')
    ${answers}`), expected)
})

t.test('nothing inside of it can be imported', async t => {
  t.same(await consumer.run('inside.mjs', `
    const codes = await Promise.all(['fastify-auth0/dist/index.js', 'fastify-auth0/options'].map(path => import(path).catch(error => error.code)))
    const { default: { name } } = await import('fastify-auth0/package.json', { with: { type: 'json' } })
    console.log(JSON.stringify([...codes, name]))`), ['ERR_PACKAGE_PATH_NOT_EXPORTED', 'ERR_PACKAGE_PATH_NOT_EXPORTED', 'fastify-auth0'])
})

const typed = `
import Fastify from 'fastify'
import auth0, { type Auth0Options, type User } from 'fastify-auth0'

declare module 'fastify-auth0' {
  interface User { 'https://example.com/plan'?: 'free' | 'pro' }
}

const options: Auth0Options = { clientId: process.env.CLIENT_ID, onLogin ({ user }) { user['https://example.com/plan'] = 'pro' } }
const app = Fastify({ http2: true })
await app.register(auth0, options)
app.get('/', { preHandler: [app.requireAuth, app.requireAuth({ roles: 'admin' })] }, async request => {
  const plan: 'free' | 'pro' | undefined = request.auth0.user?.['https://example.com/plan']
  const user: Readonly<User> | null = app.auth0.getUser(request)
  return { plan, user }
})
// @ts-expect-error -- no such option
await app.register(auth0, { clientID: 'x' })
// @ts-expect-error -- no such value of the claim
options.onLogin = ({ user }) => { user['https://example.com/plan'] = 'none' }
`

t.test('its types are those of the sources, also for an application that checks every declaration', async t => {
  const commonJs = `
import fastify = require('fastify')
import auth0 = require('fastify-auth0')
const app = fastify()
app.register(auth0.default, { name: 'auth0' }).after(() => { app.get('/', { onRequest: app.requireAuth }, async request => request.auth0.user?.name) })
`
  t.equal(await consumer.check({ 'typed.mts': typed, 'typed.cts': commonJs }, { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }), '')
  t.equal(await consumer.check({ 'typed.mts': typed }, { module: 'esnext', moduleResolution: 'bundler', skipLibCheck: true }), '')
})
