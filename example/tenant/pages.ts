import { html } from 'ghtml'
import { people, type Person } from './people.ts'

/** What the login page says, besides the people. */
interface Login {
  /** Who asks. */
  application: string
  /** Who is logged in already, or who the application said it would be. */
  suggested: Person | null
  /** Somebody is logged in, and the application wants to be sure. */
  again: boolean
}

/** The page on which to choose somebody: one form, whose buttons are the people. */
export function loginPage ({ application, suggested, again }: Login): string {
  const choices = suggested === null ? people : [suggested, ...people.filter(person => person !== suggested)]
  return document('Log in', html`
    <h1>${again ? 'Is it still you?' : 'Who would you like to be?'}</h1>
    <p class="lead">${again ? 'Choose once more' : 'Choose'} to continue to <strong>${application}</strong></p>
    <form method="post">
      <ul class="people">
        !${choices.map(person => html`<li>!${choice(person, person === suggested)}</li>`)}
      </ul>
      <button class="cancel">Cancel</button>
    </form>`)
}

function choice (person: Person, suggested: boolean): string {
  return html`
    <button class="person" name="person" value="${person.id}"!${suggested ? ' autofocus' : ''}>
      <img src="/people/${person.id}.svg" alt="" width="52" height="52">
      <span class="who"><b>${person.name}</b><span>${person.email}</span></span>
      <span class="about">${person.about}</span>
    </button>`
}

/** Somebody who is logged in at the tenant, and the names of the applications that they opened since. */
interface Visit {
  person: Person
  applications: string[]
}

/** What one finds when one opens the tenant itself: who one is here, and the way out. */
export function frontPage (issuer: string, visit: Visit | null): string {
  return document('Local tenant', html`
    <h1>The local tenant</h1>
    !${visit === null
      ? html`<p class="lead">It stands in for Auth0, so there is little to see here: applications send people to log in.</p>`
      : wayOut(visit)}
    <dl>
      <dt>Issuer</dt><dd>${issuer}</dd>
      <dt>Discovery</dt><dd><a href="/.well-known/openid-configuration">/.well-known/openid-configuration</a></dd>
      <dt>Keys</dt><dd><a href="/.well-known/jwks.json">/.well-known/jwks.json</a></dd>
    </dl>`)
}

function wayOut ({ person, applications }: Visit): string {
  return html`
    <p class="lead">In this browser you are <strong>${person.name}</strong>!${applications.length > 0
      ? html`, known to <strong>${new Intl.ListFormat('en-GB').format(applications)}</strong>`
      : ''}.</p>
    <form class="out" action="/v2/logout">
      <button class="primary">Log out everywhere</button>
      <p>Here, and in those applications: the tenant tells them (OpenID Connect Back-Channel Logout).</p>
    </form>`
}

export function loggedOutPage (): string {
  return document('Logged out', html`<h1>You are logged out</h1><p class="lead">You can close this page.</p>`)
}

export function errorPage (message: string): string {
  return document('Something is wrong', html`<h1>That did not work</h1><p class="lead">${message}</p>`)
}

function document (title: string, main: string): string {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${title} · local tenant</title>
  <link rel="icon" href="/icon.svg">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <main>
    <p class="brand"><img src="/icon.svg" alt="" width="20" height="20"> Local tenant</p>
    !${main}
  </main>
  <footer>A stand-in for Auth0 on this computer. Nobody here has a password.</footer>
</body>
</html>
`
}
