import { connect, type ClientHttp2Session } from 'node:http2'
import { text } from 'node:stream/consumers'
import type { FastifyInstance, InjectOptions } from 'fastify'

/** A way to a server by HTTP/2 over a socket, for a browser in place of `app.inject`. */
export function overHttp2 (origin: string): { inject: FastifyInstance['inject'], close: () => void } {
  const session = connect(origin, { rejectUnauthorized: false })
  return { inject: (request => send(session, request as InjectOptions)) as FastifyInstance['inject'], close: () => session.close() }
}

async function send (session: ClientHttp2Session, { method = 'GET', url, headers = {}, payload }: InjectOptions) {
  const { host: authority, ...fields } = headers
  const stream = session.request({ ...fields, ':method': method, ':path': String(url), ':authority': authority }, { endStream: payload === undefined })
  if (payload !== undefined) stream.end(payload)
  const answered = await new Promise<Record<string, unknown>>((resolve, reject) => stream.on('response', resolve).on('error', reject))
  const { ':status': statusCode, ...rest } = answered
  return { statusCode, headers: rest, body: await text(stream) }
}
