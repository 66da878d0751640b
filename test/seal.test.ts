import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import { CompactEncrypt, compactDecrypt } from 'jose'
import t from 'tap'
import { createSeal, deriveKey, protectedHeader } from '../lib/session/seal.ts'
import { travelInTime } from './helpers/clock.ts'

const DAY = 86_400
const LIFETIME = 3 * DAY
const secrets = ['a'.repeat(8) + 'first-secret-of-the-tests', 'b'.repeat(8) + 'second-secret-of-the-tests'] as const
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const sealOf = (secret: string | string[] = secrets[0], purpose = 'session', lifetime = LIFETIME) => createSeal([secret].flat(), purpose, lifetime)
const today = () => Math.floor(Date.now() / 1000 / DAY)
const join = (...parts: string[]) => parts.join('.')
const parts = (sealed: string) => sealed.split('.') as [header: string, key: string, iv: string, text: string, tag: string]

t.test('seals what jose opens: JWE compact serialization, dir, A256GCM (RFC 7516 §7.1, RFC 7518 §4.5, §5.3)', async t => {
  const sealed = sealOf().seal({ name: 'Zoë' })
  const { plaintext, protectedHeader } = await compactDecrypt(sealed, deriveKey(secrets[0], 'session', today()))
  t.same(JSON.parse(Buffer.from(plaintext).toString()), { name: 'Zoë' })
  t.match(protectedHeader, { alg: 'dir', enc: 'A256GCM', kid: new RegExp(`^[\\w-]{8}\\.${today()}$`) })
  t.same(Object.keys(protectedHeader), ['alg', 'enc', 'kid'])
})

t.test('opens what jose seals', async t => {
  const header = JSON.parse(Buffer.from(protectedHeader(secrets[0], 'session', today()), 'base64url').toString())
  const sealed = await new CompactEncrypt(Buffer.from('{"name":"Zoë"}')).setProtectedHeader(header).encrypt(deriveKey(secrets[0], 'session', today()))
  t.same(sealOf().open(sealed), { name: 'Zoë' })
})

t.test('opens what was sealed, whatever it is (property)', async () => {
  const seal = sealOf()
  fc.assert(fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), value => {
    return JSON.stringify(seal.open(seal.seal(value))) === JSON.stringify(value)
  }), { numRuns: 300 })
})

t.test('G5 refuses a seal with any one bit flipped', async t => {
  const seal = sealOf()
  const sealed = seal.seal({ admin: false })
  const opened: string[] = []
  parts(sealed).forEach((part, index) => {
    const bytes = Buffer.from(part, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const forged = join(...parts(sealed).with(index, flipped.toString('base64url')))
      if (seal.open(forged) !== null) opened.push(`bit ${bit} of part ${index}`)
    }
  })
  t.same(opened, [])
})

t.test('G5 refuses a seal with any one character changed, left out, doubled or added', async t => {
  const seal = sealOf()
  const sealed = seal.seal({})
  const opened = new Set<string>()
  const attempt = (forged: string, how: string) => { if (forged !== sealed && seal.open(forged) !== null) opened.add(how) }
  for (let at = 0; at <= sealed.length; at++) {
    const [before, after] = [sealed.slice(0, at), sealed.slice(at)]
    for (const character of alphabet + '.=+/ %\n\0é') {
      attempt(before + character + after.slice(1), `${character} at ${at}`)
      attempt(before + character + after, `${character} put in at ${at}`)
    }
    attempt(before + after.slice(1), `without ${at}`)
    attempt(before, `cut at ${at}`)
    attempt(after, `cut before ${at}`)
  }
  t.same([...opened], [])
})

