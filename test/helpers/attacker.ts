import { sign } from 'node:crypto'
import { rsaKey } from './id-tokens.ts'

/** The host whose keys and endpoints an attacker controls; the provider in memory answers for it, and counts the calls. */
export const ATTACKER = 'https://attacker.example'

/** The attacker's own key. */
export const attackerKey = () => rsaKey('attacker')

const TAGS = { integer: 0x02, bits: 0x03, text: 0x0c, time: 0x17, sequence: 0x30, set: 0x31, version: 0xa0 }

function der (tag: keyof typeof TAGS, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const size = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([TAGS[tag], ...size]), body])
}

/** A certificate that the attacker made out for that key, as DER. */
export function attackerCertificate (): Buffer {
  const { publicKey, privateKey } = attackerKey()
  const sha256WithRsa = der('sequence', Buffer.from('06092a864886f70d01010b0500', 'hex'))
  const name = der('sequence', der('set', der('sequence', Buffer.from('0603550403', 'hex'), der('text', Buffer.from('attacker.example')))))
  const validity = der('sequence', der('time', Buffer.from('200101000000Z')), der('time', Buffer.from('491231235959Z')))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const body = der('sequence', der('version', der('integer', Buffer.from([2]))), der('integer', Buffer.from([1])), sha256WithRsa, name, validity, name, spki)
  return der('sequence', body, sha256WithRsa, der('bits', Buffer.from([0]), sign('sha256', body, privateKey)))
}
