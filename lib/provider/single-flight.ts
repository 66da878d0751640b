/** Calls share one run: whoever comes while it is under way gets its result. */
export function singleFlight<T> (run: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | null = null
  return () => {
    underWay ??= run().finally(() => { underWay = null })
    return underWay
  }
}