t.test('G5 refuses other spellings of the same bytes (RFC 4648 §3.5)', async t => {
  const seal = sealOf()
  let sealed = seal.seal({ text: '?'.repeat(40) })
  while (!/[-_]/.test(parts(sealed)[3])) sealed = seal.seal({ text: '?'.repeat(40) })
  const [header, key, iv, text, tag] = parts(sealed)
  const spellings: Record<string, string> = {
    'spare bits in the tag': join(header, key, iv, text, tag.slice(0, -1) + alphabet[alphabet.indexOf(tag.at(-1)!) + 1]!),
    'padding behind the tag': `${sealed}==`,
    'padding behind the text': join(header, key, iv, `${text}=`, tag),
    'standard base64': join(header, key, iv, text.replaceAll('-', '+').replaceAll('_', '/'), tag),
    'a line break': join(header, key, iv, `${text.slice(0, 8)}\r\n${text.slice(8)}`, tag),
    'percent-encoding': encodeURIComponent(`${sealed}=`),
    'padding behind the header': join(`${header}=`, key, iv, text, tag),
    quotes: `"${sealed}"`
  }
  for (const [name, spelling] of Object.entries(spellings)) t.equal(seal.open(spelling), null, name)
  t.same(seal.open(sealed), { text: '?'.repeat(40) })
})

t.test('G5 refuses parts of two seals together, and what is none', async t => {
  const seal = sealOf()
  const [one, other] = [parts(seal.seal({ n: 1 })), parts(seal.seal({ n: 2 }))]
  for (const index of [2, 3, 4]) t.equal(seal.open(join(...one.with(index, other[index]!))), null, `part ${index}`)
  const shortIv = Buffer.alloc(8).toString('base64url')
  const shortTag = Buffer.from(one[4], 'base64url').subarray(0, 12).toString('base64url')
  for (const nothing of ['', '.', '....', '.....', join(...one, ''), join(...one, one[4]), join(one[0], 'AA', one[2], one[3], one[4]),
    join(one[0], '', shortIv, one[3], one[4]), join(one[0], '', '', one[3], one[4]), join(one[0], '', one[3], one[3], one[4]), join(one[0], '', one[2], one[3], shortTag), join(one[0], '', one[2], '', one[4]), '.'.repeat(16_384)]) {
    t.equal(seal.open(nothing), null, nothing.slice(0, 40))
  }
})

t.test('G5 refuses a key that was named in another way than ours', async t => {
  const seal = sealOf()
  const { kid } = JSON.parse(Buffer.from(protectedHeader(secrets[0], 'session', today()), 'base64url').toString())
  const [name, day] = kid.split('.')
  t.same(seal.open(sealUnder({ alg: 'dir', enc: 'A256GCM', kid })), {}, 'as we name it')
  const headers: unknown[] = [
    { alg: 'dir', enc: 'A256GCM', kid: `${name}.0${day}` },
    { alg: 'dir', enc: 'A256GCM', kid: `${name}.` },
    { alg: 'dir', enc: 'A256GCM', kid: name },
    { alg: 'dir', enc: 'A256GCM', kid: `${name}.1e9` },
    { alg: 'dir', enc: 'A256GCM', kid: `${name}.${'9'.repeat(400)}` },
    { alg: 'dir', enc: 'A256GCM', kid: `__proto__.${day}` },
    { alg: 'dir', enc: 'A128GCM', kid },
    { enc: 'A256GCM', alg: 'dir', kid },
    { alg: 'none', enc: 'A256GCM', kid },
    { alg: 'dir', enc: 'A256GCM', kid, zip: 'DEF' },
    { alg: 'dir', enc: 'A256GCM' },
    null, [], 'x'
  ]
  for (const header of headers) t.equal(seal.open(sealUnder(header)), null, JSON.stringify(header).slice(0, 80))
})

