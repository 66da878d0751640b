import { constants, createHmac, sign, type KeyObject } from 'node:crypto'
import { ATTACKER, attackerCertificate, attackerKey } from './attacker.ts'
import { changeDraft, encode, publicJwk, signDraft, signJwt, type Draft, type DraftChange, type Json } from './id-tokens.ts'

/** Makes a token out of the draft of an honest one. */
export type Forge = (draft: Draft) => string

const now = () => Math.floor(Date.now() / 1000)
const changed = (changes: (draft: Draft) => DraftChange): Forge => draft => signDraft(changeDraft(draft, changes(draft)))
const claims = (changes: Json): Forge => changed(() => ({ claims: changes }))
const header = (changes: Json): Forge => changed(() => ({ header: changes }))
const byAttacker = (changes: () => Json): Forge => changed(() => ({ header: changes(), key: attackerKey() }))
const split = (token: string) => token.split('.') as [header: string, payload: string, signature: string]
const broken = (alter: (signature: string) => string): Forge => draft => {
  const [head, payload, signature] = split(signDraft(draft))
  return `${head}.${payload}.${alter(signature)}`
}
const unsigned = (alg: string | undefined): Forge => draft => {
  const bare = changeDraft(draft, { header: { alg, kid: undefined } })
  return `${encode(bare.header)}.${encode(bare.claims)}.`
}
/** HS256 with something public as the secret, as a verifier that lets the token choose would compute it. */
const hs256 = (secret: (publicKey: KeyObject, draft: Draft) => string | Buffer): Forge => draft => {
  const input = `${encode({ ...draft.header, alg: 'HS256' })}.${encode(draft.claims)}`
  return `${input}.${createHmac('sha256', secret(draft.key.publicKey, draft)).update(input).digest('base64url')}`
}
const raw = (parts: (draft: Draft) => { header?: unknown, payload?: unknown }): Forge => draft =>
  signJwt({ header: draft.header, payload: draft.claims, key: draft.key, ...parts(draft) })
/** The object's JSON with one more member in front, whose name the object has already. */
const doubled = (object: Json, name: string, value: unknown): string =>
  `{${JSON.stringify(name)}:${JSON.stringify(value)},${JSON.stringify(object).slice(1)}`
const invalidUtf8 = (object: Json): Buffer =>
  Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xc3, 0x28]), Buffer.from(`",${JSON.stringify(object).slice(1)}`)])

/**
 * ID tokens that must be refused, by the line of the checklist that says so. All but those whose signature is the point
 * are signed with the provider's own key, so that nothing else refuses them. C13 needs a login with `max_age`, C14 one with
 * `acr_values`.
 */
