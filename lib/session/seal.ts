import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, randomBytes, type KeyObject } from 'node:crypto'
import { LruMap } from 'toad-cache'

const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const DAY = 86_400 // seconds
const REMEMBERED_KEYS = 1000 // one per secret and day
const PROTECTED_HEADER = /^\{"alg":"dir","enc":"A256GCM","kid":"([\w-]{8})\.([1-9]\d*)"\}$/

/** How values become bytes, and these become values again. */
export interface Codec {
  encode (value: object): Buffer
  decode (bytes: Buffer): unknown
}

const json: Codec = {
  encode: value => Buffer.from(JSON.stringify(value)),
  decode: bytes => JSON.parse(bytes.toString())
}

/** Encrypts what a browser keeps for us: JWE compact serialization (RFC 7516 §7.1) with `dir` and `A256GCM`. */
export interface Seal {
  seal (value: object): string
  /** The value that was sealed; `null` when it was not sealed for this purpose with one of the secrets, or was changed. */
  open (sealed: string): unknown
}

/**
 * Derives the key of one secret, purpose and day by HKDF-SHA-256 (RFC 5869).
 *
 * A key per purpose, so that what was sealed for one never opens as another (RFC 8725 §3.12). A key per day, because random
 * IVs are safe for 2^32 seals with one key (NIST SP 800-38D §8.3): that leaves room for 49,000 a second.
 */
export function deriveKey (secret: string, purpose: string, day: number): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', `fastify-auth0 key\0${purpose}\0${day}`, 32)))
}

/** The protected header of the seals of one secret, purpose and day; its `kid` names the key and tells nothing of it. */
export function protectedHeader (secret: string, purpose: string, day: number): string {
  return Buffer.from(JSON.stringify({ alg: 'dir', enc: 'A256GCM', kid: `${secretName(secret, purpose)}.${day}` })).toString('base64url')
}

function secretName (secret: string, purpose: string): string {
  return Buffer.from(hkdfSync('sha256', secret, '', `fastify-auth0 key name\0${purpose}`, 6)).toString('base64url')
}

/**
 * Makes the seal of one purpose. The first secret seals, all open.
 *
 * @param lifetime seconds for which a sealed value is of use; older ones need not open
 * @param codec default: JSON
 */
export function createSeal (secrets: readonly string[], purpose: string, lifetime: number, codec: Codec = json): Seal {
  const keys = createKeyRing(secrets, purpose, lifetime)

  return {
    seal (value) {
      const { header, aad, key } = keys.ofToday()
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES })
      cipher.setAAD(aad)
      const text = Buffer.concat([cipher.update(codec.encode(value)), cipher.final()])
      return [header, '', iv.toString('base64url'), text.toString('base64url'), cipher.getAuthTag().toString('base64url')].join('.')
    },

    open (sealed) {
      const [header = '', encryptedKey, iv, text, tag, ...more] = sealed.split('.')
      if (encryptedKey !== '' || more.length > 0) return null
      const known = keys.find(header)
      if (known === null) return null
      const ivBytes = decode(iv)
      const textBytes = decode(text)
      const tagBytes = decode(tag)
      if (textBytes === null || ivBytes?.length !== IV_BYTES || tagBytes?.length !== TAG_BYTES) return null
      const decipher = createDecipheriv(ALGORITHM, known.key, ivBytes, { authTagLength: TAG_BYTES })
      decipher.setAAD(known.aad)
      decipher.setAuthTag(tagBytes)
      try {
        const bytes = decipher.update(textBytes)
        decipher.final() // throws; a stream cipher has given all of its text before
        return codec.decode(bytes)
      } catch {
        return null // sealed with another key, or changed on its way
      }
    }
  }
}

/** The key of one secret and day, and what its seals begin with. */
interface DayKey {
  day: number
  header: string
  /** The header again, as what GCM authenticates beside the text (RFC 7516 §5.1, step 14). */
  aad: Buffer
  key: KeyObject
}

/** The keys of one purpose: of every secret, for each day from which something may still be of use, derived when first met. */
function createKeyRing (secrets: readonly string[], purpose: string, lifetime: number) {
  const secretsByName = new Map(secrets.map(secret => [secretName(secret, purpose), secret]))
  const derived = new LruMap<DayKey>(REMEMBERED_KEYS)
  const days = Math.ceil(lifetime / DAY)
  let sealing = keyOf(secrets[0] as string, today())

  function keyOf (secret: string, day: number): DayKey {
    const header = protectedHeader(secret, purpose, day)
    return { day, header, aad: Buffer.from(header, 'latin1'), key: deriveKey(secret, purpose, day) }
  }

  /** Tomorrow's keys too: another host's clock may be ahead of ours. */
  function isOfUse (day: number): boolean {
    return day >= today() - days && day <= today() + 1
  }

  function derive (header: string) {
    const [, name = '', day = ''] = PROTECTED_HEADER.exec(decode(header)?.toString('latin1') ?? '') ?? []
    const secret = secretsByName.get(name)
    // Here too, so that nobody makes us derive keys for nothing.
    if (secret === undefined || !isOfUse(Number(day))) return null
    const made = keyOf(secret, Number(day))
    derived.set(made.header, made)
    return made
  }

  return {
    ofToday () {
      if (sealing.day !== today()) sealing = keyOf(secrets[0] as string, today())
      return sealing
    },

    find (header: string): DayKey | null {
      const known = header === sealing.header ? sealing : derived.get(header) ?? derive(header)
      return known !== null && isOfUse(known.day) ? known : null
    }
  }
}

/** Decodes base64url of one spelling only: Node would ignore foreign characters and spare bits (RFC 4648 §3.5). */
function decode (text: string | undefined): Buffer | null {
  if (text === undefined || !hasNoSpareBits(text) || text.includes('+') || text.includes('/')) return null
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length === Math.floor(text.length * 3 / 4) ? bytes : null // shorter, when a character was ignored
}

/** The last character may stand for bits that belong to no byte; they must be zero. */
function hasNoSpareBits (text: string): boolean {
  const last = text.at(-1) ?? ''
  switch (text.length % 4) {
    case 0: return true
    case 2: return 'AQgw'.includes(last)
    case 3: return 'AEIMQUYcgkosw048'.includes(last)
    default: return false
  }
}

function today (): number {
  return Math.floor(Date.now() / 1000 / DAY)
}
