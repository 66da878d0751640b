import { fromOptionOr, type Source } from './source.ts'

const MIN_LENGTH = 32 // characters
const MIN_DISTINCT = 5 // different characters; fewer are a pattern, not chance
/** What documentation and templates put where a secret goes. */
const SAMPLE = /change\W?(me|this|it)|replace\W?(me|this|it|with)|placeholder|your.?(own|long|secret|random)|long[\W_]*random|openssl|keyboard.?cat|minimum length|averylogphrase|^<.*>$|^\[.*\]$|^\$[{(]/i

/** The secrets that seal cookies: the first seals, all open. */
export function parseSecrets (source: Source): readonly string[] {
  const given: unknown = source.options.secret ?? source.environment.AUTH0_SECRET
  const remedy = `give 32 or more random characters, e.g. from "openssl rand -hex 32", ${fromOptionOr('AUTH0_SECRET', source)}`
  const named: Array<[string, unknown]> = Array.isArray(given) && given.length > 0
    ? Array.from(given, (secret, index) => [`secret[${index}]`, secret])
    : [['secret', Array.isArray(given) ? undefined : given]]
  for (const [name, secret] of named) {
    const problem = problemOf(secret)
    if (problem !== null) source.report(name, `${problem}: ${remedy}`)
  }
  return named.map(([, secret]) => secret as string)
}

/** @see RFC 8725 §3.5 (keys with too little entropy) */
function problemOf (secret: unknown): string | null {
  if (secret === undefined || secret === '') return 'is missing'
  if (typeof secret !== 'string') return 'must be a string'
  if (secret.length < MIN_LENGTH) return 'is too short'
  return isGuessable(secret) ? 'is a sample or a pattern that others can guess' : null
}

function isGuessable (secret: string): boolean {
  return SAMPLE.test(secret) || new Set(secret).size < MIN_DISTINCT
}
