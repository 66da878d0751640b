import t from 'tap'
import { READ_LOG } from '../example/api.ts'
import { Browser } from './helpers/browser.ts'
import { startExample } from './helpers/example.ts'

const AUDIENCE = 'https://lantern.example/log'

t.test('the page of the API shows the lines that call it, and they work', async t => {
  const { url } = await startExample(t, {
    auth0: { authorizationParams: { audience: AUDIENCE, scope: `openid profile ${READ_LOG}` }, api: { audience: AUDIENCE } },
    tenant: { api: { audience: AUDIENCE, scope: READ_LOG, lifetime: 30 } },
    hasApi: true
  })
  const browser = new Browser({ baseUrl: url })
  const { body } = await browser.submit((await browser.navigate('/api')).url, { person: 'amara' })
  const [, address = '', token = ''] = /curl -i (\S+) -H &#39;Authorization: Bearer (\S+)&#39;/.exec(body) ?? []
  t.equal(address, `${url}/api/lamps`)
  const ask = async (address: string, headers: Record<string, string>) => {
    const response = await fetch(address, { headers })
    return { status: response.status, challenge: response.headers.get('www-authenticate'), body: await response.json() }
  }
  t.match(await ask(address, { authorization: `Bearer ${token}` }), { status: 200, body: [{ name: 'north' }, {}] })
  t.match(await ask(address, {}), { status: 401, challenge: /^Bearer /, body: { code: 'FST_AUTH0_ACCESS_TOKEN_REQUIRED' } })
  t.match(await ask(`${url}/api/me`, { authorization: `Bearer ${token}` }), { body: { sub: 'auth0|amara', via: 'bearer' } })
  t.match((await browser.get('/api/me')).json(), { sub: 'auth0|amara', via: 'session' })
})
