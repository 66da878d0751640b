import { readdirSync } from 'node:fs'

const files = readdirSync(new URL('../lib', import.meta.url), { recursive: true }).filter(name => name.endsWith('.ts')).map(name => `lib/${name}`)

/** Every test counts for all of lib, and for nothing else: examples and helpers are not what is measured. */
export default () => files
