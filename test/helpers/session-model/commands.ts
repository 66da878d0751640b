import fc from 'fast-check'
import { FIELDS } from './application.ts'
import * as errands from './errands.ts'
import type { Errand } from './flights.ts'
import type { KnownSession } from './model.ts'
import { BROWSERS, HOSTS, MAX_FLIGHTS, PEOPLE, TOKEN_LIFETIME, type Leaving, type LogoutToken, type Sender, type Tab, type World } from './world.ts'

/** Something that happens, as it stands in a counter-example. */
export class Happening {
  readonly #title: string
  readonly #isPossible: (world: World) => boolean
  readonly #happen: (world: World) => unknown

  constructor (title: string, isPossible: (world: World) => boolean, happen: (world: World) => unknown) {
    this.#title = title
    this.#isPossible = isPossible
    this.#happen = happen
  }

  async happen (world: World): Promise<void> {
    if (this.#isPossible(world)) await this.#happen(world)
  }

  toString (): string {
    return this.#title
  }
}

interface Request {
  tab: number
  host: number
  isSlow: boolean
}

const at = (length: number) => fc.nat(length - 1)
/** Mostly the first: they meet more often. */
const mostly = (length: number) => fc.oneof(fc.constant(0), at(length))
/** One of those there are, counted round. */
const any = fc.nat(5)
const isSlow = fc.boolean()
const request = fc.record<Request>({ tab: mostly(BROWSERS), host: at(HOSTS), isSlow })
const always = () => true
const isBorn = ({ model }: World) => model.sessions.length > 0
const pick = <T>(list: readonly T[], index: number) => list[index % list.length] as T
const tabOf = (world: World, tab: number) => world.tabs[tab] as Tab
const senderOf = (world: World, tab: number): Sender => world.senderOf(tabOf(world, tab))
const sessionOf = ({ model }: World, index: number): KnownSession => pick(model.sessions, index)

/** A request; a slow one is begun, and is told later to go on. */
function asked (title: string, { tab, host, isSlow = false }: Partial<Request>, errand: (world: World) => Errand | Promise<Errand>, isPossible: (world: World) => boolean = always): Happening {
  const place = [tab === undefined ? '' : `browser ${tab}`, host === undefined ? '' : `host ${host}`].filter(Boolean).join(' at ')
  return new Happening(`${title}, ${place}${isSlow ? ', slow' : ''}`, world => (!isSlow || world.hasRoom) && isPossible(world),
    async world => world.do(await errand(world), isSlow))
}

async function leave (world: World, tab: Tab, host: number, person: number): Promise<Leaving> {
  const sub = world.person(person)
  const replaces = world.model.find(world.senderOf(tab).cookie)
  return { ...await world.subject.leave(tab.browser, host, sub), sub, sid: world.sid(tab, sub), replaces }
}

const login = fc.tuple(request, mostly(PEOPLE.length), at(2)).map(([request, person, seconds]) =>
  asked(`login of ${PEOPLE[person]}${seconds > 0 ? ', a second later' : ''}`, request, async world => {
    const tab = tabOf(world, request.tab)
    world.pass(seconds)
    return errands.comeBack(world, tab, request.host, await leave(world, tab, request.host, person))
  }))

const departure = fc.tuple(request, mostly(PEOPLE.length)).map(([{ tab, host }, person]) =>
  new Happening(`departure of ${PEOPLE[person]} for the provider, browser ${tab}`, world => tabOf(world, tab).leaving.length < 2,
    async world => tabOf(world, tab).leaving.push(await leave(world, tabOf(world, tab), host, person))))

const comeBack = fc.tuple(request, any).map(([request, which]) =>
  asked('return from the provider', request, world => {
    const tab = tabOf(world, request.tab)
    const [leaving] = tab.leaving.splice(which % tab.leaving.length, 1)
    return errands.comeBack(world, tab, request.host, leaving as Leaving)
  }, world => tabOf(world, request.tab).leaving.length > 0))

const page = request.map(request => asked('page', request, world => errands.look(world, senderOf(world, request.tab), request.host)))

const copiedPage = fc.tuple(request, any).map(([{ tab: _tab, ...request }, session]) =>
  asked(`page with a copy of cookie ${session}`, request, world => errands.look(world, world.thiefOf(sessionOf(world, session)), request.host), isBorn))

interface WishOutline {
  /** By name, whether it is removed. */
  fields: Record<string, boolean>
  data: string[]
  saves: boolean
}

const wish = fc.record<WishOutline>({
  fields: fc.dictionary(fc.constantFrom(...FIELDS), fc.boolean(), { maxKeys: 2, noNullPrototype: true }),
  data: fc.subarray(['x', 'y']),
  saves: fc.boolean()
})

function wishOf (world: World, { fields, data, saves }: WishOutline): errands.Wish {
  return {
    fields: Object.fromEntries(Object.entries(fields).map(([name, isRemoved]) => [name, isRemoved ? null : world.value()])),
    data: Object.fromEntries(data.map(name => [name, world.value()])),
    saves
  }
}

function wordsOf ({ fields, data, saves }: WishOutline): string {
  const changes = [...Object.entries(fields).map(([name, isRemoved]) => isRemoved ? `without ${name}` : name), ...data]
  return `${changes.join(' and ') || 'nothing'}${saves ? ', saved early' : ''}`
}

const write = fc.tuple(request, wish).map(([request, wish]) =>
  asked(`write of ${wordsOf(wish)}`, request, world => errands.write(world, senderOf(world, request.tab), request.host, wishOf(world, wish))))

const copiedWrite = fc.tuple(request, any, wish).map(([{ tab: _tab, ...request }, session, wish]) =>
  asked(`write of ${wordsOf(wish)} with a copy of cookie ${session}`, request,
    world => errands.write(world, world.thiefOf(sessionOf(world, session)), request.host, wishOf(world, wish)), isBorn))

const logout = request.map(request => asked('logout', request, world => errands.logOut(world, senderOf(world, request.tab), request.host)))

const destroy = request.map(request => asked('session.destroy()', request, world => errands.destroy(world, senderOf(world, request.tab), request.host)))

const regenerate = fc.tuple(request, fc.subarray(FIELDS)).map(([request, keep]) =>
  asked(`session.regenerate([${keep.join()}])`, request, world => errands.regenerate(world, senderOf(world, request.tab), request.host, keep)))

const endOthers = request.map(request => asked('end of all others', request, world => errands.endOthers(world, senderOf(world, request.tab), request.host)))

const endById = fc.tuple(request, any).map(([{ tab: _tab, ...request }, session]) =>
  asked(`end of session ${session} by its id`, request, world => errands.endById(world, request.host, sessionOf(world, session)), isBorn))

const endAll = fc.tuple(request, mostly(PEOPLE.length)).map(([{ tab: _tab, ...request }, person]) =>
  asked(`end of all of ${PEOPLE[person]}`, request, world => errands.endAll(world, request.host, world.person(person))))

const list = fc.tuple(request, mostly(PEOPLE.length)).map(([{ tab: _tab, ...request }, person]) =>
  asked(`list of ${PEOPLE[person]}`, request, world => errands.list(world, request.host, world.person(person))))

/** Issued now, or (`late`) some seconds ago. */
function tokenOf (world: World, { sub, sid }: { sub: string, sid?: string | undefined }, late: number): LogoutToken {
  const iat = world.now - late
  const jwt = world.subject.logoutToken({ sub: sid === undefined ? sub : undefined, sid, iat, exp: iat + TOKEN_LIFETIME })
  const covers = ({ login }: KnownSession) => login !== null && (sid === undefined ? login.sub === sub : login.sid === sid)
  const token: LogoutToken = { jwt, issuedAt: iat, covers, state: 'new' }
  world.tokens.push(token)
  return token
}

const providerLogout = fc.tuple(request, mostly(PEOPLE.length), fc.boolean(), at(2), at(3)).map(([{ tab, ...request }, person, isOfSession, seconds, late]) =>
  asked(`logout of ${PEOPLE[person]} by the provider, ${isOfSession ? `sid of browser ${tab}` : 'sub'}${seconds > 0 ? ', a second later' : ''}${late > 0 ? `, issued ${late} s ago` : ''}`, request, world => {
    world.pass(seconds)
    const sub = world.person(person)
    return errands.logOutByProvider(world, request.host, tokenOf(world, { sub, sid: isOfSession ? world.sid(tabOf(world, tab), sub) : undefined }, late))
  }))

const repeatedLogout = fc.tuple(request, any).map(([{ tab: _tab, ...request }, token]) =>
  asked(`logout token ${token} once more`, request, world => errands.logOutByProvider(world, request.host, pick(world.tokens, token)),
    world => world.tokens.length > 0 && world.isFresh(pick(world.tokens, token))))

const expiry = any.map(index => new Happening(`expiry of session ${index}`, isBorn, async world => {
  const { model, subject } = world
  const session = sessionOf(world, index)
  const others = model.sessions.filter(other => other !== session && other.fate !== 'dead')
  if (session.fate === 'dead') return
  world.pass(await subject.expire(session.name, session.login, others.map(({ name }) => name)))
  model.lose(other => other === session)
}))

const loss = fc.constant(new Happening('loss of everything', world => isBorn(world) && world.logins === 0, async world => {
  world.pass(await world.subject.loseEverything())
  world.model.forget()
  for (const token of world.tokens.filter(({ state }) => state === 'taken')) token.state = 'lost'
}))

const step = fc.tuple(at(MAX_FLIGHTS), fc.integer({ min: 1, max: 4 })).map(([flight, steps]) =>
  new Happening(`${steps} steps of slow request ${flight}`, ({ flights }) => flights.length > 0, world => world.step(flight, steps)))

const finish = at(MAX_FLIGHTS).map(flight => new Happening(`end of slow request ${flight}`, ({ flights }) => flights.length > 0, world => world.finish(flight)))

type Happenings = Array<fc.Arbitrary<Happening>>

/** In every run. */
const usual: Happenings = [login, write, step, step, finish]
/** Some of them in each run: what happens seldom would else seldom meet. */
const others: Happenings = [
  departure, comeBack, page, copiedPage, copiedWrite, logout, destroy, regenerate, endOthers, endById, endAll, list, providerLogout, repeatedLogout, expiry, loss
]

/** What happens in one run, after some people have logged in. */
export function happenings (most: number): fc.Arbitrary<Happening[]> {
  const logins = fc.array(login, { maxLength: BROWSERS, size: 'max' })
  const more = fc.subarray(others, { minLength: 2, maxLength: 6 }).chain(some => fc.array(fc.oneof(...usual, ...some), { maxLength: most, size: 'max' }))
  return fc.tuple(logins, more).map(lists => lists.flat())
}
