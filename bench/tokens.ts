import { generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto'
import { person } from './people.ts'
import { CLIENT_ID, ISSUER } from './tenant.ts'

/** The API that the tokens are for. */
export const AUDIENCE = 'https://api.example.com'
const DAY = 86_400 // seconds

/** What the callers of a run send. */
export interface AccessTokens {
  /** One for each person. */
  lately: string[]
  /** Many more, of the same people in turn, each to be sent once. */
  unseen: string[]
}

/** Makes access tokens as an Auth0 tenant does; the processes of the candidates find their key in the environment. */
export function makeAccessTokens (people: number, unseenCount: number): AccessTokens {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = randomBytes(16).toString('base64url')
  process.env.BENCH_JWKS = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }] })

  function token (number: number): string {
    const { name, sub } = person(number)
    const issuedAt = Math.floor(Date.now() / 1000)
    const claims = {
      iss: ISSUER, sub, aud: [AUDIENCE, `${ISSUER}userinfo`], azp: CLIENT_ID, iat: issuedAt, exp: issuedAt + DAY, jti: randomUUID(), scope: 'openid profile email', permissions: ['read:messages', 'write:messages'], 'https://example.com/name': name
    }
    const payload = `${encode({ alg: 'RS256', typ: 'JWT', kid })}.${encode(claims)}`
    return `${payload}.${sign('sha256', Buffer.from(payload), privateKey).toString('base64url')}`
  }

  return {
    lately: Array.from({ length: people }, (_, number) => token(number)),
    unseen: Array.from({ length: unseenCount }, (_, count) => token(count % people))
  }
}

/** In the process of a candidate: the keys that the tokens are signed with. */
export function publishedKeys (): { keys: Array<Record<string, string>> } {
  return JSON.parse(process.env.BENCH_JWKS as string)
}

function encode (value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
