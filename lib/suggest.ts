import { closestMatch } from 'leven'

const MAX_DISTANCE = 4 // characters to change

/** Says which name was meant by one that does not exist, or which there are. */
export function suggest (name: string, known: readonly string[]): string {
  const nearest = closestMatch(name, known, { maxDistance: MAX_DISTANCE })
  return nearest === undefined ? `Known are ${known.join(', ')}` : `Did you mean "${nearest}"?`
}
