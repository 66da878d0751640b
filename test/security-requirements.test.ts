import t from 'tap'
import type { GuardPolicy } from '../lib/index.ts'
import { securityRequirements } from '../lib/policy/security-requirements.ts'

const session: GuardPolicy = { name: 'auth0', via: ['session'] }
const bearer: GuardPolicy = { name: 'auth0', via: ['bearer'] }
const either: GuardPolicy = { name: 'auth0', via: ['session', 'bearer'] }

const cases: Array<[name: string, guards: GuardPolicy[], requirements: object[]]> = [
  ['a session', [session], [{ auth0Session: [] }]],
  ['an access token', [bearer], [{ auth0Bearer: [] }]],
  ['either', [either], [{ auth0Session: [] }, { auth0Bearer: [] }]],
  ['a scope', [{ ...either, scopes: 'read' }], [{ auth0Session: [] }, { auth0Bearer: ['read'] }]],
  ['all of some scopes', [{ ...bearer, scopes: ['read', 'write'] }], [{ auth0Bearer: ['read', 'write'] }]],
  ['any of some scopes', [{ ...bearer, scopes: { anyOf: ['read', 'write'] } }], [{ auth0Bearer: ['read'] }, { auth0Bearer: ['write'] }]],
  ['nothing, too', [{ ...either, optional: true }], [{ auth0Session: [] }, { auth0Bearer: [] }, {}]],
  ['either, then an access token', [either, bearer], [{ auth0Bearer: [] }]],
  ['either, twice', [either, { ...either, roles: 'admin' }], [{ auth0Session: [] }, { auth0Bearer: [] }]],
  ['what nobody can bring at once', [session, bearer], [{ auth0Session: [], auth0Bearer: [] }]],
  ['the scopes of two guards', [{ ...bearer, scopes: 'read' }, { ...bearer, scopes: ['read', 'write'] }], [{ auth0Bearer: ['read', 'write'] }]],
  ['an access token, with a scope unless it is the session that counts', [{ ...bearer, scopes: 'read' }, { ...either, optional: true }], [{ auth0Bearer: ['read'] }]],
  ['nobody, by two guards', [{ ...session, optional: true }, { ...session, optional: true }], [{ auth0Session: [] }, {}]],
  ['two instances', [session, { name: 'staff', via: ['session'] }], [{ auth0Session: [], staffSession: [] }]],
  ['an instance with a name that no component may have', [{ name: '$staff', via: ['session'] }], [{ _staffSession: [] }]]
]

for (const [name, guards, requirements] of cases) {
  t.test(`a route that takes ${name}`, async t => {
    t.same(securityRequirements(guards, true), requirements)
  })
}

t.test('before OpenAPI 3.1, scopes of an access token cannot be told', async t => {
  t.same(securityRequirements([{ ...either, scopes: { anyOf: ['read', 'write'] } }], false), [{ auth0Session: [] }, { auth0Bearer: [] }])
})
