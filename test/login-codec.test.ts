import fc from 'fast-check'
import t from 'tap'
import { loginCodec } from '../lib/session/login-codec.ts'
import type { Login } from '../lib/session/sessions.ts'

const login = (idToken: string | null, refreshToken: string | null, access: string[]) => ({
  id: 'id', user: { name: 'Zoë \u0000' }, idToken, tokens: { refreshToken, refreshes: 0, access: access.map((token, at) => ({ token, audience: String(at) })) }, data: {}
}) as unknown as Login

t.test('gives back what it was given, whatever tokens look like (property)', async t => {
  const segment = fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes).toString('base64url'))
  const token = fc.oneof(fc.array(segment, { minLength: 1, maxLength: 5 }).map(parts => parts.join('.')), fc.string({ unit: 'binary' }), fc.base64String())
  fc.assert(fc.property(fc.option(token), fc.option(token), fc.array(token, { maxLength: 4 }), (idToken, refreshToken, access) => {
    const value = login(idToken, refreshToken, access)
    t.same(loginCodec.decode(loginCodec.encode(value)), value)
  }), { numRuns: 300 })
})

t.test('takes of a token three bytes for four characters, and no text of it', async t => {
  const token = Buffer.alloc(300, 1).toString('base64url')
  const [without, one] = [login(null, null, []), login(`${token}.${token}`, null, [])].map(value => loginCodec.encode(value))
  t.ok(one!.length - without!.length < 620)
  t.notOk(one!.includes('AQEBAQEB'))
})

t.test('tokens that are no base64url are kept as they are', async t => {
  for (const token of ['opaque~token', 'AB', 'A', 'a+b/', 'a==', 'a..b', '.', '']) {
    t.same((loginCodec.decode(loginCodec.encode(login(token, token, [token]))) as Login).idToken, token)
  }
})
