import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'

const documentation = await readFile(new URL('../docs/requirements.md', import.meta.url), 'utf8')
const required = [...documentation.matchAll(/^\| ([A-O]\d+) \|/gm)].map(([, id]) => id as string)
const names = (await readdir(import.meta.dirname, { recursive: true })).filter(name => name.endsWith('.ts'))
const sources = await Promise.all(names.map(name => readFile(new URL(name, import.meta.url), 'utf8')))

// In names of tests, and as keys of tables that become names of tests.
const cited = new Set(sources.flatMap(source => source.match(/\b[A-O]\d{1,2}\b/g) ?? []))
const begun = new Set(sources.flatMap(source => [...source.matchAll(/t\.test\(['"`]([A-O]\d{1,2})\b/g)].map(([, id]) => id as string)))

t.test('every security requirement has a test that cites it', async t => {
  t.ok(required.length > 100)
  t.same(required.filter(id => !cited.has(id)), [])
})

t.test('no test cites a requirement that does not exist', async t => {
  t.ok(begun.size > 50)
  t.same([...begun].filter(id => !required.includes(id)), [])
})
