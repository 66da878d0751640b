import t, { type Test } from 'tap'
import { FST_AUTH0_OPTIONS_INVALID, type Auth0Options, type RequireAuthOptions } from '../lib/index.ts'
import { AUDIENCE } from './helpers/access-tokens.ts'
import { buildApp } from './helpers/app.ts'
import type { Json } from './helpers/id-tokens.ts'

type Verdict = [name: string, demand: RequireAuthOptions, claims: Json, isAdmitted: boolean]

const claims: Verdict[] = [
  ['a value', { claims: { plan: 'pro' } }, { plan: 'pro' }, true],
  ['another value', { claims: { plan: 'pro' } }, { plan: 'free' }, false],
  ['a missing claim', { claims: { plan: 'pro' } }, {}, false],
  ['one of several values', { claims: { plan: ['pro', 'team'] } }, { plan: 'team' }, true],
  ['none of several values', { claims: { plan: ['pro', 'team'] } }, { plan: 'free' }, false],
  ['a list that contains the value', { claims: { groups: 'staff' } }, { groups: ['all', 'staff'] }, true],
  ['a list that contains one of several', { claims: { groups: ['staff', 'board'] } }, { groups: ['board'] }, true],
  ['a list without the value', { claims: { groups: 'staff' } }, { groups: ['all'] }, false],
  ['an empty list', { claims: { groups: 'staff' } }, { groups: [] }, false],
  ['a list in a list', { claims: { groups: 'staff' } }, { groups: [['staff']] }, false],
  ['an object with the value for a name', { claims: { groups: 'staff' } }, { groups: { staff: true } }, false],
  ['a longer text', { claims: { groups: 'staff' } }, { groups: 'staff,all' }, false],
  ['a text in another case', { claims: { plan: 'pro' } }, { plan: 'Pro' }, false],
  ['true', { claims: { approved: true } }, { approved: true }, true],
  ['"true" for true', { claims: { approved: true } }, { approved: 'true' }, false],
  ['1 for true', { claims: { approved: true } }, { approved: 1 }, false],
  ['"2" for 2', { claims: { level: 2 } }, { level: '2' }, false],
  ['null for null', { claims: { ban: null } }, { ban: null }, true],
  ['a missing claim for null', { claims: { ban: null } }, {}, false],
  ['a missing claim for false', { claims: { ban: false } }, {}, false],
  ['two claims', { claims: { plan: 'pro', approved: true } }, { plan: 'pro', approved: true }, true],
  ['one of two claims', { claims: { plan: 'pro', approved: true } }, { plan: 'pro' }, false],
  ['the name of a prototype', { claims: { constructor: (value: unknown) => value !== undefined } }, {}, false],
  ['__proto__', { claims: JSON.parse('{"__proto__":"x"}') }, {}, false],
  ['a namespaced claim', { claims: { 'https://example.com/plan': 'pro' } }, { 'https://example.com/plan': 'pro' }, true],
  ['a function of a value', { claims: { age: value => Number(value) >= 18 } }, { age: 18 }, true],
  ['a function of a value that says no', { claims: { age: value => Number(value) >= 18 } }, { age: 17 }, false],
  ['an asynchronous function of a value', { claims: { age: async value => Number(value) >= 18 } }, { age: 17 }, false],
  ['an asynchronous function of a value, and another claim', { claims: { age: async () => true, plan: 'pro' } }, { plan: 'pro' }, true],
  ['an asynchronous function of a value, without another claim', { claims: { age: async () => true, plan: 'pro' } }, {}, false],
  ['a function', { claims: user => user.sub === 'auth0|ada' }, {}, true],
  ['a function that says no', { claims: user => user.sub === 'auth0|grace' }, {}, false],
  ['an asynchronous function', { claims: async user => user.sub === 'auth0|ada' }, {}, true],
  ['an asynchronous function that says no', { claims: async () => false }, {}, false],
  ['a function that sees the request', { claims: (_user, request) => request.headers['x-floor'] === '7' }, {}, true],
  // Only `true` admits: an empty list is truthy, too.
  ['a function that gives something', { claims: (() => ['x']) as never }, {}, false],
  ['an asynchronous function that gives something', { claims: (async () => 1) as never }, {}, false],
  ['a function that gives nothing', { claims: (() => {}) as never }, {}, false],
  ['a function of a value that gives something', { claims: { plan: (() => 'yes') as never } }, {}, false]
]

