import t from 'tap'
import { LruMap } from 'toad-cache'
import { createIntrospectedTokens } from '../lib/api/introspected-tokens.ts'
import { travelInTime } from './helpers/clock.ts'
import type { Json } from './helpers/id-tokens.ts'

const ISSUER = 'https://tenant.example.com/'
const AUDIENCE = 'https://api.example.com'
const INVALID = { code: 'FST_AUTH0_ACCESS_TOKEN_INVALID', statusCode: 401 }

t.test('times to the second: a token is good until its end, and from its beginning', async t => {
  const { now } = travelInTime(t, { isFrozen: true })
  for (const [claims, isGood] of [
    [{ exp: now() + 1 }, true], [{ exp: now() }, false], [{ exp: `${now() + 60}` }, false], [{ exp: null }, false], [{ nbf: now() }, true], [{ nbf: now() + 1 }, false], [{ nbf: `${now() - 60}` }, false], [{ nbf: null }, false]
  ] as const) {
    const { introspect } = build(claims)
    if (isGood) t.match(await introspect('token'), { sub: 'ada' })
    else await t.rejects(introspect('token'), INVALID, JSON.stringify(claims))
  }
})

t.test('an answer without an end counts for half a minute', async t => {
  const clock = travelInTime(t, { isFrozen: true })
  for (const claims of [{}, { exp: clock.now() + 3600 }, { aud: 'urn:other' }, { exp: clock.now() + 20 }]) {
    const { introspect, calls } = build(claims)
    const ask = async () => { await introspect('token').catch(() => {}) }
    const lifetime = claims.exp === clock.now() + 20 ? 20 : 30
    await ask()
    clock.advance(lifetime - 1)
    await ask()
    t.equal(calls.length, 1)
    clock.advance(1)
    await ask()
    t.equal(calls.length, 2)
    clock.advance(-lifetime)
  }
})

t.test('five thousand answers are remembered, good or bad: those that were used last', async t => {
  for (const claims of [{}, { aud: 'urn:other' }]) {
    const { introspect, calls } = build(claims)
    const ask = async (token: string) => { await introspect(token).catch(() => {}) }
    for (let count = 0; count < 5000; count++) await ask(`token ${count}`)
    await ask('token 0')
    t.equal(calls.length, 5000)
    await ask('one more')
    await ask('token 0')
    t.equal(calls.length, 5001)
    await ask('token 1')
    t.equal(calls.length, 5002, 'the one that nobody used for longest was forgotten')
  }
})

t.test('a token is remembered by its hash: a dump of the memory shall not hold them all', async t => {
  const names: unknown[] = []
  const { set } = LruMap.prototype
  LruMap.prototype.set = function (name, value) {
    names.push(name)
    return set.call(this, name, value)
  }
  t.teardown(() => { LruMap.prototype.set = set })
  await build({}).introspect('a token of some length')
  t.equal(names.length, 1)
  t.match(names[0], /^[\w+/]{43}=$/)
})

t.test('a question that failed is asked again', async t => {
  const failure = new Error('away')
  let isAway = true
  const introspect = createIntrospectedTokens({ audiences: [AUDIENCE], isCached: true, clockTolerance: 0 }, {
    introspect: async () => {
      if (isAway) throw failure
      return { issuer: ISSUER, claims: { aud: AUDIENCE, sub: 'ada' } }
    }
  })
  await t.rejects(introspect('token'), failure)
  isAway = false
  const claims = await introspect('token')
  t.same(claims, { iss: ISSUER, aud: AUDIENCE, sub: 'ada' }, 'with its issuer')
  t.ok(Object.isFrozen(claims))
})

/** A provider that says the same of every token. */
function build (changes: Json) {
  const calls: string[] = []
  const introspect = createIntrospectedTokens({ audiences: [AUDIENCE], isCached: true, clockTolerance: 0 }, {
    introspect: async token => {
      calls.push(token)
      return { issuer: ISSUER, claims: { aud: AUDIENCE, sub: 'ada', ...changes } }
    }
  })
  return { introspect, calls }
}
