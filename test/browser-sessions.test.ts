import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { MemoryStore, type Auth0Options } from '../lib/index.ts'
import { launchChromium, skipWithoutChromium } from './helpers/chromium.ts'
import { startExample, startTwoExamples } from './helpers/example.ts'
import { skipWithoutRedis, startRedis } from './helpers/redis.ts'

/** How the application keeps its sessions. */
interface Kind {
  name: string
  skip: string | false
  options: (t: Test) => Promise<Auth0Options>
}

const inMemory: Kind = { name: 'in memory', skip: false, options: async () => ({ session: { store: new MemoryStore() } }) }
const inRedis: Kind = { name: 'in Redis', skip: skipWithoutRedis, options: async t => ({ session: { redis: (await startRedis(t)).url } }) }
const inCookies: Kind = { name: 'in encrypted cookies, with revocations', skip: false, options: async () => ({ revocations: {} }) }

t.setTimeout(300_000) // five stories, each in several browsers

const LOGIN_PAGE = /\/u\/login\//

t.test('in Chromium', { skip: skipWithoutChromium }, async t => {
  const chromium = await launchChromium()
  t.teardown(() => chromium.close())

  const looks: Array<[kind: Kind, browser: string, options: BrowserContextOptions]> = [
    [inMemory, 'without JavaScript', { javaScriptEnabled: false }],
    [inRedis, 'on a phone', { viewport: { width: 390, height: 844 }, isMobile: true }]
  ]
  for (const [{ name, skip, options }, browser, contextOptions] of looks) {
    t.test(`one person in two browsers sees both and ends the other, sessions ${name}, ${browser}`, { skip }, async t => {
      // As `npm start` has it: being logged in at the tenant does not log in here without a question.
      const auth0 = { ...await options(t), authorizationParams: { prompt: 'login' } }
      const { url } = await startExample(t, { auth0 })
      const one = await logIn(t, chromium, `${url}/session`, contextOptions)
      const other = await logIn(t, chromium, `${url}/session`, contextOptions)
      await endOthers(t, one, other)
      await endOne(t, url, one, other)
    })
  }

  for (const { name, skip, options } of [inMemory, inRedis, inCookies]) {
    t.test(`I9 logging out at the tenant, or of another application, logs out here, sessions ${name}`, { skip }, async t => {
      const { urls: [lantern, beacon], tenant } = await startTwoExamples(t, { auth0: await options(t) })
      const page = await logIn(t, chromium, `${lantern}/profile`)
      const elsewhere = await logIn(t, chromium, `${lantern}/profile`)
      await logOutOfAnother(t, page, `${beacon}/profile`)
      await elsewhere.reload()
      t.equal(await elsewhere.textContent('h1'), 'Amara Okoye', 'the same person in another browser stays')
      await logOutAtTenant(t, elsewhere, tenant.issuer)
    })
  }
})

/** What is ended in one browser is over in the other. */
async function endOthers (t: Test, one: Page, other: Page): Promise<void> {
  await one.reload()
  for (const page of [one, other]) {
    t.equal(await page.locator('.sessions li').count(), 2, 'both are listed')
    t.equal(await page.locator('.sessions li', { hasText: 'This browser' }).count(), 1, 'and one is this browser')
    t.match(await page.textContent('.sessions li'), /This browser[^]*In use now/, 'the first')
    t.match(await page.textContent('.sessions li >> nth=1'), /Chrome \d+ on (Linux|Android)[^]*Last used/)
    t.equal(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, 'and it fits the screen')
  }

  await follow(one, 'text=Log out the other')
  t.equal(await one.locator('.sessions li').count(), 1)
  t.equal(await one.locator('text=Log out the other').count(), 0, 'there is nothing more to end')

  await follow(other, 'nav >> text=Home')
  t.equal(await other.textContent('h1'), 'Hello, stranger.')
  await follow(other, 'nav >> text=Session')
  t.match(other.url(), LOGIN_PAGE, 'what is guarded leads to log in')
  await follow(one, 'nav >> text=Profile')
  t.equal(await one.textContent('h1'), 'Amara Okoye', 'who did that stays')
}

/** A button for each, and for one's own. */
async function endOne (t: Test, url: string, one: Page, other: Page): Promise<void> {
  await other.click('text=Amara')
  await other.waitForURL(`${url}/session`)
  await follow(one, 'nav >> text=Session')
  await follow(one, '.sessions li:not(:has-text("This browser")) button')
  t.equal(await one.locator('.sessions li').count(), 1)
  await follow(other, 'text=Keep')
  t.equal(await other.textContent('h1'), 'You are not logged in', 'a form of a session that is over does nothing')

  await follow(one, '.sessions button')
  t.equal(one.url(), `${url}/`)
  t.equal(await one.textContent('h1'), 'Hello, stranger.', 'ending the session of this browser leads home')
  await follow(one, 'nav >> text=Session')
  t.match(one.url(), LOGIN_PAGE)
}

/** Two applications in one browser: the tenant tells the one that somebody logged out of the other. */
async function logOutOfAnother (t: Test, page: Page, address: string): Promise<void> {
  const another = await page.context().newPage()
  await another.goto(address)
  t.equal(await another.textContent('h1'), 'Amara Okoye', 'known at the tenant, so without a question')
  await follow(another, 'text=Log out')
  t.equal(await another.textContent('h1'), 'Hello, stranger.')

  await follow(page, 'nav >> text=Home')
  t.equal(await page.textContent('h1'), 'Hello, stranger.')
  await follow(page, 'nav >> text=Profile')
  t.match(page.url(), LOGIN_PAGE)
}

async function logOutAtTenant (t: Test, page: Page, issuer: string): Promise<void> {
  const atTenant = await page.context().newPage()
  await atTenant.goto(issuer)
  t.match(await atTenant.textContent('.lead'), 'you are Amara Okoye, known to Lantern')
  await follow(atTenant, 'text=Log out everywhere')
  t.equal(await atTenant.textContent('h1'), 'You are logged out')

  await follow(page, 'nav >> text=Profile')
  t.match(page.url(), LOGIN_PAGE)
  await page.click('text=Amara')
  await page.waitForURL(/\/profile$/)
  t.equal(await page.textContent('h1'), 'Amara Okoye', 'who logs in again is logged in again')
}

/** In a browser of their own. */
async function logIn (t: Test, chromium: Browser, address: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await chromium.newContext(options)
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.on('console', message => t.notMatch(message.text(), 'Content Security Policy'))
  await page.goto(address)
  await page.click('text=Amara')
  await page.waitForURL(address)
  return page
}

/** Clicks, and waits for the page that comes of it. */
async function follow (page: Page, selector: string): Promise<void> {
  await Promise.all([page.waitForEvent('load'), page.click(selector)])
}
