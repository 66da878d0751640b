import { X509Certificate, type KeyObject } from 'node:crypto'
import type { ClientCertificateOptions, Config } from '../options.ts'
import { readPrivateKey } from './client-key.ts'
import type { Report } from './source.ts'
import { parseObject } from './values.ts'

/** What a client shows in the TLS handshake; else a problem and `null`. */
export function parseClientCertificate (given: ClientCertificateOptions, report: Report): Config['clientCertificate'] {
  const options = parseObject('clientCertificate', given, report)
  if (options !== given) return null
  const { cert, key, ca } = options
  const certificate = readCertificate('clientCertificate.cert', cert, report)
  const privateKey = readPrivateKey('clientCertificate.key', toText(key), report)
  if (certificate === null || privateKey === null) return null
  verifyUsable(certificate, privateKey, report)
  return {
    cert: String(toText(cert)), // whole: with those between it and its root
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ...ca !== undefined && { ca: parseRoots(ca, report) }
  }
}

function verifyUsable (certificate: X509Certificate, privateKey: KeyObject, report: Report): void {
  const { validFrom, validTo } = certificate
  if (!certificate.checkPrivateKey(privateKey)) report('clientCertificate.key', 'is not the key of the certificate: give the two that were made together, its own certificate first')
  if (Date.parse(validTo) <= Date.now()) report('clientCertificate.cert', `expired on ${validTo}: renew it`)
  if (Date.parse(validFrom) > Date.now()) report('clientCertificate.cert', `is not valid before ${validFrom}: see whether the clock of this machine is right`)
}

function parseRoots (given: unknown, report: Report): string[] {
  const roots: unknown[] = [given].flat()
  if (roots.length === 0) report('clientCertificate.ca', 'must be a certificate as PEM text, or a list of them')
  roots.forEach((root, index) => readCertificate(Array.isArray(given) ? `clientCertificate.ca[${index}]` : 'clientCertificate.ca', root, report))
  return roots.map(root => String(toText(root)))
}

function readCertificate (name: string, given: unknown, report: Report): X509Certificate | null {
  try {
    return new X509Certificate(toText(given) as string)
  } catch {
    report(name, 'must be a certificate as PEM text, which begins with "-----BEGIN CERTIFICATE-----"')
    return null
  }
}

/** Files are read as bytes. */
function toText (pem: unknown): unknown {
  return pem instanceof Uint8Array ? Buffer.from(pem).toString() : pem
}
