import t from 'tap'
import { hasTokenInForm, readCredentials, schemeOf, timesOf } from '../lib/api/credentials.ts'
import type { AnyRequest } from '../lib/fastify.ts'

const INVALID = { code: 'FST_AUTH0_CREDENTIALS_INVALID', statusCode: 400 }
const TOKEN = 'aZ09_.~+/-=='

t.test('how a request brings a token, or tries to (RFC 6750 §2.1; RFC 9449 §7.1; RFC 9110 §11.4)', async t => {
  for (const [authorization, scheme, token] of [
    [`Bearer ${TOKEN}`, 'Bearer', TOKEN],
    [`bearer   ${TOKEN}`, 'Bearer', TOKEN],
    [`DPoP ${TOKEN}`, 'DPoP', TOKEN],
    [`dPOP ${TOKEN}`, 'DPoP', TOKEN],
    ['Bearer', 'Bearer', null],
    ['Bearer ', 'Bearer', null],
    ['Bearer\ta', 'Bearer', null],
    ['Bearer a ', 'Bearer', null],
    ['Bearer a b', 'Bearer', null],
    ['Bearer a,b', 'Bearer', null],
    ['Bearer a=b', 'Bearer', null],
    ['Bearer =', 'Bearer', null],
    ['Bearer "a"', 'Bearer', null],
    ['Bearer ä', 'Bearer', null]
  ] as const) {
    const request = requestWith({ headers: { authorization } })
    t.equal(schemeOf(request), scheme, authorization)
    if (token === null) t.throws(() => readCredentials(request), INVALID, authorization)
    else t.same(readCredentials(request), { scheme, token })
  }
  for (const authorization of [undefined, '', 'Basic YTpi', 'Bearers a', 'Bearer-X a', ' Bearer a', 'x Bearer a', 'DPoPx a']) {
    t.equal(schemeOf(requestWith({ headers: { authorization } })), null, `${authorization}`)
  }
})

t.test('two tokens at once are refused (RFC 6750 §2)', async t => {
  const headers = { authorization: `Bearer ${TOKEN}` }
  t.throws(() => readCredentials(requestWith({ headers, rawHeaders: ['Authorization', 'Bearer a', 'authorization', 'Bearer b'] })), INVALID)
  t.throws(() => readCredentials(requestWith({ headers, query: { access_token: '' } })), INVALID)
  for (const query of [undefined, null, 'access_token', {}, { accessToken: 'a' }]) t.match(readCredentials(requestWith({ headers, query })), { token: TOKEN })
  t.match(readCredentials(requestWith({ headers, rawHeaders: ['Authorization', 'a', 'X-Y', 'authorization'] })), { token: TOKEN }, 'a value that is the name of a header')
})

t.test('how often a header is there, in any case', async t => {
  const request = requestWith({ rawHeaders: ['DPoP', 'dpop', 'dpop', 'b', 'X', 'dpop'] })
  t.same([timesOf(request, 'dpop'), timesOf(request, 'x'), timesOf(request, 'y')], [2, 1, 0])
})

t.test('a token in a form (RFC 6750 §2.2)', async t => {
  const type = 'application/x-www-form-urlencoded'
  for (const contentType of [type, `${type}; charset=utf-8`, type.toUpperCase()]) t.ok(hasTokenInForm(requestWith({ headers: { 'content-type': contentType }, body: { access_token: '' } })))
  for (const body of [undefined, null, 'access_token', {}, { token: 'a' }]) t.notOk(hasTokenInForm(requestWith({ headers: { 'content-type': type }, body })))
  for (const contentType of [undefined, '', 'application/json', 'multipart/form-data', `x ${type}`]) t.notOk(hasTokenInForm(requestWith({ headers: { 'content-type': contentType }, body: { access_token: 'a' } })))
})

function requestWith ({ headers = {}, rawHeaders = [], query = {}, body }: { headers?: object, rawHeaders?: string[], query?: unknown, body?: unknown }): AnyRequest {
  return { headers, query, body, raw: { rawHeaders } } as unknown as AnyRequest
}
