/** Ways to name the host of an attacker. */
const hosts = [
  'evil.example', 'EVIL.EXAMPLE', 'evil.example:443', 'evil。example', '%65vil.example', 'ⓔⓥⓘⓛ.example', '6.6.6.6', '0x6060606', '101058054',
  '[::ffff:6.6.6.6]', 'app.example.com.evil.example', 'app.example.com@evil.example', 'app.example.com:443@evil.example', 'evil.example#@app.example.com',
  'evil.example?@app.example.com', 'evil.example/app.example.com', 'evil.example\\@app.example.com', 'evil.example%2f@app.example.com', 'xn--vil-fma.example'
]

/** Ways to make a browser, a proxy or a sloppy check take what follows for a host; the host takes the place of `@`. */
const shapes = [
  // slashes and what parsers take for them
  '//@', '///@', '////@', '/\\@', '\\/@', '\\\\@', '\\/\\/@', '/\\/@', '//\\@', '/ /@', ' //@', '／／@', '/／@', '〳@', '//@/..', '//@/%2e%2e', '//@//',
  // what a parser drops, or another takes for the end
  '/\t/@', '/\n/@', '/\r/@', '/\r\n/@', '\t//@', '\n//@', '\u0000//@', '\u0001//@', '\u00a0//@', '\u2028//@', '\u200b//@', '/\u0000/@', '//\u0000@', '//@\u0000', '\ufeff//@',
  // paths that a parser shortens to two slashes
  '/.//@', '/..//@', '/%2e//@', '/././/@', '/x/..//@', '/x/../..//@', '/%2e%2e//@', '/.%2e//@', './/@', '..//@', './/..//@', '/;//@', '/;@', '//;@', ';//@', ';@',
  // schemes
  'https://@', 'http://@', 'HTTPS://@', 'https:@', 'http:@', 'https:/@', 'http:/@', 'https:///@', 'https:\\\\@', 'https:/\\@', 'https:\t//@', 'ht\ntps://@', 'https\t://@', ' https://@', 'ftp://@',
  'ws://@', 'wss://@', 'file://@', 'blob:https://@/', 'filesystem:https://@/', 'view-source:https://@', 'intent://@', 'unknown://@', '://@', ':@', ':80//@', 'https::@',
  'javascript:alert(1)//@', 'JavaScript:alert(1)//@', 'java\tscript:alert(1)//@', '\u0001javascript:alert(1)//@', 'javascript://@/%0aalert(1)', 'data:text/html,<script>alert(1)</script>@', 'vbscript:@',
  // users, ports and neighbours of our own host
  'https://app.example.com@@', 'https://app.example.com:pass@@', '//app.example.com@@', 'https://app.example.com:@', 'https://app.example.com.@', 'https://app.example.com\\@', 'https://app.example.com%2f@@',
  'https://app.example.com%00@', '//app.example.com\\@', 'https://app.example.com;@', 'https:app.example.com@@', 'https://app.example.com\t@',
  // headers of one's own
  '/\r\nLocation: https://@', '/%0d%0aLocation:%20https://@', '/\nSet-Cookie: a=@', '/\u010d\u010aLocation: https://@', '/x\u0085@', '/\u0000\r\n\r\n<a href=https://@>'
]

/** Known tricks to lead a redirect astray (RFC 9700 §4.11.1), as they are. */
export const redirectPayloads: readonly string[] = [...new Set(shapes.flatMap(shape => hosts.map(host => shape.replace(/@$|@(?=[^@]*$)/, () => host))))]

/** The same, as somebody might write them who knows that they are decoded on the way: once more, and twice. */
export const encodedPayloads: readonly string[] = redirectPayloads.flatMap(payload => [encodeURIComponent(payload), encodeURIComponent(encodeURIComponent(payload))])

/**
 * What a browser makes of our `Location` (WHATWG URL, Fetch §4.4): throws unless it leads to one of the origins, and unless every other
 * parser must think so, too.
 */
export function assertStaysAt (origins: readonly string[], location: string, from: string): void {
  const url = new URL(location, from)
  const isPlainPath = location.startsWith('/') && !/^\/[/\\]/.test(location)
  const isPlainUrl = origins.some(origin => location === origin || location.startsWith(`${origin}/`))
  if (!origins.includes(url.origin) || !/^https?:$/.test(url.protocol) || url.username + url.password !== '') throw new Error(`${JSON.stringify(location)} leads to ${url.href}`)
  if (!(isPlainPath || isPlainUrl) || !/^[!-~]+$/.test(location) || location.includes('\\')) throw new Error(`${JSON.stringify(location)} may be read in several ways`)
}
