import { createHash } from 'node:crypto'

/** The claims that an Auth0 tenant asserts of a person, for `openid profile email` and a namespaced claim set by an Action. */
export function person (number: number) {
  const id = createHash('sha256').update(`person ${number}`).digest('hex')
  const nickname = `person.${fiveDigits(number)}`
  return {
    'https://example.com/roles': ['editor', 'reader'],
    given_name: 'Person',
    family_name: fiveDigits(number),
    nickname,
    name: nameOf(number),
    picture: `https://s.gravatar.com/avatar/${id}?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fpe.png`,
    updated_at: '2026-01-15T09:30:00.000Z',
    email: `${nickname}@example.com`,
    email_verified: true,
    sub: `auth0|${id.slice(0, 24)}`,
    sid: id.slice(24, 56)
  }
}

/** Everybody's name has the same length, so that all answers of all candidates have. */
export function nameOf (number: number): string {
  return `Person ${fiveDigits(number)}`
}

function fiveDigits (number: number): string {
  return String(number).padStart(5, '0')
}
