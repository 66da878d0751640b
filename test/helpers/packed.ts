import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const root = fileURLToPath(new URL('../../', import.meta.url))
const NOT_COPIED = new Set(['node_modules', '.git', '.tap', 'dist'])
const execute = promisify(execFile)

/** A project that has the package as `npm install` would put it there, and nothing else of this repository. */
export interface Consumer {
  /** Paths of the tarball, without the `package/` in front. */
  files: string[]
  /** Writes a file and runs Node with it; gives what it printed, read as JSON. */
  run (name: string, source: string): Promise<unknown>
  /** Writes files and checks their types; gives what TypeScript says about them. */
  check (sources: Record<string, string>, compilerOptions?: object): Promise<string>
}

/** Packs a copy of this repository, with what must not get into the package lying about in it, and installs that. */
export async function installPacked (t: Test): Promise<Consumer> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'fastify-auth0-')))
  t.teardown(() => rm(folder, { recursive: true }))
  const archive = await pack(join(folder, 'source'))
  const modules = join(folder, 'node_modules')
  await mkdir(join(modules, 'unpacked'), { recursive: true })
  await execute('tar', ['-xzf', archive, '-C', join(modules, 'unpacked')])
  const installed = join(modules, 'fastify-auth0')
  await cp(join(modules, 'unpacked', 'package'), installed, { recursive: true })
  await linkDependencies(installed, modules)
  return {
    files: await filesIn(installed),
    async run (name, source) {
      await writeFile(join(folder, name), source)
      const { stdout } = await execute(process.execPath, [join(folder, name)], { env: plainEnvironment() })
      return JSON.parse(stdout)
    },
    async check (sources, compilerOptions = {}) {
      for (const [name, source] of Object.entries(sources)) await writeFile(join(folder, name), source)
      const tsconfig = { compilerOptions: { target: 'es2023', module: 'nodenext', strict: true, noEmit: true, types: ['node'], ...compilerOptions }, files: Object.keys(sources) }
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
      return execute(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { cwd: folder, env: plainEnvironment() })
        .then(({ stdout }) => stdout, ({ stdout }) => String(stdout))
    }
  }
}

/** By `npm pack`, which builds. */
async function pack (copy: string): Promise<string> {
  await cp(root, copy, { recursive: true, filter: path => !NOT_COPIED.has(basename(path)) || dirname(path) !== dirname(join(root, 'x')) })
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
  await mkdir(join(copy, 'dist'))
  await writeFile(join(copy, 'dist', 'renamed-since.js'), '')
  await writeFile(join(copy, '.env'), 'AUTH0_CLIENT_SECRET=not-for-others')
  await execute('npm', ['pack', '--silent', '--offline'], { cwd: copy, env: plainEnvironment() })
  const [archive] = (await readdir(copy)).filter(name => name.endsWith('.tgz'))
  return join(copy, archive!)
}

/** What the package says it needs, and no more: an import of anything else fails. */
async function linkDependencies (installed: string, modules: string): Promise<void> {
  const { dependencies, peerDependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  for (const name of [...Object.keys({ ...dependencies, ...peerDependencies }), '@types/node']) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
}

async function filesIn (folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort()
}

/** Without what the test runner adds to every Node, and without the settings of whoever runs the tests. */
function plainEnvironment (): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_OPTIONS|TAP|_TAP|AUTH0_|APP_BASE_URL)/.test(name)))
}
