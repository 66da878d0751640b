import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createSessionIdSigner } from '../lib/session/session-id-signer.ts'
import { secret } from './helpers/app.ts'

const older = '0b1e6a52c4d94f7f8e23a6d05b917c38f4e2d1a09c8b7a65'
const realm = ['auth0', 'https://tenant.example.com/', 'client-id']
const refused = { valid: false, renew: false, value: null }
const newId = () => randomBytes(24).toString('base64url')

t.test('a signed id verifies, however often', async t => {
  const signer = createSessionIdSigner([secret], realm)
  for (const id of [newId(), newId(), 'with.dots.in.it', '']) {
    const signed = signer.sign(id)
    for (let time = 0; time < 3; time++) {
      t.same(signer.unsign(signed), { valid: true, renew: false, value: id })
      t.equal(signer.sign(id), signed)
    }
  }
})

t.test('the cookie needs no encoding', async t => {
  const signer = createSessionIdSigner([secret], realm)
  for (let time = 0; time < 100; time++) t.match(signer.sign(newId()), /^[\w-]{32}\.[\w-]{43}$/)
})

t.test('it verifies what another process signed', async t => {
  const id = newId()
  t.same(createSessionIdSigner([secret], realm).unsign(createSessionIdSigner([secret], realm).sign(id)), { valid: true, renew: false, value: id })
})

t.test('O5 refuses', async t => {
  const signer = createSessionIdSigner([secret, older], realm)
  const id = newId()
  const signed = signer.sign(id)
  const signature = signed.slice(id.length + 1)
  const refusals: Record<string, string> = {
    'another id with this signature': `${newId()}.${signature}`,
    'an id without a signature': id,
    'an empty signature': `${id}.`,
    'a signature without an id': `.${signature}`,
    'a signature that is cut short': signed.slice(0, -1),
    'one that is longer': `${signed}A`,
    'one character that differs': id + '.' + (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1),
    'characters beyond ASCII': `${id}.${'ä'.repeat(43)}`,
    'the signature of another realm': createSessionIdSigner([secret], ['other', ...realm.slice(1)]).sign(id),
    'the signature with another secret': createSessionIdSigner(['e1c4a7b2d9f04863a5c1e7d2b8f90364c7a1d5e2f8b30946'], realm).sign(id),
    nothing: ''
  }
  for (const [name, forged] of Object.entries(refusals)) {
    t.same(signer.unsign(forged), refused, name)
    t.ok(signer.unsign(signed).valid)
    t.same(signer.unsign(forged), refused, `${name}, also when the right one was here before`)
  }
})

t.test('an older secret verifies, and the first one signs', async t => {
  const signer = createSessionIdSigner([secret, older], realm)
  const id = newId()
  const signedBefore = createSessionIdSigner([older], realm).sign(id)
  const signed = createSessionIdSigner([secret], realm).sign(id)
  for (let time = 0; time < 2; time++) {
    t.same(signer.unsign(signedBefore), { valid: true, renew: true, value: id })
    t.equal(signer.sign(id), signed)
    t.same(signer.unsign(signed), { valid: true, renew: false, value: id })
  }
})

t.test('what it remembers is bounded, and never what was refused', async t => {
  const signer = createSessionIdSigner([secret], realm)
  const ids = Array.from({ length: 12_000 }, newId)
  const signed = ids.map(id => signer.sign(id))
  for (const one of signed) if (!signer.unsign(one).valid) t.fail('a good one')
  for (const [at, id] of ids.entries()) if (signer.unsign(`${id}.${'A'.repeat(43)}`).valid) t.fail(`a bad one, ${at}`)
  t.ok(signed.every(one => signer.unsign(one).valid))
})
