const MAX_LEVELS = 32

/** Whether JSON from the network nests deeper than any claim does; what recurses into it could overflow the stack. */
export function isTooDeep (value: unknown, levels: number = MAX_LEVELS): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some(member => isTooDeep(member, levels - 1))
}
