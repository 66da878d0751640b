import { createHash } from 'node:crypto'
import { escapeUTF8 } from 'entities/escape'
import type { AnyReply } from './fastify.ts'

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2333; --soft: #5b6477; --paper: #f4f5f8; --card: #fff; --line: #dfe3ea; --accent: #3347c4; --on-accent: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #eceef4; --soft: #a5adbf; --paper: #14171f; --card: #1d212c; --line: #323847; --accent: #9aa8ff; --on-accent: #14171f } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif }
main { width: 100%; max-width: 30rem; padding: 2.5rem 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow-wrap: anywhere }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25 }
p { margin: 0 }
.ways { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.75rem 0 0 }
.way { display: inline-block; padding: .55rem 1.1rem; border: 1px solid var(--accent); border-radius: .5rem; background: none; color: var(--accent); font: inherit; text-decoration: none; cursor: pointer }
.ways > .way:first-child, form .way { background: var(--accent); color: var(--on-accent) }
.way:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px }
.note { margin: 1.75rem 0 0; color: var(--soft); font-size: .85rem }
`
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')

/** Somewhere to go on to. */
export interface Way {
  label: string
  href: string
}

/** A small page of ours. All of it is text and gets escaped. */
export interface Page {
  title: string
  text: string
  ways: Way[]
  /** A button that posts to an address. */
  button?: { label: string, action: string, fields: Record<string, string> }
  /** Goes on by itself. */
  goesOnTo?: string
  /** In small print: what to tell somebody who helps. */
  note?: string
}

/**
 * Answers with a page that loads nothing, runs nothing, is not framed and not stored.
 *
 * @see ASVS 5.0 §3.4.3 to §3.4.8; RFC 9700 §4.16
 */
export function sendPage (reply: AnyReply, statusCode: number, page: Page): AnyReply {
  return reply.code(statusCode).headers({
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    // No form-action for a page with a form: Chromium applies it to the redirect to the provider that follows.
    'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'${page.button === undefined ? "; form-action 'none'" : ''}`,
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    // `same-origin` for a form: with `no-referrer`, browsers would post `Origin: null`.
    'referrer-policy': page.button === undefined ? 'no-referrer' : 'same-origin',
    'cross-origin-opener-policy': 'same-origin'
  }).send(render(page))
}

function render ({ title, text, ways, button, goesOnTo, note }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${goesOnTo === undefined ? '' : `<meta http-equiv="refresh" content="0;url=${escapeUTF8(goesOnTo)}">\n`}<title>${escapeUTF8(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeUTF8(title)}</h1>
<p>${escapeUTF8(text)}</p>
<div class="ways">
${button === undefined ? '' : renderButton(button)}${ways.map(renderWay).join('')}</div>
${note === undefined ? '' : `<p class="note">${escapeUTF8(note)}</p>\n`}</main>
</body>
</html>
`
}

function renderWay ({ label, href }: Way): string {
  return `<a class="way" href="${escapeUTF8(href)}">${escapeUTF8(label)}</a>\n`
}

function renderButton ({ label, action, fields }: NonNullable<Page['button']>): string {
  const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${escapeUTF8(name)}" value="${escapeUTF8(value)}">\n`)
  return `<form method="post" action="${escapeUTF8(action)}">\n${inputs.join('')}<button class="way">${escapeUTF8(label)}</button>\n</form>\n`
}
