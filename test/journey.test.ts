import t from 'tap'
import { buildApp } from './helpers/app.ts'

// The story of one login, over a provider in memory. Every part of it has a test file of its own.

t.test('a person logs in, stays logged in, and logs out', async t => {
  const { browser, provider } = await buildApp(t)

  t.equal((await browser.get('/')).body, 'Hello stranger')

  const guarded = await browser.get('/profile?tab=2')
  t.equal(guarded.statusCode, 302, 'a guarded page sends them to log in')
  t.equal(guarded.location?.pathname, '/login')

  const login = await browser.get(guarded.location!)
  t.equal(login.location?.origin, 'https://tenant.example.com', 'which is done at the provider')
  t.equal(browser.cookieNames('__Host-auth0.login.').length, 1, 'and remembered here in a sealed cookie')

  const callback = provider.authorize(login.location!)
  t.match(callback.url.href, /^https:\/\/app\.example\.com\/callback\?state=.+&code=.+/, 'the provider sends them back with a code')

  const comeBack = await browser.comeBack(callback)
  t.equal(comeBack.statusCode, 303)
  t.equal(comeBack.location?.href, 'https://app.example.com/profile?tab=2', 'to where they wanted to go')
  t.same(browser.cookieNames(), ['__Host-auth0'], 'with a session and nothing else')

  t.match((await browser.get(comeBack.location!)).json(), { sub: 'auth0|ada', name: 'Ada Lovelace' })
  t.equal((await browser.get('/')).body, 'Hello Ada Lovelace', 'and they stay logged in')
  t.equal((await browser.fetch('/notes', { method: 'POST', json: {} })).statusCode, 200, 'also to write something')

  const logout = await browser.submit('/logout')
  t.equal(provider.logouts.length, 1, 'they log out at the provider too')
  t.equal(logout.url.href, 'https://app.example.com/', 'and are back home')
  t.equal(logout.body, 'Hello stranger')
  t.same(browser.cookieNames(), [])
})

t.test('a person changes their mind at the provider, and then logs in after all', async t => {
  const { browser } = await buildApp(t)
  const cancelled = await browser.navigate('/profile', { authorize: { callback: { error: 'access_denied' } } })
  t.equal(cancelled.statusCode, 403)
  t.match(cancelled.body, 'You are not logged in')

  const [, wayOn] = /href="(\/login[^"]*)"/.exec(cancelled.body)!
  t.match((await browser.login(wayOn)).json(), { name: 'Ada Lovelace' })
})

t.test('two people use the application at once, and neither sees the other', async t => {
  const { browser, newBrowser } = await buildApp(t)
  const other = newBrowser()
  await Promise.all([browser.login(), other.login('/profile', { authorize: { user: { sub: 'auth0|grace', name: 'Grace Hopper' } } })])
  t.equal((await browser.get('/')).body, 'Hello Ada Lovelace')
  t.equal((await other.get('/')).body, 'Hello Grace Hopper')
})
