import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import t from 'tap'
import * as exported from '../lib/index.ts'

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8')

t.test('the quick start of the README is the example', async t => {
  t.match(await read('README.md'), `\`\`\`ts\n${await read('example/app.ts')}\`\`\``)
})

t.test('every error code is documented, with its status', async t => {
  const documentation = await read('docs/errors.md')
  for (const [code, ErrorClass] of Object.entries(exported).filter(([name]) => name.startsWith('FST_'))) {
    const { statusCode } = new (ErrorClass as new () => { statusCode: number })()
    t.match(documentation, `| \`${code}\` | ${statusCode} |`)
  }
  for (const [code] of documentation.matchAll(/FST_AUTH0_[A-Z_0-9]+/g)) t.ok(code in exported || code === 'FST_AUTH0_FAILED', `${code} exists`)
})

t.test('every option is documented', async t => {
  const documentation = await read('docs/options.md')
  const declaration = /export interface Auth0Options \{\n(.*?)\n\}/s.exec(await read('lib/options.ts'))?.[1] ?? ''
  const names = [...declaration.matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name)
  t.ok(names.length > 15)
  for (const name of names) t.match(documentation, new RegExp(`\`${name}[\`.({]`), `${name} is documented`)
})

t.test('links between the pages lead somewhere', async t => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...(await readdir(new URL('../docs', import.meta.url))).map(name => `docs/${name}`)]
  for (const page of pages) {
    for (const [, target = ''] of (await read(page)).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      await t.resolves(stat(new URL(target, new URL(`../${page}`, import.meta.url))), `${page} links to ${target}`)
    }
  }
})

t.test('the code of docs/testing.md runs as it stands there', async t => {
  // Inside the package, so that `fastify-auth0` and `jose` are found.
  const folder = new URL(`../.tap/docs-${process.pid}/`, import.meta.url)
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true }))
  const blocks = [...(await read('docs/testing.md')).matchAll(/```ts\n\/\/ (\S+)\n(.*?)```/gs)]
  t.equal(blocks.length, 2)
  for (const [, name = '', code = ''] of blocks) await writeFile(new URL(name, folder), code)
  await t.resolves(promisify(execFile)(process.execPath, ['--import', 'tsx', new URL('profile.test.ts', folder).pathname]))
})
