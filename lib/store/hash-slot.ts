const SLOTS = 16_384
const POLYNOMIAL = 0x1021

/**
 * The slot of a key in a Redis Cluster: the CRC-16 (XMODEM) of the key, or of what its first braces hold.
 *
 * @see Redis Cluster Specification, "Key distribution model" and "Hash tags"
 */
export function hashSlot (key: string): number {
  const tag = /^[^{]*\{([^}]+)\}/.exec(key)
  let crc = 0
  for (const byte of Buffer.from(tag?.[1] ?? key)) crc = withByte(crc, byte)
  return crc % SLOTS
}

function withByte (crc: number, byte: number): number {
  let next = crc ^ (byte << 8)
  for (let bit = 0; bit < 8; bit++) next = next & 0x8000 ? (next << 1) ^ POLYNOMIAL : next << 1
  return next & 0xffff
}