const lists: Verdict[] = [
  ['the role', { roles: 'admin' }, { roles: ['admin', 'user'] }, true],
  ['another role', { roles: 'admin' }, { roles: ['user'] }, false],
  ['no roles', { roles: 'admin' }, {}, false],
  ['a role that is text', { roles: 'admin' }, { roles: 'admin' }, true],
  ['text that contains it', { roles: 'admin' }, { roles: 'admin user' }, false],
  ['all roles', { roles: ['admin', 'billing'] }, { roles: ['billing', 'admin'] }, true],
  ['one of all roles', { roles: ['admin', 'billing'] }, { roles: ['admin'] }, false],
  ['any of the roles', { roles: { anyOf: ['admin', 'billing'] } }, { roles: ['billing'] }, true],
  ['none of the roles', { roles: { anyOf: ['admin', 'billing'] } }, { roles: ['user'] }, false],
  ['another case', { roles: 'admin' }, { roles: ['Admin'] }, false],
  ['roles as an object', { roles: 'admin' }, { roles: { admin: true } }, false],
  ['roles as a list of objects', { roles: 'admin' }, { roles: [{ name: 'admin' }] }, false],
  ['roles as a list in a list', { roles: 'admin' }, { roles: [['admin']] }, false],
  ['roles as a number', { roles: '1' }, { roles: 1 }, false],
  ['roles as null', { roles: 'null' }, { roles: null }, false],
  ['the name of a prototype', { roles: 'constructor' }, { roles: ['user'] }, false],
  ['the permission', { permissions: 'read:all' }, { permissions: ['read:all'] }, true],
  ['a longer permission', { permissions: 'read' }, { permissions: ['read:all'] }, false],
  ['all permissions', { permissions: ['read', 'write'] }, { permissions: ['read'] }, false],
  ['any permission', { permissions: { anyOf: ['read', 'write'] } }, { permissions: ['write'] }, true],
  ['role and permission', { roles: 'admin', permissions: 'write' }, { roles: ['admin'], permissions: ['write'] }, true],
  ['role without permission', { roles: 'admin', permissions: 'write' }, { roles: ['admin'] }, false],
  ['role without claim', { roles: 'admin', claims: { plan: 'pro' } }, { roles: ['admin'] }, false]
]

const organizations: Verdict[] = [
  ['the id', { organization: 'org_1' }, { org_id: 'org_1' }, true],
  ['another id', { organization: 'org_1' }, { org_id: 'org_2' }, false],
  ['an id as a name', { organization: 'org_1' }, { org_name: 'org_1' }, false],
  ['the name', { organization: 'acme' }, { org_id: 'org_1', org_name: 'acme' }, true],
  ['the name in the case it is written in', { organization: 'Acme' }, { org_id: 'org_1', org_name: 'acme' }, true],
  ['another name', { organization: 'acme' }, { org_name: 'emca' }, false],
  ['a name as an id', { organization: 'acme' }, { org_id: 'acme' }, false],
  ['no organization', { organization: 'acme' }, {}, false],
  ['a list of ids', { organization: 'org_1' }, { org_id: ['org_1'] }, false]
]

for (const [what, verdicts] of Object.entries({ claims, lists, organizations })) {
  t.test(`${what} admit and refuse`, async t => {
    for (const [name, demand, more, isAdmitted] of verdicts) {
      t.equal(await statusFor(t, demand, more), isAdmitted ? 200 : 403, `${isAdmitted ? 'admits' : 'refuses'} ${name}`)
    }
  })
}

const places: Array<[name: string, options: Auth0Options, claims: Json, roles: string[]]> = [
  ['a namespaced claim', { rolesClaim: 'https://example.com/roles' }, { 'https://example.com/roles': ['admin'] }, ['admin']],
  ['a claim whose name has dots', { rolesClaim: 'realm.roles' }, { 'realm.roles': ['admin'], realm: { roles: ['other'] } }, ['admin']],
  ['a path', { rolesClaim: ['realm_access', 'roles'] }, { realm_access: { roles: ['admin'] } }, ['admin']],
  ['a path through a list', { rolesClaim: ['realm', '0'] }, { realm: ['admin'] }, ['admin']],
  ['a path that ends early', { rolesClaim: ['realm_access', 'roles'] }, { realm_access: 'roles' }, []],
  ['a path through null', { rolesClaim: ['realm_access', 'roles'] }, { realm_access: null }, []],
  ['a path through a prototype', { rolesClaim: ['constructor', 'name'] }, {}, []],
  ['a claim named as a member of a prototype', { rolesClaim: 'constructor' }, {}, []],
  ['strings among other things', { rolesClaim: 'roles' }, { roles: ['admin', 7, null, ['x'], { y: 1 }] }, ['admin']],
  ['the default, when the option names another', { rolesClaim: 'groups' }, { roles: ['admin'] }, []]
]
for (const [name, options, more, roles] of places) {
  t.test(`finds roles in ${name}`, async t => {
    const { browser, provider } = await buildApp(t, { auth0: options })
    Object.assign(provider.user = { ...provider.user }, more)
    await browser.login()
    t.same((await browser.get('/me')).json().roles, roles)
  })
}

