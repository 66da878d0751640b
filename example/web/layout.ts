import type { FastifyRequest } from 'fastify'
import { html } from 'ghtml'

const LINKS = [['/', 'Home'], ['/profile', 'Profile'], ['/admin', 'Admin'], ['/vault', 'Vault'], ['/session', 'Session']] as const

/** Puts the house round a page: its head, the way to the other pages, and who is logged in. */
export function layout (request: FastifyRequest, title: string, main: string): string {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${title} · Lantern</title>
  <link rel="icon" href="/icon.svg">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <a class="skip" href="#main">Skip to the page</a>
  <header>
    <a class="brand" href="/"><img src="/icon.svg" alt="" width="32" height="32"> Lantern</a>
    <nav aria-label="Pages">
      !${LINKS.map(([path, name]) => html`<a href="${path}"!${path === request.url ? ' aria-current="page"' : ''}>${name}</a>`)}
    </nav>
    !${isKnown(request) ? whoIsHere(request) : ''}
  </header>
  <main id="main">
    !${main}
  </main>
  <footer>An example for <b>fastify-auth0</b>. Its pages are in <code>example/web</code>.</footer>
</body>
</html>
`
}

/** Whether it can be told who is calling. Not while the store of the sessions gives no answer, which is to be said on a page, too. */
export function isKnown ({ auth0 }: FastifyRequest): boolean {
  try {
    return auth0.user !== undefined
  } catch {
    return false
  }
}

/** Logging out is a form, so that no link from another site can do it. */
function whoIsHere ({ auth0 }: FastifyRequest): string {
  if (auth0.user === null) {
    return html`<div class="who"><a class="button" href="/login">Log in</a></div>`
  }
  return html`
    <form class="who" method="post" action="/logout">
      !${picture(auth0.user, 32)} <span>${auth0.user.name}</span>
      <button>Log out</button>
    </form>`
}

/** Shows a person's picture, or nothing for those without. */
export function picture (user: { picture?: unknown }, size: number): string {
  if (typeof user.picture !== 'string') return ''
  return html`<img class="picture" src="${user.picture}" alt="" width="${size}" height="${size}" referrerpolicy="no-referrer">`
}
