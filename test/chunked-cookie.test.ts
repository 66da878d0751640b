import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import type { AnyReply, AnyRequest } from '../lib/fastify.ts'
import { createChunkedCookie } from '../lib/session/chunked-cookie.ts'
import { BrowserCookies } from './helpers/cookie-jar.ts'

const NAME = '__Host-auth0'
const MAX_SIZE = 12_288
const url = new URL('https://app.example.com')
const attributes = { secure: true, sameSite: 'lax' } as const
const cookie = createChunkedCookie(NAME, MAX_SIZE, attributes)
const generation = (digit: number) => String(digit).repeat(8)
/** As a seal: no two have parts or an end in common. */
const valueOf = (size: number, mark = 'm') => createCipheriv('aes-128-ctr', mark.repeat(16), String(size).padEnd(16)).update(Buffer.alloc(size)).toString('base64url').slice(0, size)
const sizes = fc.integer({ min: 40, max: MAX_SIZE })

t.test('G2 one cookie up to 3,800 bytes, above that as few as possible', t => {
  for (const [size, names] of [[3800, [NAME]], [3801, [`${NAME}.0`, `${NAME}.1`]], [7600, [`${NAME}.0`, `${NAME}.1`]], [7601, [`${NAME}.0`, `${NAME}.1`, `${NAME}.2`]]] as const) {
    t.same(set(write(valueOf(size))).map(nameOf), names, `${size} bytes`)
  }
  t.end()
})

t.test('G2 every cookie stays below the 4,096 bytes of name and value that browsers keep, and nothing of a value is lost (property)', async () => {
  fc.assert(fc.property(sizes, size => {
    const browser = new BrowserCookies()
    keep(browser, write(valueOf(size)))
    return browser.refused.length === 0 && cookie.read(send(browser)) === valueOf(size)
  }), { numRuns: 200 })
})

t.test('reads no value beyond the limit, in one cookie or in several', async t => {
  const small = createChunkedCookie(NAME, 100, attributes)
  t.equal(small.read(sent({ [NAME]: valueOf(100) })), valueOf(100))
  t.equal(small.read(sent({ [NAME]: valueOf(101) })), null)
  const cookies = Object.fromEntries(set(write(valueOf(MAX_SIZE + 1))).map(header => [nameOf(header), valueIn(header)]))
  t.equal(cookie.read(sent(cookies)), null)
  t.equal(createChunkedCookie(NAME, MAX_SIZE + 1, attributes).read(sent(cookies)), valueOf(MAX_SIZE + 1))
})

t.test('G3 a value that grows and shrinks leaves nothing stale behind (property)', async () => {
  fc.assert(fc.property(fc.array(sizes, { minLength: 2, maxLength: 6 }), steps => {
    const browser = new BrowserCookies()
    for (const size of steps) {
      keep(browser, write(valueOf(size), send(browser)))
      if (cookie.read(send(browser)) !== valueOf(size)) return false
    }
    const expected = set(write(valueOf(steps.at(-1)!))).map(nameOf)
    return JSON.stringify(browser.at(url).map(({ key }) => key).sort()) === JSON.stringify(expected)
  }), { numRuns: 100 })
})

t.test('G3 what is stale is expired with the very attributes that it was set with, and so is all at the end', async t => {
  const browser = new BrowserCookies()
  const grown = write(valueOf(9000))
  keep(browser, grown)
  const attributesOf = (header: string) => header.split('; ').slice(1).filter(attribute => !attribute.startsWith('Max-Age')).join('; ')
  const shrunk = write(valueOf(200), send(browser))
  t.same(expired(shrunk).map(nameOf), [`${NAME}.0`, `${NAME}.1`, `${NAME}.2`])
  const cleared = clear(send(browser))
  t.same(expired(cleared).map(nameOf), [`${NAME}.0`, `${NAME}.1`, `${NAME}.2`])
  t.same(new Set([...grown, ...shrunk, ...cleared].map(attributesOf)), new Set(['Path=/; HttpOnly; Secure; SameSite=Lax']))
  keep(browser, cleared)
  t.same(browser.at(url), [])
  t.same(clear(send(browser)), [], 'nothing to clear, nothing cleared')
})

