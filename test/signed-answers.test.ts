import t, { type Test } from 'tap'
import { buildApp, type BuildOptions, type Built } from './helpers/app.ts'
import { forgeries, oddities, type Forge } from './helpers/id-token-forgeries.ts'
import { changeDraft, signDraft, type Draft, type Json } from './helpers/id-tokens.ts'
import { Provider, type AuthorizeOptions } from './helpers/provider.ts'

// JWT Secured Authorization Response Mode for OAuth 2.0 (JARM): the provider signs its answer, and nothing else is taken for one.

const LOGIN = '__Host-auth0.login.'
const modes = ['jwt', 'query.jwt', 'form_post.jwt'] as const

const build = (t: Test, mode: typeof modes[number] = 'jwt', { auth0, ...options }: BuildOptions = {}) =>
  buildApp(t, { ...options, auth0: { ...auth0, authorizationParams: { response_mode: mode, ...auth0?.authorizationParams } } })

for (const mode of modes) {
  t.test(`a login by ${mode}: one JWT comes back, and the code is in nobody's address (JARM §2.3)`, async t => {
    const { browser, provider } = await build(t, mode)
    const callback = await browser.leave('/login?returnTo=/me')
    t.equal(callback.method, mode === 'form_post.jwt' ? 'POST' : 'GET')
    t.same([...callback.parameters.keys()], ['response'])
    t.equal(provider.authorizations[0]!.get('response_mode'), mode)
    const { statusCode, location } = await browser.comeBack(callback)
    t.same([statusCode, location?.pathname], [303, '/me'])
    t.equal((await browser.fetch('/me')).json().isAuthenticated, true)
    t.equal((await browser.comeBack(callback)).location?.pathname, '/me', 'B4 a reload goes on, with no second login')
    t.equal(provider.callsTo('token').length, 1)
  })

  t.test(`B10 a plain answer to ${mode} is refused, as is one that is both: nobody can take the signature away`, async t => {
    const built = await build(t, mode)
    const callback = await built.browser.leave()
    const { state, code } = JSON.parse(Buffer.from(callback.parameters.get('response')!.split('.')[1]!, 'base64url').toString())
    for (const plain of [{ state, code }, { state, error: 'access_denied' }, { response: callback.parameters.get('response')!, state }, { response: callback.parameters.get('response')!, code }, { response: '' }]) {
      const parameters = new URLSearchParams(plain)
      const url = new URL(callback.url)
      if (callback.method === 'GET') url.search = parameters.toString()
      await isRefused(t, built, { ...callback, url, parameters })
    }
    t.equal((await built.browser.comeBack(callback)).statusCode, 303, 'and ends no login')
  })
}

t.test('B10 a JWT as answer where none was asked for is refused', async t => {
  const signed = await build(t)
  const { parameters } = await signed.browser.leave()
  const built = await buildApp(t)
  const callback = await built.browser.leave('/login')
  await isRefused(t, built, { ...callback, url: new URL(`?${parameters}`, callback.url), parameters })
})

const claims = (changes: Json): Forge => draft => signDraft(changeDraft(draft, { claims: changes }))
const header = (changes: Json): Forge => draft => signDraft(changeDraft(draft, { header: changes }))
const twice = (name: string): Forge => draft => signDraft({ ...draft, claims: { ...draft.claims, [name]: [draft.claims[name], 'other'] } })

// Those of ID tokens, as far as they are about what both have.
const { C1, C2, C3, C5, C6, C7, C8, C9, C10, C11, C18, C20 } = forgeries
const { 'kid unknown': _refused, ...strangeKids } = C10
const unbelieved: Record<string, Forge> = {
  ...C1,
  ...C2,
  ...C3,
  ...C5,
  ...C6,
  ...C7,
  ...C8,
  ...C9,
  ...strangeKids,
  ...C11,
  ...C18,
  ...C20,
  'nbf to come': draft => signDraft(changeDraft(draft, { claims: { nbf: Math.floor(Date.now() / 1000) + 600 } })),
  'an ID token\'s type': header({ typ: 'id_token+jwt' }),
  'an access token\'s type': header({ typ: 'at+jwt' }),
  'a logout token\'s type': header({ typ: 'logout+jwt' })
}
for (const [name, forge] of Object.entries(unbelieved)) {
  t.test(`B6 an answer is refused: ${name} (JARM §2.4)`, async t => {
    const built = await build(t)
    await isRefused(t, built, await built.browser.leave('/login', { authorize: { answer: forge } }))
    t.match(built.logs.lines.find(({ err }) => err)?.err?.code, 'FST_AUTH0_CALLBACK_INVALID')
  })
}

const malformed: Array<[name: string, authorize: AuthorizeOptions]> = [
  ['B3 no state', { callback: { state: undefined } }],
  ['B3 an empty state', { callback: { state: '' } }],
  ['B10 a code and an error', { callback: { code: 'c', error: 'access_denied' } }],
  ['B10 neither a code nor an error', { callback: { code: undefined } }],
  ['B10 two codes', { answer: twice('code') }],
  ['B10 two states', { answer: twice('state') }],
  ['B10 a code that is a number', { answer: claims({ code: 7 }) }],
  ['B10 an error that is an object', { answer: claims({ code: undefined, error: { toString: 'x' } }) }],
  ['B10 a code of 10 KB', { callback: { code: 'c'.repeat(10_000) } }],
  ['B10 a JWT of 20 KB', { answer: claims({ more: 'x'.repeat(15_000) }) }],
  ['C23 a state twice', { answer: draft => doubled(draft) }]
]
for (const [name, authorize] of malformed) {
  t.test(`${name}, in a JWT, is refused`, async t => {
    const built = await build(t, 'form_post.jwt')
    await isRefused(t, built, await built.browser.leave('/login', { authorize }))
    t.equal(built.browser.cookieNames(LOGIN).length, 1, 'and ends no login')
  })
}

