import { spawnSync } from 'node:child_process';
import { type Browser, chromium, type Page } from 'playwright-core';
import { describe } from 'vitest';

const CHROMIUM = '/usr/bin/chromium';

/**
 * Vitest's `describe` for suites that drive a real browser. Without chromium they are skipped with a warning; under
 * `CI=true` they fail.
 */
export function describeWithChromium(name: string, suite: () => void): void {
  const present = spawnSync(CHROMIUM, ['--version']).status === 0;
  const skipped = !present && process.env.CI !== 'true';
  if (skipped) console.warn(`SKIPPED, for want of ${CHROMIUM}: ${name}`);
  describe.skipIf(skipped)(name, suite);
}

export function startBrowser(): Promise<Browser> {
  // Its sandbox does not start for root, the user of our containers. The browser opens only our own page.
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
}

interface Look {
  readonly scheme?: 'light' | 'dark';
  readonly width?: number;
  readonly height?: number;
}

/** The console in a browser, with everything that the browser complained about. */
export class ConsolePage {
  private constructor(
    readonly page: Page,
    /** Messages of the browser's console, script errors, dialogs, and violations of the policy. */
    readonly complaints: string[],
  ) {}

  static async open(browser: Browser, httpUrl: string, look: Look = {}): Promise<ConsolePage> {
    const { scheme = 'light', width = 1280, height = 900 } = look;
    const page = await browser.newPage({ colorScheme: scheme, viewport: { width, height } });
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => complaints.push(`script: ${error.message}`));
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`the policy forbids ${event.blockedURI} by ${event.violatedDirective}`),
      );
    });
    await page.goto(`${httpUrl}/`);
    await page.locator('#main').waitFor({ state: 'visible' });
    return new ConsolePage(page, complaints);
  }

  /** The texts of a table's rows, cell by cell. */
  rows(id: string): Promise<string[][]> {
    return this.page
      .locator(`#${id} tbody tr`)
      .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent ?? '')));
  }

  text(selector: string): Promise<string> {
    return this.page.locator(selector).innerText();
  }

  close(): Promise<void> {
    return this.page.close();
  }
}
