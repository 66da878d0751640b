import type { ActiveSession } from 'fastify-auth0'
import { html } from 'ghtml'
import { time } from './time.ts'
import { deviceOf } from './user-agent.ts'

/** Shows where a person is logged in, with a way to end each, and one to end all others. Each is a form, so that no link from another site can do it. */
export function activeSessions (sessions: readonly ActiveSession[]): string {
  const others = sessions.filter(({ current }) => !current)
  return html`
    <section aria-labelledby="where">
      <div class="row">
        <h2 id="where">Where you are logged in</h2>
        !${others.length > 0 ? endOthers(others.length) : ''}
      </div>
      <form method="post" action="/session/end">
        <ul class="card sessions">
          !${[...sessions.filter(({ current }) => current), ...others].map(activeSession)}
        </ul>
      </form>
      <p class="after">${others.length > 0
        ? 'A use is noted about every two hours, not at each click.'
        : 'Nowhere else. To see more here, open this page in another browser or a private window, and log in as the same person.'}</p>
    </section>`
}

function endOthers (count: number): string {
  return html`
    <form method="post" action="/session/end-others">
      <button class="quiet">Log out !${count === 1 ? 'the other' : `the ${count} others`}</button>
    </form>`
}

function activeSession ({ id, createdAt, usedAt, userAgent, current }: ActiveSession): string {
  const { name, kind } = deviceOf(userAgent)
  return html`
    <li>
      !${icons[kind]}
      <div>
        <b>!${current ? html`${name} <span class="chip good">This browser</span>` : html`${name}`}</b>
        <p><span>Logged in !${time(createdAt)}</span> <span>!${current ? 'In use now' : html`Last used !${time(usedAt)}`}</span></p>
      </div>
      <button class="quiet" name="id" value="${id}" aria-label="Log out ${name}!${current ? ', this browser' : ''}">Log out</button>
    </li>`
}

const icons = {
  computer: icon('<rect x="4" y="5" width="16" height="11" rx="1.5"/><path d="M2.5 19.5h19"/>'),
  handheld: icon('<rect x="7" y="2.5" width="10" height="19" rx="2"/><path d="M11 18.5h2"/>'),
  unknown: icon('<circle cx="12" cy="12" r="9"/><path d="M9.5 9.5a2.5 2.5 0 1 1 3.6 2.3q-1.1.6-1.1 1.9M12 16.5v.1"/>')
}

function icon (shapes: string): string {
  return html`<svg class="device" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">!${shapes}</svg>`
}