for (const [name, forge] of Object.entries({ 'no kid': oddities['no kid'], 'no typ': oddities['no typ'], 'aud as an array': oddities['aud as an array'], 'exp past, within the tolerance': oddities['exp past, within the tolerance'], 'unknown claims': claims({ session_state: 'x', more: { a: 1 } }) })) {
  t.test(`an answer that is unusual but right is taken: ${name}`, async t => {
    const { browser } = await build(t)
    t.equal((await browser.comeBack(await browser.leave('/login', { authorize: { answer: forge } }))).statusCode, 303)
  })
}

t.test('B1 B2 B16 an answer of another browser, or of nobody\'s login, is a 400 before anything is asked of the provider', async t => {
  const built = await build(t)
  const { browser, provider, newBrowser } = built
  const stranger = newBrowser()
  const calls = provider.calls.length
  for (const callback of [await stranger.leave(), await browser.leave('/login', { authorize: { callback: { state: 'of-nobody' } } })]) {
    const response = await browser.comeBack(callback, { headers: { 'sec-fetch-mode': 'cors', accept: '*/*' } })
    t.match([response.statusCode, response.json().code], [400, 'FST_AUTH0_LOGIN_EXPIRED'])
  }
  t.equal(provider.callsTo('token').length, 0)
  t.same(provider.calls.slice(calls).filter(({ endpoint }) => endpoint === 'jwks'), [])
})

t.test('B5 two answers at once begin one session', async t => {
  const { browser, provider } = await build(t)
  const callback = await browser.leave()
  const answers = await Promise.all([browser.comeBack(callback), browser.comeBack(callback)])
  t.same(answers.map(({ statusCode }) => statusCode), [303, 303])
  t.equal(provider.callsTo('token').length, 1)
})

t.test('B8 the provider\'s "no" comes in a JWT, too, and is believed only if it is signed', async t => {
  const { browser } = await build(t)
  const denied = await browser.leave('/login', { authorize: { callback: { error: 'access_denied', error_description: '<script>' } } })
  const page = await browser.comeBack(denied)
  t.equal(page.statusCode, 403)
  t.match(page.body, 'FST_AUTH0_LOGIN_DENIED')
  t.notMatch(page.body, '<script>')

  const forged = await browser.leave('/login', { authorize: { callback: { error: 'access_denied' }, answer: 'a foreign key under our kid' } })
  t.equal((await browser.comeBack(forged)).statusCode, 400)
})

t.test('A7 prompt=none that finds nobody goes on, anonymous', async t => {
  const { browser } = await build(t)
  const callback = await browser.leave('/login?prompt=none&returnTo=/public', { authorize: { callback: { error: 'login_required' } } })
  t.match(await browser.comeBack(callback), { statusCode: 303, location: { pathname: '/public' } })
})

t.test('B7 iss in the JWT is enough where the provider promises it (RFC 9207 §2.4; JARM §2.1)', async t => {
  const { browser } = await build(t, 'jwt', { provider: { metadata: { authorization_response_iss_parameter_supported: true } } })
  t.equal((await browser.comeBack(await browser.leave())).statusCode, 303)
})

const advertised: Array<[algorithms: unknown, statusCode: number]> = [[undefined, 303], [['ES256', 'RS256'], 303], [['ES256'], 400], [['HS256'], 400], [[], 400], ['RS256', 303]]
for (const [algorithms, statusCode] of advertised) {
  t.test(`an answer is signed by what the metadata say, else by RS256: ${JSON.stringify(algorithms) ?? 'nothing'} (JARM §3, §4)`, async t => {
    const { browser } = await build(t, 'jwt', { provider: { metadata: { authorization_signing_alg_values_supported: algorithms } } })
    t.equal((await browser.comeBack(await browser.leave())).statusCode, statusCode)
  })
}

t.test('an HMAC by the client\'s secret is none, also where the metadata list it: the code would be as good as its secret', async t => {
  const { browser } = await build(t, 'jwt', { provider: { metadata: { authorization_signing_alg_values_supported: ['HS256', 'RS256'] } } })
  t.equal((await browser.comeBack(await browser.leave('/login', { authorize: { answer: 'HS256 with the client secret' } }))).statusCode, 400)
})

t.test('F7 an answer that is signed with a new key is taken, and while the keys are down the login waits', async t => {
  const provider = new Provider()
  const { browser } = await build(t, 'jwt', { provider })
  provider.fail('jwks', '500')
  const callback = await browser.leave()
  t.equal((await browser.comeBack(callback)).statusCode, 503)
  provider.heal()
  t.equal((await browser.comeBack(callback)).statusCode, 303)

  provider.rotateKeys({ keepOld: false })
  t.equal((await browser.comeBack(await browser.leave())).statusCode, 303)
})

function doubled ({ key, header, claims }: Draft): string {
  const json = JSON.stringify(claims)
  return signDraft({ key, header, clientSecret: '', claims: `{"state":"x",${json.slice(1)}` as never })
}

/** 400 for a browser and for a script, no token request, no session. */
async function isRefused (t: Test, { browser, provider }: Built, callback: Parameters<Built['browser']['comeBack']>[0]): Promise<void> {
  const page = await browser.comeBack(callback)
  t.equal(page.statusCode, 400)
  t.match(page.body, 'FST_AUTH0_CALLBACK_INVALID')
  t.match(page.body, /href="\/(login)?"/, 'with a way on')
  t.equal(provider.callsTo('token').length, 0)
  t.equal((await browser.get('/')).body, 'Hello stranger')
}