t.test('G3 a single cookie that was not sent does not outlive chunks: `SameSite` holds it back at a callback from another site', async t => {
  const browser = new BrowserCookies()
  keep(browser, write(valueOf(100)))
  keep(browser, write(valueOf(9000), sent({})))
  t.equal(cookie.read(send(browser)), valueOf(9000))
  keep(browser, write(valueOf(200), sent({})))
  t.equal(cookie.read(send(browser)), valueOf(200), 'nor do chunks win over a newer single one')
})

t.test('G3 parts of two values are never joined, however their answers cross (property)', async () => {
  const crossing = fc.record({ one: sizes, other: sizes, before: fc.option(sizes), order: fc.infiniteStream(fc.boolean()) })
  fc.assert(fc.property(crossing, ({ one, other, before, order }) => {
    const browser = new BrowserCookies()
    if (before !== null) keep(browser, write(valueOf(before, 'b')))
    const request = send(browser) // both answers are to requests from before
    const answers = [write(valueOf(one, 'x'), request), write(valueOf(other, 'y'), request)] as const
    while (answers[0].length + answers[1].length > 0) {
      const next = answers[order.next().value ? 0 : 1].shift()
      if (next === undefined) continue
      keep(browser, [next])
      const read = cookie.read(send(browser))
      const honest = [valueOf(one, 'x'), valueOf(other, 'y'), before === null ? null : valueOf(before, 'b'), null]
      if (!honest.includes(read)) return false
    }
    return true
  }), { numRuns: 200 })
})

t.test('G3 parts in any mixture of generations and counts read as one whole value or not at all (property)', async () => {
  const chunks = fc.array(fc.record({ index: fc.integer({ min: 0, max: 4 }), generation: fc.integer({ min: 1, max: 2 }), count: fc.integer({ min: 0, max: 5 }) }))
  fc.assert(fc.property(chunks, parts => {
    const request = sent(parts.map(({ index, generation: digit, count }) => [`${NAME}.${index}`, `${generation(digit)}.${count}.${index}${generation(digit)}`] as const))
    const read = cookie.read(request)
    const [first = ''] = /\d{8}$/.exec(read ?? '') ?? []
    return read === null || new RegExp(`^(\\d${first})+$`).test(read)
  }), { numRuns: 500 })
})

t.test('G4 takes for no session what is not exactly its cookies', t => {
  const [a = '', b = '', c = ''] = write(valueOf(9000)).map(valueIn)
  const whole = { [`${NAME}.0`]: a, [`${NAME}.1`]: b, [`${NAME}.2`]: c }
  t.equal(cookie.read(sent(whole)), valueOf(9000))
  const nothing: Record<string, Record<string, string> | Array<readonly [string, string]>> = {
    'no cookie': {},
    'a name that goes on': { [`${NAME}.0evil`]: a, [`${NAME}.1`]: b, [`${NAME}.2`]: c },
    'a name that begins otherwise': { [`x${NAME}.0`]: a, [`${NAME}.1`]: b, [`${NAME}.2`]: c },
    'other spellings of the name': { '__host-auth0.0': a, [`${NAME}_0`]: a, [`${NAME}.00`]: a, [`${NAME}.`]: a, [`${NAME}.+0`]: a, [`${NAME}.1`]: b, [`${NAME}.2`]: c },
    'the first part missing': { [`${NAME}.1`]: b, [`${NAME}.2`]: c },
    'the middle part missing': { [`${NAME}.0`]: a, [`${NAME}.2`]: c },
    'the last part missing': { [`${NAME}.0`]: a, [`${NAME}.1`]: b },
    'a part twice': [...Object.entries(whole), [`${NAME}.1`, b]],
    'a part empty': { ...whole, [`${NAME}.1`]: '' },
    'a part without its generation': { ...whole, [`${NAME}.1`]: b.slice(9) },
    'another count in one part': { ...whole, [`${NAME}.1`]: b.replace('.3.', '.2.') },
    'fewer parts than there are': Object.fromEntries(Object.entries(whole).map(([name, part]) => [name, part.replace('.3.', '.2.')])),
    'a count of none': { [`${NAME}.0`]: `${generation(1)}.0.${generation(1)}` },
    'a count beyond the limit': { [`${NAME}.0`]: `${generation(1)}.5.x`, ...Object.fromEntries([1, 2, 3, 4].map(index => [`${NAME}.${index}`, `${generation(1)}.5.${generation(1)}`])) },
    'a count beyond all': { [`${NAME}.0`]: a.replace('.3.', '.999.') }
  }
  for (const [name, cookies] of Object.entries(nothing)) t.equal(cookie.read(sent(cookies)), null, name)
  t.not(cookie.read(sent({ [`${NAME}.0`]: b, [`${NAME}.1`]: a, [`${NAME}.2`]: c })), valueOf(9000), 'parts in each other\'s place: the seal will not open')
  t.equal(cookie.read(sent([...Object.entries(whole).reverse(), [`${NAME}.3`, a]])), valueOf(9000), 'the order in which they are sent does not matter')
  t.end()
})

