import { once } from 'node:events'
import t, { type Test } from 'tap'
import { deviceOf } from '../example/web/user-agent.ts'
import { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { Browser, type BrowserResponse } from './helpers/browser.ts'
import { runExample, startExample } from './helpers/example.ts'
import { skipWithoutRedis, startRedis, until } from './helpers/redis.ts'

// The example's page on which people see where they are logged in, over real sockets.

const heading = ({ body }: BrowserResponse) => /<h1>(.*?)<\/h1>/.exec(body)?.[1]
/** A form on another site, whose request a browser would send with the cookie. */
const fromElsewhere = { headers: { 'sec-fetch-site': 'same-site', origin: 'http://elsewhere.localhost' } }
const idsOn = ({ body }: BrowserResponse) => [...body.matchAll(/name="id" value="(.*?)"/g)].map(([, id]) => id as string)

async function start (t: Test, auth0: Auth0Options = { session: { store: new MemoryStore() } }) {
  const { url } = await startExample(t, { auth0 })
  return { url, open: (person: string) => logIn(new Browser({ baseUrl: url }), person) }
}

async function logIn (browser: Browser, person: string): Promise<Browser> {
  await browser.submit((await browser.navigate('/session')).url, { person })
  return browser
}

t.test('a person ends sessions of their own only', async t => {
  const { open } = await start(t)
  const [amara, ben] = [await open('amara'), await open('ben')]
  const [ofBen = ''] = idsOn(await ben.get('/session'))
  t.notOk(idsOn(await amara.get('/session')).includes(ofBen))

  for (const id of [ofBen, 'x', '']) {
    const refused = await amara.submit('/session/end', { id })
    t.equal(refused.statusCode, 404, id)
    t.match(refused.body, 'You have no such session')
  }
  t.equal((await amara.submit('/session/end', {})).statusCode, 400)
  t.equal((await amara.submit('/session/end', { id: idsOn(await amara.get('/session'))[0]! }, fromElsewhere)).statusCode, 403)
  t.equal((await amara.submit('/session/end-others', {}, fromElsewhere)).statusCode, 403)
  await amara.submit('/session/end-others')

  t.same(idsOn(await ben.get('/session')), [ofBen], 'Ben is still there')
  t.equal(idsOn(await amara.get('/session')).length, 1, 'and so is Amara')
})

t.test('nobody who is not logged in ends anything', async t => {
  const { url, open } = await start(t)
  const amara = await open('amara')
  const [id = ''] = idsOn(await amara.get('/session'))
  const stranger = new Browser({ baseUrl: url })
  t.equal((await stranger.submit('/session/end', { id })).statusCode, 401)
  t.equal((await stranger.submit('/session/end-others')).statusCode, 401)
  t.equal((await amara.get('/session')).statusCode, 200)
})

t.test('the session of this very browser ends with its cookie', async t => {
  const { open, url } = await start(t)
  const amara = await open('amara')
  const home = await amara.submit('/session/end', { id: idsOn(await amara.get('/session'))[0]! })
  t.equal(home.url.href, `${url}/`)
  t.equal(heading(home), 'Hello, stranger.')
  t.same(amara.cookieNames('auth0').filter(name => !name.startsWith('auth0.login.')), [])
})

t.test('sessions in cookies are not listed', async t => {
  const { open } = await start(t, {})
  const page = await (await open('amara')).get('/session')
  t.match(page.body, 'encrypted cookie')
  t.notMatch(page.body, 'Where you are logged in')
})

t.test('H6 while Redis is away a page says so, and everything works once it is back', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t, { isPersistent: true })
  const { open, url } = await start(t, { session: { redis: redis.url } })
  const amara = await open('amara')
  await redis.kill()
  for (const [address, status, title] of [['/session', 503, 'Not right now'], ['/', 503, 'Not right now'], ['/no-such-page', 404, 'Nobody lives here']] as const) {
    const page = await amara.get(address)
    t.equal(page.statusCode, status, address)
    t.equal(heading(page), title)
    t.equal(page.headers['retry-after'], status === 503 ? '1' : undefined)
    t.match(page.body, `href="${address}">Try again`)
    t.notMatch(page.body, 'Log in')
  }
  t.equal(heading(await new Browser({ baseUrl: url }).get('/')), 'Hello, stranger.', 'strangers notice nothing')

  await redis.restart()
  await until('Redis is in use again', async () => (await amara.get('/session')).statusCode === 200)
  t.equal(heading(await amara.get('/')), 'Hello, Amara.')
})

t.test('npm start keeps its sessions where REDIS_URL says', { skip: skipWithoutRedis }, async t => {
  const redis = await startRedis(t)
  const { url, output, child } = await runExample(t, { REDIS_URL: redis.url })
  t.match(output, /Sessions\s+in Redis/)
  const amara = await logIn(new Browser({ baseUrl: url }), 'amara')
  const page = await amara.get('/session')
  t.match(page.body, 'It lives in Redis')
  t.equal(idsOn(page).length, 1)
  t.ok(Number(await redis.command('DBSIZE')) > 0)
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null])
})

const DESKTOP = 'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0'
const devices: Array<[name: string, kind: string, userAgent: string | null]> = [
  ['Chrome 140 on Windows', 'computer', `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${DESKTOP} Safari/537.36`],
  ['Edge 140 on Windows', 'computer', `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${DESKTOP} Safari/537.36 Edg/140.0.0.0`],
  ['Opera 124 on macOS', 'computer', `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${DESKTOP} Safari/537.36 OPR/124.0.0.0`],
  ['Chrome 140 on ChromeOS', 'computer', `Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${DESKTOP} Safari/537.36`],
  ['Safari 18 on macOS', 'computer', 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15'],
  ['Safari 18 on iPhone', 'handheld', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1'],
  ['Chrome 140 on iPhone', 'handheld', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.7339.39 Mobile/15E148 Safari/604.1'],
  ['Firefox 143 on iPad', 'handheld', 'Mozilla/5.0 (iPad; CPU OS 15_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/143.0 Mobile/15E148 Safari/605.1.15'],
  ['Samsung Internet 28 on Android', 'handheld', 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36'],
  ['Firefox 143 on Linux', 'computer', 'Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0'],
  ['curl', 'unknown', 'curl/8.14.1'],
  ['Unknown browser', 'unknown', 'Mozilla/5.0 (compatible)'],
  ['Unknown browser', 'unknown', '<script>alert(1)</script>'],
  ['Unknown browser', 'unknown', null]
]
t.test('names browsers as people know them', async t => {
  for (const [name, kind, userAgent] of devices) t.same(deviceOf(userAgent), { name, kind }, String(userAgent))
})
