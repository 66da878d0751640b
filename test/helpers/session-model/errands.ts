import type { Errand } from './flights.ts'
import type { KnownSession, Seen, Work } from './model.ts'
import { Registers } from './registers.ts'
import type { Leaving, LogoutToken, Sender, Tab, World } from './world.ts'

/** What is written: `null` removes. */
export interface Wish {
  fields: Record<string, string | null>
  data: Record<string, string>
  saves: boolean
}

/** Asks who is calling. */
export function look (world: World, sender: Sender, host: number): Errand {
  const { model } = world
  const session = model.find(sender.cookie)
  const wasDead = session?.fate === 'dead'
  const work = model.begin()
  return async () => {
    const response = await world.visit(sender, host, 'GET', '/who')
    model.end(work)
    world.expectStatus(response, 200)
    world.judge('promise 1', world.newCookie(response, sender) === null, 'a session began, and nobody asked for one')
    model.judgeSeen(session, wasDead, response.json(), work)
  }
}

/** Changes members of `request.session` and of `session.data`. */
export function write (world: World, sender: Sender, host: number, { fields, data, saves }: Wish): Errand {
  const { model } = world
  const session = model.find(sender.cookie)
  const wasDead = session?.fate === 'dead'
  const work = model.begin()
  const written = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value ?? undefined]))
  const writes = session === null ? [] : model.write(session, 'fields', written, work)
  if (session?.login != null) writes.push(...model.write(session, 'data', data, work))

  function end (isSure: boolean): void {
    for (const write of writes) Object.assign(write, { endedAt: model.tick(), isSure })
  }

  return async () => {
    const response = await world.visit(sender, host, 'POST', '/write', { fields, data, saves })
    model.end(work)
    world.expectStatus(response, 200, 401)
    const cookie = world.newCookie(response, sender)
    end(response.statusCode === 200 && cookie === null)
    if (response.statusCode === 401) return session === null ? undefined : model.learn(session, false, work)
    model.judgeSeen(session, wasDead, response.json(), work)
    if (cookie === null) return
    if (session !== null) model.learn(session, false, work)
    bearVisitor(world, cookie, work, written)
  }
}

/** Comes back from the provider. */
export function comeBack (world: World, tab: Tab, host: number, leaving: Leaving): Errand {
  const { model } = world
  const { sub, sid, replaces } = leaving
  const sender = world.senderOf(tab)
  const session = model.find(sender.cookie)
  // Its own, and that which the login began in, where the browser has another by now.
  const sources = [...new Set([session, replaces])].filter(source => source !== null && source.fate !== 'dead') as KnownSession[]
  const login = { sub, sid, issuedAt: world.now }
  const work = model.begin(other => other === session || other === replaces)
  world.logins++

  return async () => {
    const response = world.note(tab, await leaving.comeBack(host, login))
    world.logins--
    world.expectStatus(response, 303, 400)
    const isLoggedIn = response.statusCode === 303
    const cookie = world.newCookie(response, sender)
    const kept = sources.filter(({ login }) => login === null || (isLoggedIn && login.sub === sub)).map(source => ({ source, isSure: model.isSurelyAlive(source, work) }))
    model.end(work, isLoggedIn ? 'done' : 'perhaps')
    world.judge('promise 5', !isLoggedIn || cookie !== null, 'a login without a new session')
    const mayBeRefused = mayRefuse(world, login, work)
    world.judge('stays logged in', isLoggedIn || mayBeRefused, 'a login was refused')
    if (!isLoggedIn) model.refusedLogins++
    if (mayBeRefused) model.stillborn.set(sub, (model.stillborn.get(sub) ?? 0) + 1)
    if (cookie === null) return
    const born = model.bear(cookie, world.subject.nameOf(cookie), isLoggedIn ? login : null, work)
    if (!isLoggedIn && born.fate === 'alive') born.fate = 'unknown' // what refused the login may have ended this, too
    for (const { source, isSure } of kept) source.fields.copyTo(born.fields, { begunAt: work.begunAt, endedAt: model.tick(), isSure })
  }
}

/** The session ends, and its cookie goes. */
export function logOut (world: World, sender: Sender, host: number): Errand {
  const { model } = world
  const session = model.find(sender.cookie)
  const work = model.begin(other => other === session)
  return async () => {
    const response = await world.request(sender, host, 'POST', '/logout')
    world.expectStatus(response, 303)
    model.end(work)
    world.judge('promise 1', world.newCookie(response, sender) === null, 'a logout began a session')
  }
}

/** The application itself gives the session a new id. */
export function regenerate (world: World, sender: Sender, host: number, keep: string[]): Errand {
  const { model } = world
  const session = model.find(sender.cookie)
  const wasDead = session?.fate === 'dead'
  const work = model.begin(other => other === session)
  return async () => {
    const response = await world.request(sender, host, 'POST', '/regenerate', { keep })
    world.expectStatus(response, 200)
    const seen: Seen = response.json()
    model.judgeSeen(session, wasDead, seen, work)
    const isSure = session !== null && model.isSurelyAlive(session, work)
    model.end(work)
    const cookie = world.newCookie(response, sender)
    if (cookie === null) return
    const born = bearVisitor(world, cookie, work, {})
    if (session !== null && !wasDead) session.fields.copyTo(born.fields, { begunAt: work.begunAt, endedAt: model.tick(), isSure, names: keep })
  }
}

