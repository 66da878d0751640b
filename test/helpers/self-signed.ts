import { attackerKey } from './attacker.ts'
import { clientCertificate } from './certificates.ts'

/** A certificate that nobody should trust, and its key, for servers of tests: `https: selfSigned()`. */
export function selfSigned (): { key: string, cert: string } {
  return clientCertificate({ name: 'attacker.example', key: attackerKey() })
}
