import { randomBytes, sign, type KeyObject } from 'node:crypto'
import { rsaKey } from './id-tokens.ts'

/** What a certificate says (RFC 5280 §4.1). */
export interface CertificateOptions {
  /** The common name of its subject. */
  name?: string
  /** RSA. Default: the client's. */
  key?: { privateKey: KeyObject, publicKey: KeyObject }
  /** Who signs it. Default: itself. */
  issuer?: Required<Pick<CertificateOptions, 'name' | 'key'>>
  /** Whether it may sign others. */
  isAuthority?: boolean
  /** Times as `YYMMDDhhmmssZ`. */
  from?: string
  to?: string
}

const TAGS = { boolean: 0x01, integer: 0x02, bits: 0x03, bytes: 0x04, text: 0x0c, time: 0x17, sequence: 0x30, set: 0x31, version: 0xa0, extensions: 0xa3 }
const SHA256_WITH_RSA = der('sequence', Buffer.from('06092a864886f70d01010b0500', 'hex'))
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex')
const COMMON_NAME = Buffer.from('0603550403', 'hex')

function der (tag: keyof typeof TAGS, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const size = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([TAGS[tag], ...size]), body])
}

/** A certificate as DER. Node makes none, and `openssl` is not on every machine. */
export function certificate ({ name = 'client', key = rsaKey('client'), issuer = { name, key }, isAuthority = false, from = '200101000000Z', to = '491231235959Z' }: CertificateOptions = {}): Buffer {
  const inDer = (commonName: string) => der('sequence', der('set', der('sequence', COMMON_NAME, der('text', Buffer.from(commonName)))))
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(15)])
  const validity = der('sequence', der('time', Buffer.from(from)), der('time', Buffer.from(to)))
  const spki = key.publicKey.export({ type: 'spki', format: 'der' })
  const constraints = der('sequence', BASIC_CONSTRAINTS, der('bytes', der('sequence', ...isAuthority ? [der('boolean', Buffer.from([0xff]))] : [])))
  const body = der(
    'sequence', der('version', der('integer', Buffer.from([2]))), der('integer', serial), SHA256_WITH_RSA,
    inDer(issuer.name), validity, inDer(name), spki, der('extensions', der('sequence', constraints))
  )
  return der('sequence', body, SHA256_WITH_RSA, der('bits', Buffer.from([0]), sign('sha256', body, issuer.key.privateKey)))
}

export function certificateAsPem (bytes: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

/** A certificate and its key, as PEM. */
export function clientCertificate (options: CertificateOptions = {}): { cert: string, key: string } {
  const { privateKey } = options.key ?? rsaKey('client')
  return { cert: certificateAsPem(certificate(options)), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}