t.test('a prototype that something polluted gives nobody a role', async t => {
  const { browser } = await buildApp(t)
  await browser.login()
  const prototype: object = Object.getPrototypeOf({})
  Object.defineProperty(prototype, 'roles', { value: ['admin'], configurable: true })
  t.teardown(() => Reflect.deleteProperty(prototype, 'roles'))
  t.same((await browser.get('/me')).json().roles, [])
})

t.test('finds permissions where option permissionsClaim says', async t => {
  const { browser, provider } = await buildApp(t, { auth0: { permissionsClaim: ['resource_access', 'api', 'roles'] } })
  provider.user = { ...provider.user, resource_access: { api: { roles: ['write'] } } }
  await browser.login()
  t.same((await browser.get('/me')).json().permissions, ['write'])
})

for (const thrown of [undefined, null, 0, '', false]) {
  t.test(`a function that throws ${JSON.stringify(thrown)} admits nobody, to no hook behind either`, async t => {
    const fail = () => { throw thrown }
    for (const demand of [{ check: fail }, { claims: fail }, { claims: { sub: fail } }, { check: async () => fail() }]) {
      const ran: string[] = []
      const { app, browser, provider } = await buildApp(t, {
        auth0: { api: { audience: AUDIENCE } },
        routes: app => app.get('/admin', { preHandler: [app.requireAuth(demand), async () => { ran.push('next hook') }] }, async () => ran.push('handler'))
      })
      await browser.login()
      t.equal((await browser.fetch('/admin')).statusCode, 500)
      t.equal((await app.inject({ url: '/admin', headers: { authorization: `Bearer ${provider.accessToken()}` } })).statusCode, 500)
      t.same(ran, [])
    }
  })
}

t.test('a promise of another make admits only by `true`', async t => {
  const like = (then: (fulfil: (value: unknown) => void) => unknown) => ({ check: (() => ({ then })) as never })
  t.equal(await statusFor(t, like(fulfil => fulfil(true)), {}), 200)
  t.equal(await statusFor(t, like(fulfil => fulfil([])), {}), 403)
  t.equal(await statusFor(t, like(function (this: object, fulfil) { queueMicrotask(() => fulfil([])); return this }), {}), 403)
})

t.test('asks nobody anything behind a condition that does not hold', async t => {
  let asked = 0
  const check = () => Boolean(++asked)
  t.equal(await statusFor(t, { roles: 'admin', claims: check }, {}), 403)
  t.equal(await statusFor(t, { claims: { a: async () => false, b: check } }, {}), 403)
  t.equal(asked, 0)
})

t.test('sends who is not logged in to log in to the organization (A6)', async t => {
  const { browser } = await buildApp(t, { routes: app => app.get('/acme', { onRequest: app.requireAuth({ organization: 'Acme' }) }, async () => 'secret') })
  t.equal((await browser.get('/acme')).location?.searchParams.get('organization'), 'Acme')
  t.equal((await browser.login('/acme')).body, 'secret')
})

t.test('claims are frozen: a check cannot make somebody else of the person', async t => {
  t.equal(await statusFor(t, { claims: user => { (user as Json).sub = 'auth0|root'; return true } }, {}), 500)
})

