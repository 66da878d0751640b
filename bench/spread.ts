/** The middle of many measurements of one thing, and the quartiles round it: half of them lie between `low` and `high`. */
export interface Spread {
  low: number
  median: number
  high: number
}

export function spreadOf (values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const quantile = (part: number) => sorted[Math.round((sorted.length - 1) * part)] as number
  return { low: quantile(0.25), median: quantile(0.5), high: quantile(0.75) }
}

/** Of what is the same however often it is measured. */
export function exactly (value: number): Spread {
  return { low: value, median: value, high: value }
}
