import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto'

const key = createSecretKey(Buffer.alloc(32, 'the same in every process'))
const IV_BYTES = 12
const TAG_BYTES = 16

/** The least that an encrypted cookie can be: base64url of nonce, tag and AES-256-GCM of the JSON. */
export function seal (value: object): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const text = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url')
}

/** Opens what `seal` made, or throws. */
export function open<T> (sealed: string): T {
  const bytes = Buffer.from(sealed, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
  return JSON.parse(decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8'))
}
