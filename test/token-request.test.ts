import t from 'tap'
import { buildApp } from './helpers/app.ts'

t.test('D1 redeems the code with its verifier, the same redirect_uri, and one client authentication (RFC 6749 §4.1.3, RFC 9700 §2.1.1)', async t => {
  const { browser, provider } = await buildApp(t)
  const callback = await browser.leave()
  await browser.comeBack(callback)
  const [call] = provider.callsTo('token')
  t.strictSame(Object.fromEntries(call!.params), {
    grant_type: 'authorization_code',
    code: callback.parameters.get('code'),
    redirect_uri: callback.request.get('redirect_uri'),
    code_verifier: call!.params.get('code_verifier'),
    client_id: provider.clientId,
    client_secret: provider.clientSecret
  })
  t.notOk(call!.headers.has('authorization'))
})

for (const clientSecret of ['a:b%c d+e/ä€', 'plain-secret', '%3A:%25']) {
  t.test(`D2 encodes the secret ${clientSecret} for Basic (RFC 6749 §2.3.1)`, async t => {
    const { browser, provider } = await buildApp(t, { provider: { clientSecret, clientId: 'client:id ü' }, auth0: { clientAuthMethod: 'client_secret_basic' } })
    t.equal((await browser.comeBack(await browser.leave())).statusCode, 303)
    t.notOk(provider.callsTo('token')[0]!.params.has('client_secret'))
  })
}
