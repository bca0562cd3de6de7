// The built app in a real browser: one server and one browser a test file.
import { chromium } from 'playwright';
import type { Browser, Download, Page } from 'playwright';
import { preview } from 'vite';
import { BROWSER_FLAGS, findBrowser } from '../browser.mjs';

export type App = {
  readonly url: string;
  /** A fresh visitor: no cache, no storage. What the console says that is no information is collected. */
  readonly visit: (options?: {
    readonly before?: (page: Page) => Promise<unknown>;
    /** The fragment of the address. */
    readonly hash?: string;
    readonly width?: number;
    readonly height?: number;
  }) => Promise<{
    readonly page: Page;
    readonly complaints: string[];
  }>;
  readonly close: () => Promise<void>;
};

/** Serves dist under the name `host` and opens the browser with `flags`. */
export async function openApp(flags: readonly string[] = BROWSER_FLAGS, host = 'localhost'): Promise<App> {
  const server = await preview({
    preview: { port: 0, open: false, allowedHosts: [host] },
    logLevel: 'error',
  });
  const url = server.resolvedUrls?.local[0]?.replace('localhost', host);
  if (!url) throw new Error('Cannot serve dist: vite gave no address');
  const executablePath = findBrowser();
  const browser: Browser = await chromium.launch({
    args: [...flags],
    ...(executablePath ? { executablePath } : {}),
  });
  return {
    url,
    visit: async ({ before, hash = '', width = 1440, height = 900 } = {}) => {
      const context = await browser.newContext({ viewport: { width, height }, acceptDownloads: true });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(error.message));
      await before?.(page);
      await page.goto(url + hash);
      return { page, complaints };
    },
    close: async () => {
      await browser.close();
      await server.close();
    },
  };
}

export const status = (page: Page) => page.getByRole('status');

async function says(page: Page, pattern: RegExp): Promise<void> {
  await page.waitForFunction(
    (source) => new RegExp(source).test(document.querySelector('[role=status]')?.textContent ?? ''),
    pattern.source,
    { timeout: 120_000 },
  );
}

/** Waits until the run that was just asked for is done and timed. */
export const settled = (page: Page): Promise<void> => says(page, /^(Ready|Stopped)/);
/** Waits until its result is on the page, or a problem. Whatever is asked for next ends its timing. */
export const shown = (page: Page): Promise<void> => says(page, /^(Ready|Stopped|Timing warm)/);

/** Does `act`, waits until the page is busy with it, and until it is done. */
export async function after(page: Page, act: () => Promise<unknown>, done = settled): Promise<void> {
  // Set before the act, so that a run too short to be seen by polling is seen all the same.
  await page.evaluate(() => {
    const element = document.querySelector('[role=status]');
    if (!element) return;
    document.documentElement.dataset['busy'] = 'no';
    const observer = new MutationObserver(() => {
      // The timing of the run before may end meanwhile: that is not the act.
      if (/^(Ready|Stopped|Timing warm)/.test(element.textContent ?? '')) return;
      document.documentElement.dataset['busy'] = 'seen';
      observer.disconnect();
    });
    observer.observe(element, { childList: true, characterData: true, subtree: true });
  });
  await act();
  await page.waitForFunction(() => document.documentElement.dataset['busy'] === 'seen');
  await done(page);
}

/** The file that an entry of the export menu gives. */
export async function exported(page: Page, name: string): Promise<Download> {
  const menu = page.locator('details', { has: page.getByLabel('Export', { exact: true }) });
  if (!(await menu.evaluate((element) => element.hasAttribute('open'))))
    await menu.locator('summary').click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    menu.getByRole('button', { name }).click(),
  ]);
  return download;
}

let visits = 0;
/** Config and view as at first, by an empty link: a visit without the price of a browser, a device and its kernels. */
export const home = (page: Page): Promise<void> =>
  after(page, () => page.evaluate((n) => (location.hash = `v=1&visit=${n}`), ++visits), shown);
