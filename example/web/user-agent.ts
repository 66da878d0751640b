/** What a person recognizes of a `User-Agent`. */
export interface Device {
  /** `Chrome 140 on Windows`. */
  name: string
  kind: 'handheld' | 'computer' | 'unknown'
}

type Pattern = readonly [name: string, pattern: RegExp]

/** From the particular to the general: nearly all say Safari, and most say Chrome. Those that hide behind that, as Brave does, are called Chrome. */
const BROWSERS: readonly Pattern[] = [
  ['Edge', /\bEdg(?:A|iOS)?\/(\d+)/],
  ['Opera', /\bOP[RT]\/(\d+)/],
  ['Samsung Internet', /\bSamsungBrowser\/(\d+)/],
  ['Firefox', /\b(?:Firefox|FxiOS)\/(\d+)/],
  ['Chrome', /(?:Chrome|CriOS)\/(\d+)/],
  ['Safari', /\bVersion\/(\d+).* Safari\//]
]

/** Without versions, which browsers make up. An iPad may say that it is a Mac. */
const SYSTEMS: readonly Pattern[] = [
  ['iPhone', /\biPhone\b/], ['iPad', /\biPad\b/], ['Android', /\bAndroid\b/], ['ChromeOS', /\bCrOS\b/],
  ['Windows', /\bWindows\b/], ['macOS', /\bMacintosh\b/], ['Linux', /\bLinux\b/]
]

const HANDHELD = new Set(['iPhone', 'iPad', 'Android'])

/** Says which browser it is, and on what, as far as it says so itself. */
export function deviceOf (userAgent: string | null): Device {
  const text = userAgent ?? ''
  const browser = firstOf(BROWSERS, text) ?? programIn(text) ?? 'Unknown browser'
  const system = firstOf(SYSTEMS, text)
  return {
    name: system === null ? browser : `${browser} on ${system}`,
    kind: system === null ? 'unknown' : HANDHELD.has(system) ? 'handheld' : 'computer'
  }
}

/** The name, and the version where the pattern finds one. */
function firstOf (patterns: readonly Pattern[], text: string): string | null {
  for (const [name, pattern] of patterns) {
    const match = pattern.exec(text)
    if (match !== null) return match[1] === undefined ? name : `${name} ${match[1]}`
  }
  return null
}

/** `curl` of `curl/8.14.1`. Browsers all begin with `Mozilla/`. */
function programIn (text: string): string | null {
  return /^(?!Mozilla)([\w.-]{1,32})\//.exec(text)?.[1] ?? null
}