t.test('leaves alone what only looks like its cookies', t => {
  const others = [`${NAME}.login.abc`, `${NAME}x`, `${NAME}.0evil`, `${NAME}.100`, `${NAME}.`, `${NAME}.1.2`, `x${NAME}`, 'auth0', 'theme']
  t.same(clear(sent(Object.fromEntries(others.map(name => [name, 'x'])))), [])
  t.same(write(valueOf(100), sent(Object.fromEntries(others.map(name => [name, 'x'])))).map(nameOf), [NAME])
  t.end()
})

t.test('tells what was sent apart by a fingerprint', t => {
  const fingerprints = [{}, { [NAME]: valueOf(100) }, { [NAME]: valueOf(101) }, { [`${NAME}.0`]: valueOf(100) }, { [`${NAME}.0`]: valueOf(100), [`${NAME}.1`]: 'x' }]
    .map(cookies => cookie.fingerprint(sent({ other: 'x', ...cookies })))
  t.equal(fingerprints[0], '')
  t.equal(new Set(fingerprints).size, fingerprints.length)
  t.not(cookie.fingerprint(sent([[NAME, 'x'], [NAME, 'y']])), '', 'twice is none, but something was sent')
  const junk = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`${NAME}.${index}`, 'x'.repeat(100)]))
  t.equal(cookie.fingerprint(sent(junk)).length, 43, 'O7 however much was sent')
  t.end()
})

function write (value: string, request = sent({})): string[] {
  return answer(reply => cookie.write(request, reply, value, 60))
}

/** Those that set a cookie; the others expire one. */
function set (headers: string[]): string[] {
  return headers.filter(header => !isExpiry(header))
}

function expired (headers: string[]): string[] {
  return headers.filter(isExpiry)
}

function isExpiry (header: string): boolean {
  return /^[^=]+=; Max-Age=0; /.test(header)
}

function clear (request: AnyRequest): string[] {
  return answer(reply => cookie.clear(request, reply))
}

/** The `Set-Cookie` headers that something adds to a reply. */
function answer (act: (reply: AnyReply) => void): string[] {
  const headers: string[] = []
  act({ header: (_name: string, value: string) => headers.push(value) } as unknown as AnyReply)
  return headers
}

function sent (cookies: Record<string, string> | ReadonlyArray<readonly [string, string]>): AnyRequest {
  const pairs = Array.isArray(cookies) ? cookies : Object.entries(cookies)
  return { headers: { cookie: pairs.map(([name, value]) => `${name}=${value}`).join('; ') } } as AnyRequest
}

function send (browser: BrowserCookies): AnyRequest {
  return { headers: { cookie: browser.header(url) } } as AnyRequest
}

function keep (browser: BrowserCookies, headers: string[]): void {
  for (const header of headers) browser.keep(header, url, 'strict')
}

function nameOf (header: string): string {
  return header.slice(0, header.indexOf('='))
}

function valueIn (header: string): string {
  return header.slice(header.indexOf('=') + 1, header.indexOf(';'))
}
