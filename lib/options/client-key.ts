import { createPrivateKey, createPublicKey, KeyObject, sign, verify, type JsonWebKeyInput } from 'node:crypto'
import type { ClientKey } from '../provider/client-key.ts'
import type { Report } from './source.ts'

const MIN_RSA = 2048 // bits (RFC 7518 §3.3)

/** What each kind of key can sign; the first is what it signs unless it is told otherwise. */
const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  rsa: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  'ec prime256v1': ['ES256'],
  'ec secp384r1': ['ES384'],
  'ec secp521r1': ['ES512'],
  ed25519: ['EdDSA', 'Ed25519']
}
const WANTED = 'must be a private key: PEM text, a JWK, or a KeyObject'
const KINDS = 'must be a private key of RSA, EC (P-256, P-384, P-521) or Ed25519'

/** What is given, with what stands beside the key; a JWK brings its own. */
type Given = Record<string, unknown> & { key: unknown }

/** The key that a client signs with; else a problem and `null`. */
export function parseClientKey (name: string, value: unknown, report: Report): ClientKey | null {
  const given = takeApart(value)
  const privateKey = readPrivateKey(name, given.key, report)
  if (privateKey === null) return null
  const algorithms = ALGORITHMS[kindOf(privateKey)]
  const modulusLength = privateKey.asymmetricKeyDetails?.modulusLength ?? MIN_RSA
  if (algorithms === undefined) report(name, KINDS)
  else if (modulusLength < MIN_RSA) report(name, `must have ${MIN_RSA} bits or more: a shorter RSA key can be broken (RFC 7518 §3.3)`)
  else if (given.alg !== undefined && !algorithms.includes(given.alg as string)) report(name, `cannot sign what its "alg" says: this key signs ${algorithms.join(', ')}`)
  else if (!isWhole(privateKey)) report(name, 'has parts of two keys: take it once more from where it was made')
  return { privateKey, algorithm: String(given.alg ?? algorithms?.[0]), names: parseNames(name, given, report) }
}

/** A private key, in whatever form; else a problem and `null`. */
export function readPrivateKey (name: string, key: unknown, report: Report): KeyObject | null {
  const problem = problemOf(key)
  if (problem === null) return toPrivateKey(key)
  report(name, problem)
  return null
}

function takeApart (given: unknown): Given {
  const value = fromJson(given)
  if (typeof value !== 'object' || value === null || value instanceof KeyObject) return { key: value }
  if (!('key' in value)) return { ...value, key: value }
  return { ...takeApart(value.key), ...Object.fromEntries(Object.entries(value).filter(([name, member]) => member !== undefined && name !== 'key')) }
}

/** A JWK may come as text, too: variables of the environment know nothing else. */
function fromJson (value: unknown): unknown {
  if (typeof value !== 'string' || !value.trimStart().startsWith('{')) return value
  try {
    return JSON.parse(value)
  } catch {
    return null
  }
}

function problemOf (key: unknown): string | null {
  if (key instanceof KeyObject) return key.type === 'private' ? null : `is a ${key.type} key: give the private one`
  if (typeof key === 'string' && key.includes('ENCRYPTED')) return 'is encrypted: decrypt it, e.g. by "openssl pkcs8 -in key.pem -out plain.pem"'
  if (succeeds(() => toPrivateKey(key))) return null
  return succeeds(() => createPublicKey(toInput(key))) ? 'is a public key or a certificate: give the private key that belongs to it' : WANTED
}

function toPrivateKey (key: unknown): KeyObject {
  return key instanceof KeyObject ? key : createPrivateKey(toInput(key))
}

/** In variables of the environment ends of lines are often written as `\n`. */
function toInput (key: unknown): JsonWebKeyInput | string {
  return typeof key === 'string' ? key.replaceAll('\\n', '\n') : { key: key as JsonWebKeyInput['key'], format: 'jwk' }
}

function succeeds (run: () => unknown): boolean {
  try {
    run()
    return true
  } catch {
    return false
  }
}

function kindOf ({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  return [asymmetricKeyType, asymmetricKeyDetails?.namedCurve].filter(part => part !== undefined).join(' ')
}

/** Whether what it signs verifies: a JWK that was put together by hand may have the halves of two. */
function isWhole (privateKey: KeyObject): boolean {
  const [hash, text] = [privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256', Buffer.from('trial')]
  return succeeds(() => sign(hash, text, privateKey)) && verify(hash, text, createPublicKey(privateKey), sign(hash, text, privateKey))
}

function parseNames (name: string, given: Given, report: Report): ClientKey['names'] {
  const names = Object.entries(given).filter(([member, value]) => ['kid', 'x5t#S256'].includes(member) && value !== undefined)
  for (const [member, value] of names) if (typeof value !== 'string' || value === '') report(name, `has a "${member}" that is no text`)
  return Object.fromEntries(names)
}
