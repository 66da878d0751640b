import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import getPort from 'get-port'
import t, { type Test } from 'tap'
import { Browser, type BrowserResponse } from './helpers/browser.ts'
import { runExample, startExample } from './helpers/example.ts'

// The journey over real sockets: the example's application and its tenant, which is oidc-provider.

async function open (t: Test, options?: Parameters<typeof startExample>[1]) {
  const { url, tenant } = await startExample(t, options)
  return { url, tenant, browser: new Browser({ baseUrl: url }) }
}

/** Opens a page, is sent to the tenant, and chooses somebody there; nobody: cancels. */
async function logIn (browser: Browser, person: string | null, address: string | URL = '/profile'): Promise<BrowserResponse> {
  const page = await browser.navigate(address)
  if (!isLoginPage(page)) throw new Error(`no login page, but ${page.statusCode} at ${page.url.href}`)
  return browser.submit(page.url, person === null ? {} : { person })
}

const isLoginPage = ({ statusCode, url }: BrowserResponse) => statusCode === 200 && url.pathname.startsWith('/u/login/')
const heading = ({ body }: BrowserResponse) => /<h1>(.*?)<\/h1>/.exec(body)?.[1]

t.test('sends a stranger to log in, and back to the page that was asked for', async t => {
  const { browser, url } = await open(t)
  t.equal(heading(await browser.get('/')), 'Hello, stranger.')

  const profile = await logIn(browser, 'amara', '/profile?tab=claims')
  t.equal(profile.url.href, `${url}/profile?tab=claims`)
  t.equal(heading(profile), 'Amara Okoye')
  for (const claim of ['auth0|amara', 'amara@example.com', '/people/amara.svg', 'https://example.com/roles']) t.match(profile.body, claim)

  t.equal(heading(await browser.get('/')), 'Hello, Amara.')
  t.equal(heading(await browser.get('/profile')), 'Amara Okoye', 'and a reload stays')
})

t.test('lets in who has the role, and shows a page to who lacks it', async t => {
  const { browser } = await open(t)
  const refused = await logIn(browser, 'ben', '/admin')
  t.equal(refused.statusCode, 403)
  t.equal(heading(refused), 'This door is not for you')
  t.match(refused.body, 'Ben Lindqvist')

  const admitted = await logIn(browser, 'amara', '/login?prompt=login&returnTo=/admin')
  t.equal(admitted.statusCode, 200)
  t.match(admitted.url.pathname, '/admin')
})

t.test('one person after another in one browser: nothing is left of the first', async t => {
  const { browser } = await open(t)
  await logIn(browser, 'amara')
  await browser.submit('/session', { note: 'of Amara' })
  t.match((await browser.get('/session')).body, 'of Amara')
  await logIn(browser, 'ben', '/login?prompt=login')
  const session = await browser.get('/session')
  t.match(session.body, 'Ben Lindqvist')
  t.notMatch(session.body, 'Amara')
})

t.test('asks a person to log in again when their login is too old, and only then', async t => {
  const { browser } = await open(t, {
    auth0: { clockTolerance: 0 },
    routes: app => app.get('/fresh', { preHandler: app.requireAuth({ maxAge: 1 }) }, async ({ auth0 }) => ({ authTime: auth0.claims?.auth_time }))
  })
  await logIn(browser, 'amara')
  await sleep(2100)

  const again = await browser.navigate('/fresh')
  t.ok(isLoginPage(again))
  t.equal(heading(again), 'Is it still you?')
  t.match(again.body, /value="amara" autofocus/)
  const fresh = await browser.submit(again.url, { person: 'amara' })
  t.equal(fresh.url.pathname, '/fresh')
  t.ok(Math.abs(fresh.json().authTime - Date.now() / 1000) < 2)

  t.equal(heading(await browser.navigate('/vault')), 'The vault is open', 'which asks for 60 seconds')
})

t.test('keeps 6 KB of claims in a session, writes to it, and clears all of its cookies', async t => {
  const { browser } = await open(t)
  const profile = await logIn(browser, 'carla')
  t.match(profile.body, 'project-95')
  const ofSession = () => browser.cookieNames('auth0').filter(name => !name.startsWith('auth0.login.'))
  t.ok(ofSession().length > 1, 'in several cookies')

  await browser.submit('/session', { note: 'Buy <b>oil</b>' })
  t.match((await browser.get('/session')).body, 'Buy &#60;b&#62;oil&#60;/b&#62;')
  t.equal(heading(await browser.submit('/logout')), 'Hello, stranger.')
  t.same(ofSession(), [])
})

