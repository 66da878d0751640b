import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { Auth0Options } from '../lib/index.ts'
import { launchChromium, skipWithoutChromium } from './helpers/chromium.ts'
import { startExample } from './helpers/example.ts'

t.test('in Chromium', { skip: skipWithoutChromium }, async t => {
  const chromium = await launchChromium()
  t.teardown(() => chromium.close())

  t.test('a person logs in, reloads and logs out', t => journey(t, chromium, {}))

  t.test('the same without JavaScript', t => journey(t, chromium, { javaScriptEnabled: false }))

  t.test('the provider may send people back by form_post, from another port and to http', async t => {
    const { page, url } = await openPage(t, chromium, {}, { authorizationParams: { response_mode: 'form_post' } })
    await logIn(page, `${url}/profile`, 'Amara')
    t.equal(await page.textContent('h1'), 'Amara Okoye')
  })

  t.test('6 KB of claims fit into cookies that the browser keeps', async t => {
    const { page, url } = await openPage(t, chromium)
    await logIn(page, `${url}/profile`, 'Carla')
    await page.reload()
    t.equal(await page.textContent('h1'), 'Carla Montoya')
  })

  t.test('a prefetch logs nobody in and nobody out', async t => {
    const { page, url } = await openPage(t, chromium)
    await logIn(page, `${url}/profile`, 'Amara')
    const cookies = await page.context().cookies()
    await page.goto(`${url}/plain`)
    t.equal(await prefetch(page, '/login?returnTo=/admin'), 403)
    t.equal(await prefetch(page, '/logout'), 403)
    t.same(await page.context().cookies(), cookies)
    await page.goto(`${url}/profile`)
    t.equal(await page.textContent('h1'), 'Amara Okoye')
  })

  t.test('a link on another site ends no session, but shows a button that does', async t => {
    const { page, url } = await openPage(t, chromium)
    await logIn(page, `${url}/profile`, 'Amara')
    await page.goto(`${url.replace('localhost', '127.0.0.1')}/plain`) // another site, as browsers see it
    await page.setContent(`<a href="${url}/logout">free kittens</a>`)
    await page.click('a')
    await page.waitForURL(`${url}/logout`)
    t.match(await page.textContent('h1'), 'Log out?')

    await page.goto(`${url}/profile`)
    t.equal(await page.textContent('h1'), 'Amara Okoye')
    await page.goBack()
    await page.click('button')
    await page.waitForURL(`${url}/`)
    t.equal(await page.textContent('h1'), 'Hello, stranger.')
  })
})

/** What must work for everybody. */
async function journey (t: Test, chromium: Browser, options: BrowserContextOptions): Promise<void> {
  const { page, url } = await openPage(t, chromium, options)
  await logIn(page, `${url}/profile`, 'Amara')
  t.equal(page.url(), `${url}/profile`)
  t.equal(await page.textContent('h1'), 'Amara Okoye')

  await page.reload()
  t.equal(await page.textContent('h1'), 'Amara Okoye')

  await page.goto(`${url}/session`)
  await page.fill('input[name=note]', 'Buy oil')
  await page.click('text=Keep')
  t.equal(await page.inputValue('input[name=note]'), 'Buy oil')

  await page.click('text=Log out')
  await page.waitForURL(`${url}/`)
  t.equal(await page.textContent('h1'), 'Hello, stranger.')
  const response = await page.goto(`${url}/profile`)
  t.match(new URL(response!.url()).pathname, /^\/u\/login\//, 'nobody is logged in, here or at the tenant')
}

async function openPage (t: Test, chromium: Browser, options: BrowserContextOptions = {}, auth0: Auth0Options = {}): Promise<{ page: Page, url: string }> {
  const { url } = await startExample(t, {
    auth0,
    routes: app => app.get('/plain', async (_request, reply) => reply.type('text/html').send('<!doctype html><title>plain</title>')) // without a policy on what it may load
  })
  const context = await chromium.newContext(options)
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.on('console', message => t.notMatch(message.text(), 'Content Security Policy'))
  return { page, url }
}

async function logIn (page: Page, address: string, person: string): Promise<void> {
  await page.goto(address)
  await page.click(`text=${person}`)
  await page.waitForURL(address)
}

/** Has the browser fetch an address that the person might want later, and says how that was answered. */
async function prefetch (page: Page, address: string): Promise<number> {
  const answered = page.waitForResponse(response => response.url().endsWith(address))
  await page.evaluate(`document.head.insertAdjacentHTML('beforeend', '<link rel="prefetch" href="${address}">')`)
  return (await answered).status()
}
