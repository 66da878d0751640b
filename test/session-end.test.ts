import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { Auth0Options, SessionOptions } from '../lib/index.ts'
import { buildApp, type BuildOptions } from './helpers/app.ts'
import { travelInTime } from './helpers/clock.ts'
import { BrowserCookies } from './helpers/cookie-jar.ts'
import { Gate, type Held } from './helpers/gates.ts'

const NAME = '__Host-auth0'
const IDLE = 1000
const origin = new URL('https://app.example.com')
/** Requests that take long: they ask who is calling before they wait, after it, or write something. */
const slowPages = ['/slow', '/slow-to-ask', '/slow-update', '/slow-chunks'] as const

t.test('promise 1, H1: no request in flight brings back a session that was logged out, however they interleave and answers arrive (property) (ASVS 5.0 7.4.1)', async t => {
  const { app, browser, clock, gate, me } = await logIn(t)
  const scenario = fc.record({
    pages: fc.array(fc.constantFrom(...slowPages), { minLength: 1, maxLength: 3 }),
    order: fc.infiniteStream(fc.nat()),
    arrival: fc.infiniteStream(fc.nat())
  })
  await fc.assert(fc.asyncProperty(scenario, async ({ pages, order, arrival }) => {
    await browser.login('/login?returnTo=/me')
    clock.advance(IDLE / 5) // extending is due
    const cookie = `${NAME}=${browser.cookie(NAME)}`
    const answers: string[][] = []
    const sent: string[] = [cookie]
    const record = ({ headers }: { headers: { 'set-cookie'?: string | string[] | undefined } }) => {
      answers.push([headers['set-cookie'] ?? []].flat())
      const values = answers.at(-1)!.filter(header => !header.includes('=;')).map(header => header.split(';', 1)[0]!)
      if (values.length > 0) sent.push(values.join('; '))
    }
    // Each actor has its steps in order; the actors' steps mix at will.
    const logout = [async () => record(await app.inject({ method: 'POST', url: '/logout', headers: { cookie, 'sec-fetch-site': 'same-origin' } }))]
    const actors = [logout, ...pages.map(url => {
      let held: Held<Awaited<ReturnType<typeof app.inject>>>
      return [
        async () => { held = await gate.hold(headers => app.inject({ url, headers: { ...headers, cookie } })) },
        async () => record(await held.release())
      ]
    })]
    while (actors.some(steps => steps.length > 0)) {
      const ready = actors.filter(steps => steps.length > 0)
      await ready[order.next().value! % ready.length]!.shift()!()
    }
    // Whatever the browser is left with, and every cookie that it had or was sent meanwhile.
    const cookies = new BrowserCookies()
    cookies.keep(`${cookie}; Path=/; Secure; HttpOnly`, origin, 'strict')
    while (answers.length > 0) {
      const [answer = []] = answers.splice(arrival.next().value! % answers.length, 1)
      for (const header of answer) cookies.keep(header, origin, 'strict')
    }
    for (const copy of [cookies.header(origin), ...sent]) t.notOk(await me(copy), copy)
    browser.cookies.clear()
  }), { numRuns: 40 })
})

t.test('promise 1: a copy of a cookie is anonymous after logout, for as long as it could have lived', async t => {
  const { app, browser, clock, me } = await logIn(t, { idleTimeout: 5000, absoluteTimeout: 5000 })
  const copy = `${NAME}=${browser.cookie(NAME)}`
  await browser.submit('/logout')
  for (const later of [0, 2500, 2499]) {
    clock.advance(later)
    t.notOk(await me(copy))
    t.equal((await app.inject({ url: '/profile', headers: { cookie: copy } })).statusCode, 401)
    t.equal((await app.inject({ url: '/profile', headers: { cookie: copy, 'sec-fetch-mode': 'navigate' } })).statusCode, 302)
    const update = await app.inject({ url: '/update', headers: { cookie: copy } })
    t.same([update.statusCode, update.json().code], [401, 'FST_AUTH0_LOGIN_REQUIRED'])
  }
})

for (const page of slowPages.filter(page => page !== '/slow-to-ask')) {
  t.test(`promise 1: a slow request whose session ended answers as it began, and nothing of it is kept: ${page}`, async t => {
    const { browser, gate, app, cookie } = await logIn(t)
    const slow = await gate.hold(headers => app.inject({ url: page, headers: { ...headers, cookie } }))
    await browser.submit('/logout')
    const response = await slow.release()
    t.equal(response.statusCode, 200)
    t.equal(response.json().sub, 'auth0|ada')
    t.equal(response.headers['set-cookie'], undefined)
    t.equal(response.headers['cache-control'], 'private, no-store')
  })
}

type Person = Awaited<ReturnType<typeof logIn>>

/** How a session is over, or as good as, before the person logs in again. */
const pasts: Record<string, (person: Person) => Promise<void> | void> = {
  'still there, when somebody steps up': () => {},
  'logged out': async ({ browser }) => { await browser.submit('/logout') },
  'too old': async ({ clock, browser }) => {
    clock.advance(IDLE / 2)
    const extended = (await browser.get('/me')).setCookies[0]!.split(';', 1)[0] // not what slow requests sent
    clock.advance(IDLE)
    browser.setCookie(`${extended}; Path=/; Secure; HttpOnly`) // by a browser that ignores Max-Age
  },
  unreadable: ({ browser, forge }) => {
    forge(`${NAME}=garbage`)
    browser.setCookie(`${NAME}=garbage; Path=/; Secure; HttpOnly`)
  }
}

