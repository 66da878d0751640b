import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

const lib = new URL('../lib/', import.meta.url)
const files = (await readdir(lib, { recursive: true })).filter(name => name.endsWith('.ts'))
const imports = new Map(await Promise.all(files.map(async name => [name, importsOf(await readFile(new URL(name, lib), 'utf8'))] as const)))

/** From the plugin down. A folder or file imports what stands below it, or beside it in its own folder. */
const layers = [
  ['index.ts'], ['auth0.ts', 'storage.ts', 'decorate-request.ts', 'routes'], ['policy'], ['guard'], ['login.ts', 'logout.ts', 'backchannel-logout.ts', 'active-sessions.ts', 'error-answer.ts'], ['request-auth.ts'], ['addresses.ts', 'claim-paths.ts', 'parse-options.ts'], ['options'], ['tokens', 'api'],
  ['login-transaction.ts', 'options.ts', 'callback-answer.ts', 'pages.ts'], ['verify'], ['provider'], ['session'], ['store'],
  ['authorization-params.ts', 'return-to.ts', 'cross-site.ts'], ['clock.ts', 'errors.ts', 'events.ts', 'fastify.ts', 'suggest.ts']
]

t.test('every file of lib has its layer', async t => {
  t.same(files.filter(name => layerOf(name) === -1), [])
})

t.test('imports run downwards', async t => {
  for (const [name, imported] of imports) {
    for (const target of imported.filter(path => path.startsWith('.')).map(path => normalize(join(dirname(name), path)))) {
      const isBeside = folderOf(name) === folderOf(target) && folderOf(name) !== '.'
      t.ok(isBeside || layerOf(name) < layerOf(target), `${name} imports ${target}`)
    }
  }
})

t.test('nothing imports in circles', async t => {
  for (const name of files) t.notOk(reaches(name, name), `${name} does not reach itself`)
})

const doors: Array<[dependency: string, place: string]> = [
  ['openid-client', 'provider'], ['@fastify/error', 'errors.ts'], ['cookie', 'session/cookies.ts'], ['entities/escape', 'pages.ts'], ['@fastify/formbody', 'routes'],
  ['@fastify/session', 'session/session-plugin.ts'], ['@fastify/cookie', 'session/session-plugin.ts'], ['ioredis', 'store/redis-client.ts'], ['jose', 'verify']
]
for (const [dependency, place] of doors) {
  t.test(`${dependency} has one door, ${place}`, async t => {
    const users = files.filter(name => imports.get(name)?.includes(dependency))
    t.ok(users.length > 0)
    t.same(users.filter(name => !name.startsWith(place)), [])
  })
}

function importsOf (source: string): string[] {
  return [...source.matchAll(/(?:from|import\() ?'([^']+)'/g)].map(([, path]) => path as string)
}

function layerOf (name: string): number {
  const [top = ''] = name.split('/')
  return layers.findIndex(layer => layer.includes(top))
}

function folderOf (name: string): string {
  return dirname(name)
}

function reaches (from: string, goal: string, seen = new Set<string>()): boolean {
  return (imports.get(from) ?? []).filter(path => path.startsWith('.')).map(path => normalize(join(dirname(from), path))).some(target => {
    if (target === goal) return true
    if (seen.has(target)) return false
    return reaches(target, goal, seen.add(target))
  })
}