const mistakes: Array<[name: string, options: unknown, message: RegExp]> = [
  ['a misspelt option', { role: 'admin' }, /option "role" is unknown\. Did you mean "roles"\?/],
  ['an option in another case', { maxage: 60 }, /Did you mean "maxAge"\?/],
  ['an unknown option', { somethingElseEntirely: 1 }, /is unknown\. Known are via, optional, scopes, check, claims/],
  ['the name of a prototype', { constructor: 1 }, /option "constructor" is unknown/],
  ['an option that is undefined', { roles: process.env.NO_SUCH_ROLE }, /option "roles" is undefined: leave it out/],
  ['a function for options', () => false, /takes a plain object with options/],
  ['a list for options', [], /takes a plain object with options/],
  ['a text for options', 'admin', /takes a plain object with options/],
  ['a request without its reply', { id: 'req-1', params: {} }, /option "id" is unknown/],
  ['options that turned out undefined', undefined, /takes a plain object with options/],
  ['options of a class', new (class { get roles () { return 'admin' } })(), /takes a plain object with options/],
  ['a list with a hole', { roles: new Array(1) }, /option "roles"/],
  ['no roles', { roles: [] }, /option "roles" must be a name, names, or/],
  ['an empty role', { roles: '' }, /option "roles"/],
  ['an empty role among others', { roles: ['admin', ''] }, /option "roles"/],
  ['a role that is undefined', { roles: ['admin', undefined] }, /option "roles"/],
  ['any of no roles', { roles: { anyOf: [] } }, /option "roles"/],
  ['anyOf with a text', { roles: { anyOf: 'admin' } }, /option "roles"/],
  ['allOf', { roles: { allOf: ['admin'] } }, /option "roles"/],
  ['anyOf with more', { roles: { anyOf: ['admin'], allOf: ['x'] } }, /option "roles"/],
  ['roles as a set', { roles: new Set(['admin']) }, /option "roles"/],
  ['no permissions', { permissions: [] }, /option "permissions"/],
  ['no claims', { claims: {} }, /option "claims"/],
  ['claims as a text', { claims: 'admin' }, /option "claims"/],
  ['claims as a list', { claims: ['admin'] }, /option "claims"/],
  ['a claim with no values', { claims: { plan: [] } }, /option "claims"/],
  ['a claim that is undefined', { claims: { plan: undefined } }, /option "claims"/],
  ['a claim with a value that is undefined', { claims: { plan: [undefined] } }, /option "claims"/],
  ['a claim that is an object', { claims: { plan: { is: 'pro' } } }, /option "claims"/],
  ['an empty organization', { organization: '' }, /option "organization"/],
  ['organizations', { organization: ['org_1'] }, /option "organization"/],
  ['a negative age', { maxAge: -1 }, /option "maxAge"/],
  ['half a second', { maxAge: 0.5 }, /option "maxAge"/],
  ['an age as text', { maxAge: '60' }, /option "maxAge"/],
  ['an age for ever', { maxAge: Infinity }, /option "maxAge"/],
  ['an age that the login route would not pass on', { maxAge: 1_000_000_000 }, /option "maxAge"/],
  ['no acr', { acr: [] }, /option "acr"/],
  ['an acr with a space', { acr: 'gold silver' }, /option "acr"/],
  ['more acr than the login route would pass on', { acr: ['a'.repeat(600), 'b'.repeat(600)] }, /option "acr"/]
]
t.test('what would guard less than it seems to is an error when the route is defined', async t => {
  const { app } = await buildApp(t)
  for (const [name, options, message] of mistakes) {
    const error = t.throws(() => app.requireAuth(options as RequireAuthOptions), { code: 'FST_AUTH0_OPTIONS_INVALID', statusCode: 500, message }, name)
    t.ok(error instanceof FST_AUTH0_OPTIONS_INVALID)
  }
})

t.test('options are read once: what is changed later guards as before', async t => {
  const roles = ['admin']
  const { app, browser } = await buildApp(t)
  app.get('/all', { onRequest: app.requireAuth({ roles }) }, async () => 'secret')
  app.get('/any', { onRequest: app.requireAuth({ roles: { anyOf: roles } }) }, async () => 'secret')
  roles.length = 0
  roles.push('user')
  await browser.login('/profile', { authorize: { user: { sub: 'auth0|ada', roles } } })
  for (const path of ['/all', '/any']) t.equal((await browser.get(path)).statusCode, 403)
})

/** How a page with this demand answers to somebody with these claims. */
async function statusFor (t: Test, demand: RequireAuthOptions, claims: Json): Promise<number> {
  const { browser, provider } = await buildApp(t, { routes: app => app.get('/guarded', { onRequest: app.requireAuth(demand) }, async () => 'secret') })
  await browser.login('/profile', { authorize: { user: { ...provider.user, ...claims } } })
  return (await browser.get('/guarded', { headers: { 'x-floor': '7' } })).statusCode
}
