import type { FastifyRequest } from 'fastify'
import type { TokenSet } from 'fastify-auth0'
import { html } from 'ghtml'
import { layout } from './layout.ts'
import { time } from './time.ts'

/** For whoever is logged in: an access token of theirs, and how a program calls the API with it. Real applications show nobody a token. */
export function apiPage (request: FastifyRequest, { accessToken, scope, expiresAt }: TokenSet): string {
  const origin = `${request.protocol}://${request.host}`
  return layout(request, 'API', html`
    <h1>The API</h1>
    <p class="lead">Programs have no session. They send an access token, which the tenant signed and this server verifies.</p>
    <section class="card">
      <p>Yours is for <code>${scope}</code>, and over <b>!${time(expiresAt!)}</b>. Then reload. Copy a line into a terminal:</p>
      !${command(`curl -i ${origin}/api/lamps -H 'Authorization: Bearer ${accessToken}'`)}
      <p>Without it, the answer says what is missing:</p>
      !${command(`curl -i ${origin}/api/lamps`)}
      <p>Where tokens come from, for programs that ask:</p>
      !${command(`curl ${origin}/.well-known/oauth-protected-resource/api`)}
    </section>
    <p><a href="/api/me">/api/me</a> answers by session and by token; <a href="/api/docs">the OpenAPI document</a> tells what each route takes.</p>`)
}

function command (line: string): string {
  return html`<pre class="command">${line}</pre>`
}
