import { accessSync, constants } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'

/** Where distributions put it; the variable is for all others. */
const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable']

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run']

/** The browser of this machine, or `null`. It is never downloaded. */
export const chromiumPath: string | null = [process.env.CHROMIUM_PATH, ...CANDIDATES].find(isExecutable) ?? null

/** Says why browser tests are skipped. `false` with a browser, and in CI, where a missing one is to fail and not to be overlooked. */
export const skipWithoutChromium: string | false =
  chromiumPath === null && !process.env.CI ? 'no Chromium on this machine: install it, or name it in CHROMIUM_PATH' : false

export async function launchChromium (): Promise<Browser> {
  if (chromiumPath === null) throw new Error('Chromium is missing. Install it (Debian: apt-get install chromium), or name it in CHROMIUM_PATH')
  return chromium.launch({ executablePath: chromiumPath, args: ARGUMENTS })
}

function isExecutable (path: string | undefined): path is string {
  try {
    accessSync(path ?? '', constants.X_OK)
    return true
  } catch {
    return false
  }
}
