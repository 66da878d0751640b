/** The claim that says who is an admin. Auth0 drops custom claims whose names are not URLs of one's own. */
export const ROLES_CLAIM = 'https://example.com/roles'

const GROUPS_CLAIM = 'https://example.com/groups'

/** Somebody to be, instead of somebody with a password. */
export interface Person {
  id: string
  name: string
  about: string
  email: string
  roles: string[]
  groups: string[]
}

/** Some directories list every group a person is in: this is how sessions outgrow a cookie. */
const manyGroups = Array.from({ length: 96 }, (_, index) => `cn=project-${index},ou=workshop,dc=northlight,dc=example,dc=com`)

/** The people of the local tenant: one for each thing that an application has to get right. */
export const people: Person[] = [
  { id: 'amara', name: 'Amara Okoye', about: 'Admin', email: 'amara@example.com', roles: ['admin'], groups: [] },
  { id: 'ben', name: 'Ben Lindqvist', about: 'No role', email: 'ben@example.com', roles: [], groups: [] },
  { id: 'carla', name: 'Carla Montoya', about: '6 KB of claims', email: 'carla@example.com', roles: ['editor'], groups: manyGroups }
]

/** Finds a person by the `sub` of their tokens. */
export function findPerson (sub: string): Person | null {
  return people.find(person => subject(person) === sub) ?? null
}

/** Says the person's `sub`, in the form of an Auth0 database connection. */
export function subject (person: Person): string {
  return `auth0|${person.id}`
}

/** Says everything the tenant knows about a person, as claims of an ID token. */
export function claims (person: Person, issuer: string): { sub: string, [name: string]: unknown } {
  const [givenName, familyName] = person.name.split(' ')
  return {
    sub: subject(person),
    name: person.name,
    given_name: givenName,
    family_name: familyName,
    nickname: person.id,
    picture: new URL(`people/${person.id}.svg`, issuer).href,
    updated_at: '2025-01-31T09:30:00.000Z',
    email: person.email,
    email_verified: true,
    [ROLES_CLAIM]: person.roles,
    ...(person.groups.length > 0 && { [GROUPS_CLAIM]: person.groups })
  }
}

/** Names the claims that come with each scope. Custom claims need none: an Auth0 Action adds them to every login. */
export const claimsByScope = {
  openid: ['sub', ROLES_CLAIM, GROUPS_CLAIM],
  profile: ['name', 'given_name', 'family_name', 'nickname', 'picture', 'updated_at'],
  email: ['email', 'email_verified']
}
