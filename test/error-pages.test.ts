import { createHash } from 'node:crypto'
import { decodeHTML } from 'entities'
import t, { type Test } from 'tap'
import * as exported from '../lib/index.ts'
import { appBaseUrl, buildApp, type BuildOptions } from './helpers/app.ts'
import type { BrowserResponse, RequestOptions } from './helpers/browser.ts'

type ErrorClass = new (...texts: string[]) => Error & { code: string, statusCode: number }
const errors = Object.entries(exported).filter(([name]) => name.startsWith('FST_AUTH0_')) as unknown as Array<[string, ErrorClass]>

const script: RequestOptions = { headers: { 'sec-fetch-mode': 'cors', accept: '*/*' } }

for (const [code, ErrorClass] of errors) {
  t.test(`${code} is a page with a way on for a browser, and JSON for all others`, async t => {
    const error = new ErrorClass('Text of the application', 'x', 'y')
    const { page, json } = await failedLogin(t, () => { throw error })
    const { statusCode } = error
    const message = statusCode === 500 ? 'Something went wrong' : error.message

    t.equal(page.statusCode, statusCode)
    verifyPage(t, page)
    t.match(textOf(page.body), `${message}.`)
    t.match(textOf(page.body), `${statusCode} · ${code} · request req-`)
    t.ok(linksOf(page).some(href => href === '/'), 'home')

    t.same(json.json(), { statusCode, code, error: json.json().error, message })
    t.match(json.headers, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
    for (const { headers } of [page, json]) t.equal(headers['retry-after'], statusCode === 503 ? code === 'FST_AUTH0_PROVIDER_UNAVAILABLE' ? '10' : '1' : undefined)
  })
}

const remedies: Array<[remedy: string, codes: string[]]> = [
  ['/login?returnTo=%2Fme', [
    'LOGIN_REQUIRED', 'STEP_UP_REQUIRED', 'STEP_UP_FAILED', 'LOGIN_DENIED', 'ORGANIZATION_MISMATCH', 'LOGIN_EXPIRED', 'CALLBACK_INVALID',
    'PROVIDER_UNAVAILABLE', 'PROVIDER_FAILED', 'TOO_MANY_SESSIONS', 'ID_TOKEN_INVALID'
  ]],
  ['/logout', ['FORBIDDEN', 'SCOPE_MISSING', 'LOGIN_REFUSED', 'LOGOUT_INCOMPLETE']]
]
for (const [remedy, codes] of remedies) {
  t.test(`what may help stands on the page: ${remedy}`, async t => {
    for (const [code, ErrorClass] of errors) {
      const { page } = await failedLogin(t, () => { throw new ErrorClass('text') })
      t.equal(linksOf(page).includes(remedy), codes.includes(code.replace('FST_AUTH0_', '')), code)
    }
  })
}

t.test('a way on leads nowhere that is left out, and below the path of appBaseUrl', async t => {
  const { app } = await buildApp(t, { auth0: { appBaseUrl: `${appBaseUrl}/base`, routes: { login: false, logout: false } } })
  app.post('/guarded', { onRequest: app.requireAuth }, async () => 'secret')
  const { body } = await app.inject({ method: 'POST', url: '/guarded', headers: { accept: 'text/html' } })
  t.same([...body.matchAll(/href="([^"]*)"/g)].map(([, href]) => href), ['/base/'])
})

const pages: Array<[name: string, options: BuildOptions, open: (built: Awaited<ReturnType<typeof buildApp>>) => Promise<BrowserResponse>]> = [
  ['a refused guard', { routes: app => app.post('/guarded', { onRequest: app.requireAuth }, async () => 'secret') }, ({ browser }) => browser.post('/guarded')],
  ['a callback that fails', {}, ({ browser }) => browser.get('/callback')],
  ['a login that cannot begin', {}, ({ browser, provider }) => { provider.failAll('503'); return browser.get('/login') }],
  ['a logout from another site', {}, ({ browser }) => browser.get('/logout', { site: 'cross-site' })],
  ['a form that is too large', {}, ({ browser }) => browser.post('/logout', { a: 'x'.repeat(70_000) })],
  ['a login with strict cookies', { auth0: { session: { cookie: { sameSite: 'strict' } } } }, async ({ browser }) => browser.comeBack(await browser.leave())]
]
for (const [name, options, open] of pages) {
  t.test(`N10 the page of ${name} loads, runs, frames and stores nothing (ASVS 3.4.3 to 3.4.8, RFC 9700 §4.16)`, async t => {
    verifyPage(t, await open(await buildApp(t, options)))
  })
}

t.test('an address on a page is read as it was meant', async t => {
  const { browser } = await buildApp(t, { auth0: { session: { cookie: { sameSite: 'strict' } } } })
  const address = "/me?a=1&lt=2&copy=3;'&amp;"
  const page = await browser.comeBack(await browser.leave(`/login?returnTo=${encodeURIComponent(address)}`))
  const expected = address.replace("'", '%27')
  t.same(linksOf(page), [expected])
  t.equal(decodeHTML(/http-equiv="refresh" content="0;url=([^"]*)"/.exec(page.body)?.[1] ?? ''), expected)
})

t.test('B9 a title or a text is read well, whoever wrote it', async t => {
  for (const [message, text] of [['Your account is closed', 'Your account is closed.'], ['Why?', 'Why?'], ['No. Go away!', 'No. Go away!']]) {
    const { page } = await failedLogin(t, () => { throw new exported.FST_AUTH0_LOGIN_REFUSED(message!) })
    t.match(page.body, `<p>${text}</p>`)
  }
})

t.test('every text can be read, by day and by night (WCAG 2.2 §1.4.3)', async t => {
  const { browser } = await buildApp(t)
  const [, light, dark] = /:root \{(.*?)\}.*?@media \(prefers-color-scheme: dark\) \{ :root \{(.*?)\}/s.exec((await browser.get('/callback')).body) ?? []
  for (const [scheme, rules = ''] of Object.entries({ light, dark })) {
    const color = (name: string) => new RegExp(`--${name}: (#\\w+)`).exec(rules)?.[1] ?? ''
    for (const [ink, paper] of [['ink', 'card'], ['soft', 'card'], ['accent', 'card'], ['on-accent', 'accent']]) {
      t.ok(contrast(color(ink!), color(paper!)) >= 4.5, `${ink} on ${paper}, ${scheme}`)
    }
  }
})

/** What every page of ours is held to. */
function verifyPage (t: Test, { headers, body }: BrowserResponse): void {
  const [, style = ''] = /<style>(.*)<\/style>/s.exec(body) ?? []
  const hash = createHash('sha256').update(style).digest('base64')
  const isForm = body.includes('<form')
  t.match(headers, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': isForm ? 'same-origin' : 'no-referrer'
  })
  t.equal(headers['content-security-policy'], `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; frame-ancestors 'none'${isForm ? '' : "; form-action 'none'"}`)
  t.match(body, /^<!doctype html>\n<html lang="en">/)
  t.equal(body.match(/<h1>/g)?.length, 1)
  t.match(body, /<title>[^<]+<\/title>/)
  t.match(body, '<meta name="viewport" content="width=device-width, initial-scale=1">')
  t.notMatch(body, /<(script|img|link|iframe|object)|\sstyle=|\son\w+=/i)
  t.ok(linksOf({ body }).length > 0, 'a way on')
}

/** How a login ends whose `onLogin` is this: as a page, and as JSON. */
async function failedLogin (t: Test, onLogin: () => never) {
  const { browser } = await buildApp(t, { auth0: { onLogin } })
  const page = await browser.comeBack(await browser.leave('/login?returnTo=/me'))
  return { page, json: await browser.comeBack(await browser.leave('/login?returnTo=/me'), script) }
}

function linksOf ({ body }: { body: string }): string[] {
  return [...body.matchAll(/<a class="way" href="([^"]*)"/g)].map(([, href = '']) => decodeHTML(href))
}

function textOf (body: string): string {
  return decodeHTML(body.replaceAll(/<style>.*<\/style>|<[^>]*>/gs, ''))
}

function contrast (a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((one, other) => one - other)
  return (light + 0.05) / (dark + 0.05)
}

/** Relative luminance of `#rrggbb` or `#rgb`. */
function luminance (color: string): number {
  const digits = color.length === 4 ? color.replaceAll(/\w/g, '$&$&') : color
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map(at => parseInt(digits.slice(at, at + 2), 16) / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
