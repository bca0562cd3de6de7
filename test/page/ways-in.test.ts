// Ways into the built page: a link, the keyboard, the tour.
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { FIRST_NORM, NORM_IDS, normSpec, STORY_NORM } from '../../src/norm/registry.ts';
import { SECTIONS } from '../../src/store/store.ts';
import { after, exported, home, openApp, settled, shown } from './app.ts';
import type { App } from './app.ts';

let app: App;
let page: Page;
let complaints: string[];
beforeAll(async () => {
  app = await openApp();
  ({ page, complaints } = await app.visit());
  await settled(page);
});
afterAll(() => app.close());
beforeEach(() => home(page));

it('holds the experiment, follows it, and opens as it was', async () => {
  await expect.poll(() => new URL(page.url()).hash).toBe('');
  await after(page, () => page.getByRole('radio', { name: 'DyT', exact: true }).check(), shown);
  await page.getByRole('textbox', { name: 'Prompt' }).fill('<b>Potatoes</b> & more');
  await after(page, () => page.getByRole('button', { name: 'Run', exact: true }).click(), shown);
  await expect.poll(() => page.url()).toMatch(/#v=1&norm=dyt&prompt=%3Cb%3EPotatoes.*&sha256=[0-9a-f]{12}$/);
  const next = await page.getByRole('region', { name: 'Next token' }).textContent();

  const second = await app.visit({ hash: new URL(page.url()).hash });
  await shown(second.page);
  expect(await second.page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toBe(
    '<b>Potatoes</b> & more',
  );
  expect(await second.page.getByRole('radio', { name: 'DyT', exact: true }).isChecked()).toBe(true);
  expect(await second.page.getByRole('region', { name: 'Next token' }).textContent()).toBe(next);
  expect(complaints).toEqual([]);
});

it('takes parts of the page away, and says what it could not use', async () => {
  const { page: part } = await app.visit({
    hash: '#v=1&hide=header,norms&alpha=none&sha256=000000000000',
  });
  await part.getByRole('alert').getByText('Cannot use all of this link: alpha').waitFor();
  expect(await part.getByRole('heading', { level: 1 }).count()).toBe(0);
  expect(await part.getByRole('radiogroup', { name: 'Normalization' }).count()).toBe(0);
  await part.getByRole('region', { name: 'Saturation' }).waitFor();
});

it('answers to the keyboard, and shows it on a sheet', async () => {
  await page.keyboard.press('?');
  const sheet = page.getByRole('dialog', { name: 'Keyboard' });
  await sheet.getByText('twin or raw swap').waitFor();
  await page.keyboard.press('Escape');
  await expect.poll(() => sheet.isVisible()).toBe(false);
  const chosen = NORM_IDS.findIndex((id) => id === STORY_NORM);
  await after(page, () => page.keyboard.press(String(chosen + 1)), shown);
  expect(await page.getByRole('radio', { name: normSpec(STORY_NORM).label, exact: true }).isChecked()).toBe(
    true,
  );
  await page.keyboard.press('b');
  await page.getByText('Ready to measure').waitFor();
  for (let left = SECTIONS.length - 1; left > 0; left--) await page.keyboard.press('b');
  await page.keyboard.press('/');
  // A letter in the prompt is a letter.
  await page.keyboard.type('bgt?');
  expect(await page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toContain('bgt?');
  expect(await sheet.isVisible()).toBe(false);
  expect(complaints).toEqual([]);
});

it('tells the story of DyT in seven steps with numbers of this run, and asks once', async () => {
  await page.getByRole('button', { name: 'Tour' }).click();
  const card = page.locator('.driver-popover');
  for (let step = 1; step <= 7; step++) {
    await card.getByText(`${step} of 7`).waitFor({ timeout: 60_000 });
    const text = (await card.locator('.driver-popover-description').textContent()) ?? '';
    expect(text.length).toBeGreaterThan(60);
    expect(text).not.toMatch(/NaN|undefined|Infinity|∞/);
    if (step === 4) {
      await card.getByRole('button', { name: 'grows' }).click();
      await card
        .getByText(/^(Right|Not so): it (falls|stays|grows), from [\d.]+ % to [\d.]+ %/)
        .waitFor({ timeout: 60_000 });
    }
    await card.getByRole('button', { name: step === 7 ? 'Done' : 'Next' }).click();
  }
  await expect.poll(() => card.count()).toBe(0);
  await expect
    .poll(() => page.getByRole('radio', { name: normSpec(FIRST_NORM).label, exact: true }).isChecked())
    .toBe(true);
  expect(complaints).toEqual([]);
});

it('shows a run out of a file as it was, beside a fresh one of the same', async () => {
  await after(
    page,
    () => page.getByRole('radio', { name: normSpec(STORY_NORM).label, exact: true }).check(),
    shown,
  );
  const download = await exported(page, 'Export JSON');
  const text = await readFile(await download.path(), 'utf8');
  const receipt = JSON.parse(text) as { result: { next: { probability: number }[] } };
  const [likeliest] = receipt.result.next;
  if (likeliest) likeliest.probability = 0.123; // so that it can be told from the fresh run

  await home(page);
  const dropped = await page.evaluateHandle((json) => {
    const data = new DataTransfer();
    data.items.add(new File([json], 'run.json', { type: 'application/json' }));
    return data;
  }, JSON.stringify(receipt));
  await after(page, () => page.dispatchEvent('body', 'drop', { dataTransfer: dropped }), shown);
  const compare = page.getByRole('region', { name: 'Comparison' });
  await compare.getByText(/^recorded on google swiftshader$/).waitFor();
  await compare.getByText('12 %').waitFor();
  expect(await page.getByRole('radio', { name: normSpec(STORY_NORM).label, exact: true }).isChecked()).toBe(
    true,
  );
  await compare.getByText('Change anything: the new run is B.').waitFor(); // nothing differs in what was asked for
  expect(complaints).toEqual([]);
});