t.test('shows a page with a way on to who cancels', async t => {
  const { browser } = await open(t)
  const cancelled = await logIn(browser, null)
  t.equal(cancelled.statusCode, 403)
  t.match(cancelled.body, 'href="/login')
  t.equal(heading(await browser.get('/')), 'Hello, stranger.')
  t.equal(heading(await logIn(browser, 'ben')), 'Ben Lindqvist', 'and they can change their mind')
})

t.test('logs out here and at the tenant, and comes back', async t => {
  const { browser, url, tenant } = await open(t)
  await logIn(browser, 'amara')
  const home = await browser.submit('/logout')
  t.equal(home.url.href, `${url}/`)
  t.ok(home.history.some(({ href }) => href.startsWith(`${tenant.issuer}v2/logout`)))
  t.equal(heading(home), 'Hello, stranger.')
  t.ok(isLoginPage(await browser.navigate('/profile')), 'the tenant asks again who it is')
})

t.test('logs in at the tenant without a question while its own session lives', async t => {
  const { browser } = await open(t)
  await logIn(browser, 'amara')
  for (const name of browser.cookieNames('auth0')) browser.setCookie(`${name}=; Path=/; Max-Age=0`)
  t.equal(heading(await browser.navigate('/profile')), 'Amara Okoye')
})

t.test('takes the answer of a login by form_post', async t => {
  const { browser } = await open(t, { auth0: { authorizationParams: { response_mode: 'form_post' } } })
  const form = await logIn(browser, 'amara')
  const [, action] = /<form method="post" action="(.*?)"/.exec(form.body) ?? []
  const fields = [...form.body.matchAll(/name="(.*?)" value="(.*?)"/g)].map(([, name, value]) => [name, value] as [string, string])
  t.equal(heading(await browser.submit(action!, Object.fromEntries(fields), { site: 'same-site' })), 'Amara Okoye')
})

t.test('pushes the authorization request, and authenticates by basic (RFC 9126 §2.1, RFC 6749 §2.3.1)', async t => {
  const { browser } = await open(t, {
    auth0: { pushedAuthorizationRequests: true, clientAuthMethod: 'client_secret_basic' },
    tenant: { clientAuthMethod: 'client_secret_basic' }
  })
  const page = await browser.navigate('/profile')
  t.match(page.history.find(({ pathname }) => pathname === '/authorize')?.search, /^\?(client_id|request_uri)=[^&]*&(client_id|request_uri)=[^&]*$/)
  t.equal(heading(await browser.submit(page.url, { person: 'amara' })), 'Amara Okoye')
})

t.test('the tenant behaves as Auth0 does', async t => {
  const { tenant, url, browser } = await open(t)
  const metadata = (await browser.get(`${tenant.issuer}.well-known/openid-configuration`)).json()
  t.match(metadata, {
    issuer: tenant.issuer,
    authorization_endpoint: `${tenant.issuer}authorize`,
    token_endpoint: `${tenant.issuer}oauth/token`,
    userinfo_endpoint: `${tenant.issuer}userinfo`,
    jwks_uri: `${tenant.issuer}.well-known/jwks.json`
  })
  t.notHas(metadata, { end_session_endpoint: String })

  const logout = (returnTo: string) => browser.get(`${tenant.issuer}v2/logout?client_id=lantern&returnTo=${encodeURIComponent(returnTo)}`)
  t.equal((await logout(`${url}/?a=b`)).location?.href, `${url}/?a=b`)
  t.equal((await logout('https://elsewhere.example/')).statusCode, 400)
  t.equal((await browser.get(`${tenant.issuer}v2/logout?client_id=other`)).statusCode, 400)
  t.equal((await browser.get(`${tenant.issuer}v2/logout?client_id=lantern`)).location?.href, `${url}/`, 'without returnTo: the first that is allowed')
  t.equal(heading(await browser.get(`${tenant.issuer}v2/logout`)), 'You are logged out', 'without an application: nowhere to go')
  t.equal((await browser.get(`${tenant.issuer}v2/logout?returnTo=${encodeURIComponent(url)}`)).statusCode, 400)
  t.equal((await browser.get(`${tenant.issuer}u/login/unknown`)).statusCode, 400)
  t.equal(heading(await browser.get(tenant.issuer)), 'The local tenant')
})

t.test('npm start runs the application and a tenant on free ports, and ends when asked to', async t => {
  const port = await getPort({ port: 3000 })
  const { url, output, child } = await runExample(t)
  t.match(output, /Tenant\s+http:\/\/localhost:\d+ /)
  if (port === 3000) t.equal(url, 'http://localhost:3000')

  const browser = new Browser({ baseUrl: url })
  t.equal(heading(await logIn(browser, 'amara')), 'Amara Okoye')
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null])
})