/** The application itself ends the session. */
export function destroy (world: World, sender: Sender, host: number): Errand {
  const { model } = world
  const session = model.find(sender.cookie)
  const wasDead = session?.fate === 'dead'
  const work = model.begin(other => other === session)
  return async () => {
    const response = await world.request(sender, host, 'POST', '/destroy')
    world.expectStatus(response, 200)
    model.judgeSeen(session, wasDead, response.json(), work)
    model.end(work)
    world.judge('promise 1', world.newCookie(response, sender) === null, 'an end began a session')
  }
}

/** Somebody ends all of their sessions but this one. */
export function endOthers (world: World, sender: Sender, host: number): Errand {
  const { model } = world
  const session = model.find(sender.cookie)
  const wasDead = session?.fate === 'dead'
  const work = model.begin(other => other !== session && other.login !== null && other.login.sub === session?.login?.sub)
  return async () => {
    const response = await world.request(sender, host, 'POST', '/end-others')
    world.expectStatus(response, 200, 401)
    if (response.statusCode === 200) {
      world.judge('promise 1', session?.login != null && !wasDead, 'others were ended by who is not logged in')
      judgeCount(world, response.json().ended, work)
      return model.end(work)
    }
    model.end(work, 'nothing')
    if (session?.login != null) model.learn(session, false, work)
  }
}

/** An administrator ends one session. */
export function endById (world: World, host: number, session: KnownSession): Errand {
  const work = world.model.begin(other => other === session)
  return async () => {
    const wasThere = await hostAt(world, host).end(session.name)
    judgeCount(world, wasThere ? 1 : 0, work)
    world.model.end(work)
  }
}

/** An administrator ends all sessions of a person. */
export function endAll (world: World, host: number, sub: string): Errand {
  const work = world.model.begin(({ login }) => login?.sub === sub)
  return async () => {
    const count = await hostAt(world, host).endAll(sub)
    judgeCount(world, count, work)
    world.model.end(work)
  }
}

/** The provider logs out a person, or one session of theirs. What it says once more does nothing. */
export function logOutByProvider (world: World, host: number, token: LogoutToken): Errand {
  const { model } = world
  const { jwt, issuedAt, state, covers } = token
  if (state === 'taken') return repeatLogout(world, host, token)
  const work = model.begin(covers, session => covers(session) && session.login !== null && session.login.issuedAt < issuedAt)
  model.logouts.push(work.ending)
  if (state === 'new') token.state = 'sent'
  return async () => {
    const count = await hostAt(world, host).logOutByProvider(jwt)
    token.state = 'taken'
    if (state === 'new') judgeCount(world, count, work)
    model.end(work, state === 'new' ? 'done' : 'perhaps')
  }
}

function repeatLogout (world: World, host: number, { jwt }: LogoutToken): Errand {
  const work = world.model.begin()
  return async () => {
    const count = await hostAt(world, host).logOutByProvider(jwt)
    world.model.end(work)
    world.judge('answers', count === 0, 'a logout token was taken twice')
  }
}

/** Lists the sessions of a person. */
export function list (world: World, host: number, sub: string): Errand {
  const { model } = world
  const dead = new Set(model.sessions.filter(({ fate }) => fate === 'dead').map(({ name }) => name))
  const work = model.begin()
  return async () => {
    const names = await hostAt(world, host).list(sub)
    model.end(work)
    const known = model.sessions.filter(({ login }) => login?.sub === sub)
    for (const session of known) {
      const isListed = names.includes(session.name)
      if (dead.has(session.name)) world.judge('list', !isListed, `an ended session of ${sub} is listed`)
      else if (isListed || work.overlaps.length === 0) model.learn(session, isListed, work)
      else if (session.bornAt < work.begunAt) world.judge('list', !model.isSurelyAlive(session, work), `a session of ${sub} is not listed`)
    }
    const isComplete = names.every(name => known.some(session => session.name === name))
    world.judge('list', isComplete || work.overlaps.length > 0, `sessions of ${sub} are listed that did not begin`)
  }
}

function bearVisitor (world: World, cookie: string, work: Work, fields: Record<string, string | undefined>): KnownSession {
  const { model } = world
  const born = model.bear(cookie, world.subject.nameOf(cookie), null, work)
  for (const write of model.write(born, 'fields', fields, work)) Object.assign(write, { endedAt: model.tick(), isSure: true })
  return born
}

/** How many were ended is known when nothing else happened. What a refused login leaves may count. */
function judgeCount ({ model }: World, count: number, { ending, overlaps }: Work): void {
  const { targets } = ending
  const isKnown = overlaps.length === 0 && targets.every(({ fate }) => fate === 'alive')
  const most = targets.length + model.refusedLogins
  model.judge('answers', !isKnown || (count >= targets.length && count <= most), `${count} ended, not ${targets.length}`)
}

/** Only what the provider or somebody else ended meanwhile refuses a login. */
function mayRefuse ({ model }: World, login: NonNullable<KnownSession['login']>, { overlaps }: Work): boolean {
  const unborn: KnownSession = { cookie: '', name: '', login, bornAt: Infinity, fate: 'unknown', fields: new Registers(), data: new Registers() }
  return model.logouts.some(({ refuses }) => refuses(unborn)) || overlaps.some(({ outcome, covers }) => outcome !== 'nothing' && covers(unborn))
}

function hostAt ({ subject }: World, host: number) {
  return subject.hosts[host as 0 | 1]
}