t.test('G12 opens nothing that was sealed for another purpose, instance or secret (RFC 8725 §3.12)', async t => {
  const sealed = sealOf().seal({})
  t.same(sealOf().open(sealed), {}, 'another process')
  t.equal(sealOf(secrets[0], 'login').open(sealed), null, 'another purpose')
  t.equal(sealOf(secrets[0], 'session\0').open(sealed), null, 'a purpose that begins so')
  t.equal(sealOf(secrets[1]).open(sealed), null, 'another secret')
  const renamed = join(protectedHeader(secrets[0], 'login', today()), ...parts(sealed).slice(1))
  t.equal(sealOf(secrets[0], 'login').open(renamed), null, 'another purpose, by the name of its key')
  const redated = join(protectedHeader(secrets[0], 'session', today() - 1), ...parts(sealed).slice(1))
  t.equal(sealOf().open(redated), null, 'another day')
})

t.test('G11 opens with every secret and seals with the first; a removed one opens no more', async t => {
  const old = sealOf(secrets[0]).seal({ from: 'old' })
  const both = sealOf([secrets[1], secrets[0]])
  t.same(both.open(old), { from: 'old' })
  const fresh = both.seal({ from: 'new' })
  t.same(sealOf(secrets[1]).open(fresh), { from: 'new' })
  t.equal(sealOf(secrets[0]).open(fresh), null)
  t.equal(sealOf(secrets[1]).open(old), null)
})

t.test('G13 seals with another key each day, and never twice with one IV (NIST SP 800-38D §8.3)', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const seal = sealOf()
  const ivs = new Set(Array.from({ length: 10_000 }, () => parts(seal.seal({}))[2]))
  t.equal(ivs.size, 10_000)
  const [header] = parts(seal.seal({}))
  clock.advance(DAY)
  t.not(parts(seal.seal({}))[0], header)
  const key = deriveKey(secrets[0], 'session', today())
  const others = [deriveKey(secrets[0], 'session', today() - 1), deriveKey(secrets[0], 'login', today()), deriveKey(secrets[1], 'session', today())]
  t.same(others.map(other => other.equals(key)), [false, false, false])
})

t.test('opens over midnight, for the whole lifetime, and no later than the day after', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  clock.advance(DAY - clock.now() % DAY - 1) // a second before midnight
  const [writer, reader] = [sealOf(), sealOf()]
  const sealed = writer.seal({})
  t.same(reader.open(sealed), {})
  clock.advance(2)
  t.same(reader.open(sealed), {}, 'after midnight')
  t.not(parts(writer.seal({}))[0], parts(sealed)[0], 'with a key of the new day')
  clock.advance(LIFETIME - 3)
  t.same(reader.open(sealed), {}, 'in the last second of its life')
  t.same(sealOf().open(sealed), {}, 'there for a process that starts now')
  clock.advance(DAY)
  t.equal(reader.open(sealed), null, 'though its key is still in memory')
  t.equal(sealOf().open(sealed), null)
})

t.test('opens what a host sealed whose clock is a day ahead or behind', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  const seal = sealOf()
  clock.advance(DAY)
  const ahead = sealOf().seal({ from: 'tomorrow' })
  clock.advance(-2 * DAY)
  const behind = sealOf().seal({ from: 'yesterday' })
  clock.advance(DAY)
  t.same(seal.open(ahead), { from: 'tomorrow' })
  t.same(seal.open(behind), { from: 'yesterday' })
  clock.advance(-DAY)
  t.equal(seal.open(ahead), null, 'two days ahead is no clock')
})

t.test('costs nothing at boot for a lifetime without end', async t => {
  const seal = sealOf(secrets[0], 'session', Number.MAX_SAFE_INTEGER)
  t.same(seal.open(seal.seal({})), {})
})

/** A seal that is right but for the header that it was made under. */
function sealUnder (header: unknown): string {
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  const iv = Buffer.alloc(12)
  const cipher = createCipheriv('aes-256-gcm', deriveKey(secrets[0], 'session', today()), iv).setAAD(Buffer.from(encoded))
  const text = Buffer.concat([cipher.update('{}'), cipher.final()])
  return join(encoded, '', ...[iv, text, cipher.getAuthTag()].map(bytes => bytes.toString('base64url')))
}
