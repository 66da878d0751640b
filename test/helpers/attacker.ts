import { certificate } from './certificates.ts'
import { rsaKey } from './id-tokens.ts'

/** The host whose keys and endpoints an attacker controls; the provider in memory answers for it, and counts the calls. */
export const ATTACKER = 'https://attacker.example'

/** The attacker's own key. */
export const attackerKey = () => rsaKey('attacker')

/** A certificate that the attacker made out for that key, as DER. */
export const attackerCertificate = (): Buffer => certificate({ name: 'attacker.example', key: attackerKey() })
