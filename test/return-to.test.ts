import fc from 'fast-check'
import t from 'tap'
import { pageOf, safeReturnTo } from '../lib/return-to.ts'
import { assertStaysAt, encodedPayloads, redirectPayloads } from './helpers/redirect-payloads.ts'

const origins = ['https://app.example.com', 'https://shop.example.com:8443']
const forbidden = ['/login', '/callback', '/logout'].flatMap(path => origins.map(origin => pageOf(new URL(origin + path))))
const rules = { home: new URL('https://app.example.com/'), origins: new Set(origins), forbidden: new Set(forbidden) }
const below = { ...rules, home: new URL('https://app.example.com/base/') }
const from = 'https://app.example.com/callback?code=1'

t.test('M1 no known payload leads away, as it is, encoded once, or twice (RFC 9700 §4.11.1, ASVS 5.0 §3.7.2)', async t => {
  t.ok(redirectPayloads.length >= 559, `${redirectPayloads.length} payloads`)
  for (const payload of [...redirectPayloads, ...encodedPayloads]) {
    for (const each of [rules, below]) assertStaysAt(origins, safeReturnTo(payload, each), from)
  }
})

t.test('M1 the corpus would find a check that only looks at the beginning', async t => {
  const naive = (value: string) => value.startsWith('/') && !value.startsWith('//') ? value : '/'
  const escaped = redirectPayloads.filter(payload => new URL(naive(payload), from).origin !== 'https://app.example.com')
  t.ok(escaped.length > 100, `${escaped.length} get past it`)
  t.throws(() => assertStaysAt(origins, escaped[0]!, from))
})

t.test('M1 nothing else leads away either: a browser is the judge', async () => {
  const piece = fc.oneof(
    fc.constantFrom('/', '\\', '//', ':', '@', '.', '..', ';', '?', '#', '%', '%2f', '%5c', '%09', '%00', '\t', '\n', '\r', ' ', '\u0000', '。', '／', '\u200b', '[', ']', '::1'),
    fc.constantFrom('http', 'https', 'javascript', 'data', 'blob', 'file', 'app.example.com', 'shop.example.com', ':8443', 'evil.example', 'login'),
    fc.string({ unit: 'binary', maxLength: 3 })
  )
  const value = fc.oneof(fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join('')), fc.webUrl({ validSchemes: ['http', 'https', 'ftp', 'blob:https'], withFragments: true }), fc.anything())
  fc.assert(fc.property(value, fc.constantFrom(rules, below), (value, each) => {
    const safe = safeReturnTo(value, each)
    assertStaysAt(origins, safe, from)
    if (safeReturnTo(safe, each) !== safe) throw new Error(`${safe} is not taken for safe itself`)
    if (safe.length > 2048) throw new Error('it is too long')
  }), { numRuns: 3000 })
})

t.test('addresses of ours stay what they are', async () => {
  const path = fc.webPath().map(path => `/${path.replace(/^\/+/, '')}`).filter(path => !forbidden.includes(pageOf(new URL(path, rules.home))))
  fc.assert(fc.property(path, fc.option(fc.webQueryParameters()), fc.option(fc.webFragments()), (path, query, fragment) => {
    const address = path + (query === null ? '' : `?${query}`) + (fragment === null ? '' : `#${fragment}`)
    const { pathname, search, hash } = new URL(address, rules.home)
    return pathname.startsWith('//') || safeReturnTo(address, rules) === pathname + search + hash
  }), { numRuns: 500 })
})

const kept: Array<[wish: string, address: string]> = [
  ['/', '/'],
  ['/profile', '/profile'],
  ['/search?q=a%20b&next=https://evil.example#part', '/search?q=a%20b&next=https://evil.example#part'],
  ['/café/☕', '/caf%C3%A9/%E2%98%95'],
  ['profile', '/profile'],
  ['?page=2', '/?page=2'],
  ['https://app.example.com/profile', '/profile'],
  ['HTTPS://APP.example.com:443/profile', '/profile'],
  ['//app.example.com/profile', '/profile'],
  ['https://shop.example.com:8443/cart?id=1', 'https://shop.example.com:8443/cart?id=1'],
  ['/logout-help', '/logout-help'],
  ['/login/help', '/login/help'],
  ['/%zz', '/%zz']
]
for (const [wish, address] of kept) {
  t.test(`${wish} leads to ${address}`, async t => t.equal(safeReturnTo(wish, rules), address))
}

const elsewhere = [
  'https://shop.example.com', 'http://shop.example.com:8443', 'https://shop.example.com:8444/', 'https://SHOP.example.com:84430', 'https://example.com', 'https://a.app.example.com',
  'https://app.example.com.', 'http://app.example.com', 'https://xapp.example.com', 'https://app.example.comx', 'blob:https://app.example.com/login', 'blob:https://shop.example.com:8443/x',
  'https://user@shop.example.com:8443/', 'https://:password@app.example.com/x', 'https://evil.example%2f@shop.example.com:8443/'
]
for (const wish of elsewhere) {
  t.test(`M2 only the very same origin is allowed: not ${wish} (RFC 9700 §4.11.1)`, async t => t.equal(safeReturnTo(wish, rules), '/'))
}

const loops = [
  '/login', '/callback', '/logout', '/callback?code=1&state=2', '/logout#x', '/login/', '//app.example.com/login', '/LOGIN', '/%6cogin', '/%4COGIN', '/%6c%6f%67in', '/login;a=b', '/x/../login', '/./login',
  '/x/y/../../login', '/login//', 'login', 'https://app.example.com/logout', 'https://shop.example.com:8443/logout', 'https://shop.example.com:8443/%6Cogout/'
]
for (const wish of loops) {
  t.test(`M3 ${wish} becomes the home page: it would loop`, async t => {
    t.equal(safeReturnTo(wish, rules), '/')
  })
}

const long: Array<[name: string, wish: string]> = [
  ['10 KB', `/${'a'.repeat(10_240)}`], ['10 KB that a browser makes short', `${'/a/..'.repeat(2048)}/x`], ['2,049 characters', `/${'a'.repeat(2048)}`], ['500 characters that take twelve each when escaped', `/${'😀'.repeat(250)}`]
]
for (const [name, wish] of long) {
  t.test(`M4 ${name} are too long`, async t => t.equal(safeReturnTo(wish, rules), '/'))
}

t.test('M4 2,048 characters are not', async t => {
  const wish = `/${'a'.repeat(2047)}`
  t.equal(safeReturnTo(wish, rules), wish)
})

t.test('M7 a control character or a backslash anywhere is refused (ASVS 5.0 §1.2)', async t => {
  for (const code of [...Array(32).keys(), 0x5c, ...Array.from({ length: 33 }, (_, index) => 0x7f + index)]) {
    t.equal(safeReturnTo(`/a${String.fromCharCode(code)}b`, rules), '/', `U+${code.toString(16)}`)
  }
})

t.test('a wish that is no text is none', async t => {
  for (const wish of [undefined, null, 5, {}, ['/profile'], new URL('https://app.example.com/profile')]) t.equal(safeReturnTo(wish, below), '/base/')
})
