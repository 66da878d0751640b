import { attackerCertificate, attackerKey } from './attacker.ts'

/** A certificate that nobody should trust, and its key, for servers of tests: `https: selfSigned()`. */
export function selfSigned (): { key: string, cert: string } {
  return {
    key: attackerKey().privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${attackerCertificate().toString('base64')}\n-----END CERTIFICATE-----\n`
  }
}
