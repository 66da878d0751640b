import type { FastifyRequest } from 'fastify'
import type { ActiveSession } from 'fastify-auth0'
import { html } from 'ghtml'
import type { LogBook } from '../api.ts'
import { activeSessions } from './active-sessions.ts'
import { isKnown, layout, picture } from './layout.ts'
import { fromNow, now, onTheClock, time } from './time.ts'

/** How old a login may be for the vault, in seconds. */
export const VAULT_MAX_AGE = 60

const doors: Array<{ path: string, name: string, about: string, guard: string, role?: string }> = [
  { path: '/profile', name: 'Profile', about: 'Who you are, each claim of your login, and what an API tells you.', guard: 'app.requireAuth()' },
  { path: '/admin', name: 'Admin', about: 'For people who have the role admin.', guard: "app.requireAuth({ roles: 'admin' })", role: 'admin' },
  { path: '/vault', name: 'Vault', about: 'For logins of the last minute. Are you still you?', guard: `app.requireAuth({ maxAge: ${VAULT_MAX_AGE} })` },
  { path: '/session', name: 'Session', about: 'How long it lives, where else you are logged in, and a note.', guard: 'request.auth0.session' }
]

/** For everybody: says hello, and what there is to try. */
export function homePage (request: FastifyRequest): string {
  const { user } = request.auth0
  return layout(request, 'Home', html`
    <section class="hero">
      <h1>Hello, ${user === null ? 'stranger' : user.given_name ?? user.name}.</h1>
      <p class="lead">!${user === null
        ? html`This page is for everybody. The others want to know who you are: open one, and you are sent to log in and back.`
        : html`You are logged in as <b>${user.email ?? user.sub}</b>. Here is what you can try.`}</p>
    </section>
    <ul class="doors">
      !${doors.map(({ path, name, about, guard, role }) => html`
        <li><a class="card" href="${path}">
          <h2>${name} !${whatAwaits(request, role)}</h2>
          <p>${about}</p>
          <code>${guard}</code>
        </a></li>`)}
    </ul>`)
}

/** Says what a door will do, before one tries it. */
function whatAwaits ({ auth0: { user, roles } }: FastifyRequest, role: string | undefined): string {
  if (user === null) return html`<span class="chip">log in first</span>`
  if (role !== undefined && !roles.includes(role)) return html`<span class="chip bad">not with your roles</span>`
  return html`<span class="chip good">open to you</span>`
}

/** For whoever is logged in: the person, and the claims as they came. */
export function profilePage (request: FastifyRequest, log: LogBook | null): string {
  const user = request.auth0.user!
  return layout(request, 'Profile', html`
    <section class="card person">
      !${picture(user, 112)}
      <div>
        <h1>${user.name ?? user.sub}</h1>
        <p class="lead">${user.email}!${user.email_verified === true ? ' <span class="chip good">verified</span>' : ''}</p>
        <p>!${request.auth0.roles.map(role => html`<span class="chip">${role}</span> `)}</p>
      </div>
    </section>
    !${log === null ? '' : logBook(log)}
    <h2>Claims</h2>
    <dl class="card claims">
      !${Object.entries(user).map(([name, value]) => html`<div><dt>${name}</dt><dd>!${claim(value)}</dd></div>`)}
    </dl>`)
}

/** What another server told about the night, and by which access token. */
function logBook ({ entries, token }: LogBook): string {
  return html`
    <h2>From the log book</h2>
    <section class="card log">
      <ul>!${entries.map(entry => html`<li>${entry}</li>`)}</ul>
      <p class="soft">Read from another server with an access token for <code>${token.scope}</code>, issued <b>!${time(token.issuedAt)}</b>, over <b>!${time(token.expiresAt)}</b>.
        It is renewed when half of its life is over: reload, and watch it.</p>
    </section>`
}

/** Long lists are folded, or the person of 6 KB would need a long scroll. */
function claim (value: unknown): string {
  if (typeof value === 'string') return html`${value}`
  const text = JSON.stringify(value, null, 2)
  if (!Array.isArray(value) || text.length < 200) return html`<code>${JSON.stringify(value)}</code>`
  return html`<details><summary>${value.length} entries, ${(text.length / 1024).toFixed(1)} KB</summary><pre>${text}</pre></details>`
}