export const forgeries = {
  C1: {
    'iss without its slash': changed(({ claims }) => ({ claims: { iss: String(claims.iss).replace(/\/$/, '') + (String(claims.iss).endsWith('/') ? '' : '/') } })),
    'iss in capitals': changed(({ claims }) => ({ claims: { iss: String(claims.iss).toUpperCase() } })),
    'iss over http': changed(({ claims }) => ({ claims: { iss: String(claims.iss).replace('https:', 'http:') } })),
    'iss of another': claims({ iss: `${ATTACKER}/` }),
    'iss missing': claims({ iss: undefined }),
    'iss in an array': changed(({ claims }) => ({ claims: { iss: [claims.iss] } }))
  },
  C2: {
    'aud of another': claims({ aud: 'another-client' }),
    'aud missing': claims({ aud: undefined }),
    'aud empty': claims({ aud: [] }),
    'aud array without us': claims({ aud: ['another-client', 'third-client'] }),
    'aud that begins like ours': changed(({ claims }) => ({ claims: { aud: `${String(claims.aud)}-2` } }))
  },
  C3: {
    'aud with a stranger': changed(({ claims }) => ({ claims: { aud: [claims.aud, 'another-client'] } })),
    'aud with a stranger, azp ours': changed(({ claims }) => ({ claims: { aud: [claims.aud, 'another-client'], azp: claims.aud } }))
  },
  C4: {
    'azp of another': claims({ azp: 'another-client' })
  },
  C5: {
    'alg none': unsigned('none'),
    'alg NONE': unsigned('NONE'),
    'alg nOnE': unsigned('nOnE'),
    'alg missing': unsigned(undefined),
    'alg none with a signature': header({ alg: 'none' }),
    'no signature': broken(() => ''),
    'two parts': draft => split(signDraft(draft)).slice(0, 2).join('.')
  },
  C6: {
    'HS256 with the public key as PEM': hs256(key => key.export({ type: 'spki', format: 'pem' })),
    'HS256 with the public key as trimmed PEM': hs256(key => key.export({ type: 'spki', format: 'pem' }).toString().trim()),
    'HS256 with the public key as PKCS #1 PEM': hs256(key => key.export({ type: 'pkcs1', format: 'pem' })),
    'HS256 with the public key as DER': hs256(key => key.export({ type: 'spki', format: 'der' })),
    'HS256 with the public key as JWK': hs256((_, draft) => JSON.stringify(publicJwk(draft.key))),
    'HS256 with an empty secret': hs256(() => '')
  },
  C7: {
    'HS256 with the client secret': hs256((_, draft) => draft.clientSecret),
    PS256: draft => {
      const input = `${encode({ ...draft.header, alg: 'PS256' })}.${encode(draft.claims)}`
      const key = { key: draft.key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
      return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
    },
    RS384: draft => {
      const input = `${encode({ ...draft.header, alg: 'RS384' })}.${encode(draft.claims)}`
      return `${input}.${sign('sha384', Buffer.from(input), draft.key.privateKey).toString('base64url')}`
    }
  },
  C8: {
    'a foreign key under our kid': byAttacker(() => ({})),
    'a signature cut short': broken(signature => signature.slice(0, -4)),
    'a signature of zeros': broken(signature => 'A'.repeat(signature.length)),
    'a signature of another token': draft => {
      const [head, payload] = split(signDraft(draft))
      return `${head}.${payload}.${split(signDraft(changeDraft(draft, { claims: { sub: 'another' } })))[2]}`
    },
    'claims changed after signing': draft => {
      const [head, , signature] = split(signDraft(draft))
      return `${head}.${encode({ ...draft.claims, name: 'Mallory' })}.${signature}`
    },
    'a signature in standard base64': broken(signature => Buffer.from(signature, 'base64url').toString('base64')),
    'a signature with padding': broken(signature => `${signature}==`),
    'a signature with a line break': broken(signature => `${signature.slice(0, 9)}\n${signature.slice(9)}`),
    'a dot at the end': draft => `${signDraft(draft)}.`,
    'a fourth part': draft => `${signDraft(draft)}.${encode('x')}`,
    'not a token': () => 'not a token'
  },
  C9: {
    'jku of the attacker': byAttacker(() => ({ jku: `${ATTACKER}/jwks.json`, kid: attackerKey().kid })),
    'x5u of the attacker': byAttacker(() => ({ x5u: `${ATTACKER}/chain.pem`, kid: undefined })),
    'jwk of the attacker': byAttacker(() => ({ jwk: publicJwk(attackerKey()), kid: undefined })),
    'x5c of the attacker': byAttacker(() => ({ x5c: [attackerCertificate().toString('base64')], kid: undefined }))
  },
  C10: {
    'kid unknown': header({ kid: 'unknown' }),
    'kid of a path': header({ kid: '../../etc/passwd' }),
    'kid of SQL': header({ kid: "' OR 1=1 --" }),
    'kid of 100 KB': header({ kid: 'k'.repeat(100_000) }),
    'kid that is a number': header({ kid: 42 }),
    'kid that is null': header({ kid: null }),
    'kid that is an object': header({ kid: { toString: 'x' } }),
    'kid __proto__': header({ kid: '__proto__' }),
    'kid constructor': header({ kid: 'constructor' })
  },
  C11: {
    'exp past': changed(() => ({ claims: { iat: now() - 3600, exp: now() - 60 } })),
    'exp missing': claims({ exp: undefined }),
    'exp as text': changed(() => ({ claims: { exp: String(now() + 3600) } })),
    'exp null': claims({ exp: null }),
    'exp negative': claims({ exp: -1 }),
    'exp beyond all times': claims({ exp: 1e20 }),
    'exp infinite': raw(({ claims }) => ({ payload: JSON.stringify({ ...claims, exp: 0 }).replace('"exp":0', '"exp":1e999') }))
  },
  C12: {
    'iat missing': claims({ iat: undefined }),
    'iat as text': changed(() => ({ claims: { iat: String(now()) } })),
    'iat a week ago': changed(() => ({ claims: { iat: now() - 7 * 86_400 } })),
    'iat to come': changed(() => ({ claims: { iat: now() + 600 } })),
    'nbf to come': changed(() => ({ claims: { nbf: now() + 600 } }))
  },
  C13: {
    'auth_time missing': claims({ auth_time: undefined }),
    'auth_time too old': changed(() => ({ claims: { auth_time: now() - 30 * 86_400 } })),
    'auth_time as text': changed(() => ({ claims: { auth_time: String(now()) } })),
    'auth_time null': claims({ auth_time: null })
  },
  C14: {
    'acr missing': claims({ acr: undefined }),
    'acr of less': claims({ acr: 'urn:example:less' })
  },
  C15: {
    'nonce missing': claims({ nonce: undefined }),
    'nonce of another': claims({ nonce: 'of-another-login' }),
    'nonce empty': claims({ nonce: '' }),
    'nonce in an array': changed(({ claims }) => ({ claims: { nonce: [claims.nonce] } }))
  },
  C16: {
    'sub missing': claims({ sub: undefined }),
    'sub empty': claims({ sub: '' }),
    'sub of 256 characters': claims({ sub: 's'.repeat(256) }),
    'sub that is a number': claims({ sub: 7 })
  },
  C17: {
    'at_hash of another token': claims({ at_hash: encode(Buffer.alloc(16)) })
  },
  C18: {
    'crit with an unknown member': header({ crit: ['exam'], exam: true }),
    'crit empty': header({ crit: [] }),
    'b64 false': header({ b64: false, crit: ['b64'] })
  },
  C19: {
    'typ at+jwt': header({ typ: 'at+jwt' }),
    'typ application/at+jwt': header({ typ: 'application/at+jwt' }),
    'typ AT+JWT': header({ typ: 'AT+JWT' }),
    'typ logout+jwt': header({ typ: 'logout+jwt' }),
    'a logout token': changed(() => ({
      header: { typ: 'logout+jwt' },
      claims: { nonce: undefined, jti: 'logout-1', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }
    }))
  },
  C20: {
    'a JWE': () => [encode({ alg: 'dir', enc: 'A256GCM' }), '', encode(Buffer.alloc(12)), encode(Buffer.alloc(400)), encode(Buffer.alloc(16))].join('.'),
    'a JWE of endless work': () => [
      encode({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2s: encode(Buffer.alloc(16)), p2c: 2_000_000_000 }),
      encode(Buffer.alloc(24)), encode(Buffer.alloc(12)), encode(Buffer.alloc(400)), encode(Buffer.alloc(16))
    ].join('.')
  },
  C23: {
    'sub twice': raw(({ claims }) => ({ payload: doubled(claims, 'sub', 'mallory') })),
    'alg twice': raw(({ header }) => ({ header: doubled(header, 'alg', 'none') })),
    'claims of invalid UTF-8': raw(({ claims }) => ({ payload: invalidUtf8(claims) })),
    'a header of invalid UTF-8': raw(({ header }) => ({ header: invalidUtf8(header) })),
    'claims in an array': raw(({ claims }) => ({ payload: [claims] })),
    'claims null': raw(() => ({ payload: 'null' })),
    'claims that are no JSON': raw(() => ({ payload: '{"sub":' })),
    'a header that is no JSON': raw(() => ({ header: '{"alg":"RS256"' }))
  }
} satisfies Record<string, Record<string, Forge>>

type Forgeries = typeof forgeries

/** A forgery's name, such as `alg none`. */
export type ForgeryName = { [Id in keyof Forgeries]: keyof Forgeries[Id] }[keyof Forgeries]

/** A forged token: by name, as changes that are then signed honestly, or as a function that makes it. */
export type Forgery = ForgeryName | DraftChange | Forge

/** Unusual but right: ID tokens that must be accepted (`kid` may be left out while one key fits: C22). */
export const oddities = {
  'no kid': header({ kid: undefined }),
  'no typ': header({ typ: undefined }),
  'aud as an array': changed(({ claims }) => ({ claims: { aud: [claims.aud] } })),
  'azp ours': changed(({ claims }) => ({ claims: { azp: claims.aud } })),
  'no at_hash': claims({ at_hash: undefined }),
  'exp past, within the tolerance': changed(() => ({ claims: { exp: now() - 10 } })),
  'iat to come, within the tolerance': changed(() => ({ claims: { iat: now() + 10 } })),
  'unknown header members': header({ jku: `${ATTACKER}/jwks.json`, cty: 'x' }),
  'text of all scripts': claims({ name: 'Zoë 𝒪 李 "<b>" \u2028' }),
  'sub of 255 characters': claims({ sub: 's'.repeat(255) })
} satisfies Record<string, Forge>

/** The function that makes this forgery. */
export function forgeFor (forgery: Forgery): Forge {
  if (typeof forgery === 'function') return forgery
  if (typeof forgery === 'object') return changed(() => forgery)
  const byName: Record<string, Forge> = Object.assign({}, ...Object.values(forgeries))
  return byName[forgery]!
}
