import type { FastifyInstance, FastifyRequest } from 'fastify'
import { halt } from './flights.ts'
import type { Seen } from './model.ts'

/** What an application keeps in `request.session`. */
interface OwnSession {
  [member: string]: unknown
  set (name: string, value: string): void
  save (): Promise<void>
  regenerate (keep: string[]): Promise<void>
  destroy (): Promise<void>
}

interface WriteBody {
  /** `null` removes. */
  fields: Record<string, string | null>
  data: Record<string, string>
  /** Whether it does not wait for the end of the request. */
  saves: boolean
}

/** What differs between applications that are held to the same model. */
export interface Identity {
  who: (request: FastifyRequest) => { sub: string | null, sid: string | null, data: Record<string, string> }
  update: (request: FastifyRequest, data: Record<string, string>) => Promise<void>
  /** Gives how many there were; throws when nobody is logged in. */
  endOthers: (request: FastifyRequest) => Promise<number>
}

/** Names of what an application keeps. */
export const FIELDS = ['a', 'b', 'c']

const own = (request: FastifyRequest) => (request as unknown as { session: OwnSession }).session

/** Routes of an application that uses `request.session` for its own, and asks who is calling. Slow requests halt in them. */
export function addRoutes (app: FastifyInstance, { who, update, endOthers }: Identity): void {
  app.get('/who', async request => {
    await halt()
    return { ...who(request), fields: fieldsOf(request) }
  })

  app.post<{ Body: WriteBody }>('/write', async request => {
    const { fields, data, saves } = request.body
    const seen = who(request)
    await halt()
    const session = own(request)
    for (const [name, value] of Object.entries(fields)) {
      if (value === null) delete session[name]
      else session[name] = value
    }
    if (saves) await session.save()
    if (seen.sub !== null && Object.keys(data).length > 0) await update(request, data)
    await halt()
    return seen
  })

  app.post<{ Body: { keep: string[] } }>('/regenerate', async request => {
    const seen = who(request)
    await own(request).regenerate(request.body.keep)
    return seen
  })

  app.post('/destroy', async request => {
    const seen = who(request)
    await own(request).destroy()
    return seen
  })

  app.post('/end-others', async request => ({ ended: await endOthers(request) }))

  function fieldsOf (request: FastifyRequest): NonNullable<Seen['fields']> {
    const session = own(request)
    return Object.fromEntries(FIELDS.filter(name => session[name] !== undefined).map(name => [name, session[name] as string]))
  }
}
