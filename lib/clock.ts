/** This moment, in seconds since the epoch. */
export function now (): number {
  return Math.floor(Date.now() / 1000)
}
