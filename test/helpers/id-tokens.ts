import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'

/** A JSON object; in a change to one, `undefined` removes the member. */
export type Json = Record<string, unknown>

/** A key that a provider signs with. */
export interface SigningKey {
  kid: string
  privateKey: KeyObject
  publicKey: KeyObject
}

/** A token before it is signed: what an honest provider would put into it, for a forger to change. */
export interface Draft {
  header: Json
  claims: Json
  key: SigningKey
  clientSecret: string
}

/** Who signs a token, and whom it is for or speaks of. */
export interface TokenParties {
  issuer: string
  clientId: string
  clientSecret: string
  key: SigningKey
  user: Json
}

/** Changes to a draft, which is then signed as usual. */
export interface DraftChange {
  header?: Json
  claims?: Json
  key?: SigningKey
}

const made = new Map<string, SigningKey>()

/** The RSA key of this name, made once per process: making one takes a tenth of a second. */
export function rsaKey (kid: string): SigningKey {
  let key = made.get(kid)
  if (key === undefined) {
    key = { kid, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }
    made.set(kid, key)
  }
  return key
}

/** The key as it stands in a JWKS, with members changed, or removed by `undefined`. */
export function publicJwk (key: SigningKey, changes: Json = {}): Json {
  return change({ ...key.publicKey.export({ format: 'jwk' }), kid: key.kid, alg: 'RS256', use: 'sig' }, changes)
}

/** A copy with members changed, or removed by `undefined`. */
export function change (object: Json, changes: Json): Json {
  return Object.fromEntries(Object.entries({ ...object, ...changes }).filter(([, value]) => value !== undefined))
}

/** A draft with header, claims or key changed. */
export function changeDraft (draft: Draft, changes: DraftChange): Draft {
  return {
    ...draft,
    header: change(draft.header, changes.header ?? {}),
    claims: change(draft.claims, changes.claims ?? {}),
    key: changes.key ?? draft.key
  }
}

/** Base64url of a value's JSON; of text and bytes, as they are. */
export function encode (value: unknown): string {
  const raw = typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)
  return Buffer.from(raw as string).toString('base64url')
}

/** An RS256 signature over header and payload, whatever the header says. */
export function signJwt ({ header, payload, key }: { header: unknown, payload: unknown, key: SigningKey }): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`
}

/** The token an honest provider makes of the draft. */
export const signDraft = ({ header, claims, key }: Draft): string => signJwt({ header, payload: claims, key })

/** `at_hash` of an access token, for RS256 (OpenID Connect Core 1.0 §3.1.3.6). */
export function halfHash (token: string): string {
  return createHash('sha256').update(token).digest().subarray(0, 16).toString('base64url')
}