for (const [past, happen] of Object.entries(pasts)) {
  for (const page of slowPages) {
    t.test(`a slow request of an old session leaves the cookie of a newer login alone: ${page}, ${past}`, async t => {
      const person = await logIn(t)
      const { app, browser, gate, me } = person
      const send = () => gate.hold(headers => app.inject({ url: page, headers: { ...headers, cookie: person.cookie } }))
      const slow = past === 'unreadable' ? [] : [await send()]
      await happen(person)
      slow.push(await send())
      await browser.login('/login?returnTo=/me')
      const newer = browser.cookie(NAME)
      slow.push(await send()) // before the answer to the login, with the newer cookie, arrived at the browser
      for (const request of slow) t.equal((await request.release()).headers['set-cookie'], undefined)
      t.equal(browser.cookie(NAME), newer)
      t.ok(await me(`${NAME}=${newer}`))
    })
  }
}

for (const [name, options] of Object.entries({
  form_post: { authorizationParams: { response_mode: 'form_post' } },
  'strict cookies': { session: { cookie: { sameSite: 'strict' } } }
} satisfies Record<string, Auth0Options>)) {
  t.test(`promise 5, B12: a login ends the session that it began with, though the callback comes without its cookie: ${name}`, async t => {
    const { app, browser, gate, cookie, me } = await logIn(t, undefined, { auth0: options, provider: { issuer: 'https://tenant.eu.auth0.com/' } })
    const slow = await gate.hold(headers => app.inject({ url: '/slow-update', headers: { ...headers, cookie } }))
    await browser.login('/login?returnTo=/me', { authorize: { user: { sub: 'auth0|grace', name: 'Grace' } } })
    t.equal((await slow.release()).headers['set-cookie'], undefined)
    t.notOk(await me(cookie))
    t.equal((await browser.get('/me')).json().user.name, 'Grace')
  })
}

t.test('a slow request with cookies that another answer cleared does not clear those of a login since', async t => {
  const { app, browser, gate } = await logIn(t)
  browser.setCookie(`${NAME}=garbage; Path=/; Secure; HttpOnly`)
  const slow = await gate.hold(headers => app.inject({ url: '/slow', headers: { ...headers, cookie: `${NAME}=garbage` } }))
  t.equal((await browser.get('/me')).setCookies.length, 1, 'cleared')
  await browser.login('/login?returnTo=/me')
  t.equal((await slow.release()).headers['set-cookie'], undefined)
  const again = await app.inject({ url: '/me', headers: { cookie: `${NAME}=garbage` } })
  t.ok(again.headers['set-cookie'], 'who sends them again later gets them cleared again')
})

t.test('two tabs: logging out in one ends the other, whatever the other was about to write', async t => {
  const { browser } = await logIn(t)
  await browser.get('/update')
  await browser.submit('/logout')
  t.equal((await browser.fetch('/profile')).statusCode, 401)
  t.equal((await browser.get('/profile')).statusCode, 302)
  t.same(browser.cookieNames(), [])
})

t.test('promise 5, two tabs: the second login ends the session of the first, and both tabs are on the newer', async t => {
  const { browser, me } = await logIn(t)
  const [one, other] = [await browser.leave('/login?returnTo=/one'), await browser.leave('/login?returnTo=/other')]
  const cookies: string[] = [`${NAME}=${browser.cookie(NAME)}`]
  for (const callback of [one, other]) {
    t.equal((await browser.comeBack(callback)).statusCode, 303)
    cookies.push(`${NAME}=${browser.cookie(NAME)}`)
  }
  t.same(await Promise.all(cookies.map(me)), [false, false, true])
})

t.test('a logout clears also what cannot be read, and what is over, once more too', async t => {
  const { app, cookie, clock } = await logIn(t)
  const logout = async (cookie: string) => (await app.inject({ method: 'POST', url: '/logout', headers: { cookie, 'sec-fetch-site': 'same-origin' } }))
  clock.advance(IDLE)
  for (const sent of [cookie, cookie, `${NAME}=garbage`, `${NAME}.0=x; ${NAME}.7=y`]) {
    const response = await logout(sent)
    t.equal(response.statusCode, 303)
    t.equal([response.headers['set-cookie']].flat().length, sent.split(';').length)
    t.match(String(response.headers['set-cookie']), '=; Max-Age=0')
  }
  t.equal((await logout('theme=dark')).headers['set-cookie'], undefined)
})

/** A person logged in, on an application with slow pages. */
async function logIn (t: Test, session: SessionOptions = { idleTimeout: IDLE, absoluteTimeout: 10 * IDLE }, options: BuildOptions = {}) {
  const clock = travelInTime(t, { isFrozen: true })
  const gate = new Gate()
  let cookie = ''
  const { app, browser } = await buildApp(t, {
    ...options,
    auth0: { ...options.auth0, session: { ...session, ...options.auth0?.session } },
    routes: app => {
      app.get('/slow', async request => { const { user } = request.auth0; await gate.pass(request); return user })
      app.get('/slow-to-ask', async request => { await gate.pass(request); return request.auth0.user })
      app.get('/update', async request => request.auth0.updateSession({ n: 1 }))
      for (const [url, size] of [['/slow-update', 1], ['/slow-chunks', 5000]] as const) {
        app.get(url, async request => {
          const { user } = request.auth0
          await gate.pass(request)
          if (user !== null) await request.auth0.updateSession({ n: 'x'.repeat(size) })
          return user
        })
      }
    }
  })
  await browser.login('/login?returnTo=/me')
  cookie = `${NAME}=${browser.cookie(NAME)}`
  return {
    app,
    browser,
    clock,
    gate,
    /** What slow requests send. */
    get cookie () { return cookie },
    forge: (sent: string) => { cookie = sent },
    /** Whether these cookies are somebody's. */
    me: async (sent: string): Promise<boolean> => (await app.inject({ url: '/me', headers: { cookie: sent } })).json().isAuthenticated
  }
}