/** For the role admin. */
export function adminPage (request: FastifyRequest): string {
  return layout(request, 'Admin', html`
    <h1>The keeper's room</h1>
    <p class="lead">You see this because your roles are: !${request.auth0.roles.map(role => html`<span class="chip">${role}</span> `)}</p>
    <ul class="figures">
      <li class="card"><b>128</b> lanterns lit</li>
      <li class="card"><b>82 %</b> of the oil left</li>
      <li class="card"><b>3</b> keepers on duty</li>
    </ul>`)
}

/** For a login that is fresh: shows for how long it still is. */
export function vaultPage (request: FastifyRequest): string {
  const authTime = Number(request.auth0.claims?.auth_time ?? request.auth0.session!.createdAt)
  const left = Math.max(0, authTime + VAULT_MAX_AGE - now())
  return layout(request, 'Vault', html`
    <h1>The vault is open</h1>
    <p class="lead">You proved who you are ${fromNow(authTime)}. A bank would ask like this before it moves money.</p>
    <section class="card">
      <p><label>Open for <b>${left} more seconds</b> <meter min="0" max="${VAULT_MAX_AGE}" value="${left}"></meter></label></p>
      <p>Then a reload sends you to log in again, though you are logged in all the time. <a href="/vault">Reload</a></p>
    </section>`)
}

/** Where this application keeps its sessions, as a page may say it. */
const PLACES = {
  cookie: 'It lives in an encrypted cookie: this server remembers nothing.',
  memory: 'It lives in the memory of this server, and ends with it. Your browser holds no more than its id.',
  redis: 'It lives in Redis. Your browser holds no more than its id.'
}

export type Place = keyof typeof PLACES

/** For whoever is logged in: the session, its two ends, what others they have, and something of the application's own in it. */
export function sessionPage (request: FastifyRequest, place: Place, sessions: readonly ActiveSession[] | null): string {
  const session = request.auth0.session!
  const rows: Array<[name: string, at: number]> = [
    ['Began', session.createdAt],
    ['Last used', session.usedAt],
    ['Ends if not used', session.idleExpiresAt],
    ['Ends in any case', session.absoluteExpiresAt]
  ]
  return layout(request, 'Session', html`
    <h1>Your session</h1>
    <p class="lead">!${PLACES[place]}</p>
    <dl class="card claims">
      !${rows.map(([name, at]) => html`<div><dt>${name}</dt><dd><b>${fromNow(at)}</b> <span class="soft">${onTheClock(at)}</span></dd></div>`)}
    </dl>
    !${sessions === null ? '' : activeSessions(sessions)}
    <h2>A note to yourself</h2>
    <form class="card note" method="post" action="/session">
      <label for="note">Kept in the session with <code>updateSession({ note })</code>, and gone with it</label>
      <input id="note" name="note" maxlength="200" autocomplete="off" value="${session.data.note}">
      <button>Keep</button>
    </form>`)
}

/** What went wrong, and a way on: another person, or back home. */
export function problemPage (request: FastifyRequest, statusCode: number, message: string): string {
  const isRefused = statusCode === 403 && isKnown(request) && request.auth0.isAuthenticated
  return layout(request, 'Sorry', html`
    <section class="hero">
      <p class="status">${statusCode}</p>
      <h1>${problemTitle(statusCode, isRefused)}</h1>
      <p class="lead">${statusCode === 500 ? 'Something broke on our side.' : `${message}.`}</p>
      <p>
        <a class="button" href="/">Home</a>
        !${otherWay(request, isRefused)}
      </p>
    </section>`)
}

function otherWay (request: FastifyRequest, isRefused: boolean): string {
  const here = request.method === 'GET' ? request.originalUrl : '/'
  if (!isKnown(request)) return html`<a class="button quiet" href="${here}">Try again</a>`
  if (request.auth0.isAuthenticated && !isRefused) return ''
  return html`<a class="button quiet" href="/login?prompt=login&amp;returnTo=${encodeURIComponent(here)}">${isRefused ? 'Log in as somebody else' : 'Log in'}</a>`
}

function problemTitle (statusCode: number, isRefused: boolean): string {
  if (isRefused) return 'This door is not for you'
  if (statusCode === 401 || statusCode === 403) return 'You are not logged in'
  if (statusCode === 503) return 'Not right now'
  return statusCode === 404 ? 'Nobody lives here' : 'That did not work'
}
