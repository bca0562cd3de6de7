// Models of one's own on the built page: from files, from the Hub, and what goes wrong with them.
import { readFile } from 'node:fs/promises';
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FIRST_MODEL } from '../../src/model/catalog.ts';
import { FIRST_NORM, normSpec, STORY_NORM } from '../../src/norm/registry.ts';
import { RunReceipt } from '../../src/receipt/schema.ts';
import { after, exported, openApp, settled, status } from './app.ts';
import type { App } from './app.ts';
import { drop, GOLDEN, goldenFiles, largerFiles, serveHub } from './hub.ts';

let app: App;
beforeAll(async () => {
  app = await openApp();
});
afterAll(() => app.close());

const sheet = (page: Page) => page.getByRole('dialog', { name: 'Open a model' });
const radio = (page: Page, name: string) => page.getByRole('radio', { name, exact: true });
const model = (page: Page) => page.getByLabel('Model', { exact: true });
const shot = async (page: Page, name: string): Promise<void> => {
  if (process.env['SHOTS']) await page.screenshot({ path: `${process.env['SHOTS']}/${name}.png` });
};

async function chooseFolder(page: Page, folder: string): Promise<void> {
  await page.getByRole('button', { name: 'Open…' }).click();
  const [chooser] = await Promise.all([
    page.waitForEvent('filechooser'),
    sheet(page).getByText('Choose folder').click(),
  ]);
  await chooser.setFiles(folder);
  await sheet(page).waitFor({ state: 'hidden' });
}

it('runs dropped files, swaps their norm and saves it; a broken folder leaves them usable', async () => {
  const { page, complaints } = await app.visit();
  await settled(page);
  const files = goldenFiles('llama-gqa');
  await after(page, () => drop(page, files));
  await expect.poll(() => status(page).textContent()).toMatch(/^Ready: 8 tokens/);
  expect(await model(page).inputValue()).toMatch(/^disk:llama@[0-9a-f]{16}$/);
  await after(page, () => radio(page, normSpec(STORY_NORM).label).check());
  expect(await radio(page, 'Raw swap').isChecked()).toBe(true);
  const download = await exported(page, 'Export JSON');
  const receipt = v.parse(RunReceipt, JSON.parse(await readFile(await download.path(), 'utf8')));
  const { configuration } = receipt;
  expect(configuration.source).toBe('raw');
  expect(Object.values(configuration.sites).map(({ norm }) => norm)).toEqual(Array(5).fill(STORY_NORM));
  expect(configuration.tokens.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await expect.poll(() => page.url()).toContain(configuration.model.sha256.slice(0, 12));

  const weights = files['model.safetensors'] ?? Buffer.alloc(0);
  await drop(page, { ...files, 'model.safetensors': weights.subarray(0, -100) });
  await sheet(page)
    .getByRole('alert')
    .getByText(/"model.safetensors"/)
    .waitFor();
  await page.keyboard.press('Escape');
  await expect.poll(() => sheet(page).isVisible()).toBe(false);
  await after(page, () => page.getByRole('button', { name: 'Run', exact: true }).click());
  expect(await status(page).textContent()).toMatch(/^Ready: 8 tokens/);

  // A folder with a card, as the twins have and conversions are saved, brings its texts along.
  await chooseFolder(page, `public/models/${FIRST_MODEL}`);
  await settled(page);
  expect(await model(page).inputValue()).toMatch(new RegExp(`^disk:${FIRST_MODEL}@`));
  await shot(page, 'carded');
  await page.getByRole('radio', { name: 'Swap & fit' }).check();
  await page.getByText('Ready to fit').waitFor();
  await page.getByRole('checkbox', { name: 'Swap ln_f' }).waitFor();
  await page.getByRole('radio', { name: 'Microscope' }).check();

  // An image model asks for a picture where others ask for words.
  await chooseFolder(page, `${GOLDEN}vit`);
  const classes = page.getByRole('region', { name: 'Classes' });
  await classes.waitFor();
  await settled(page);
  expect(await classes.getByRole('listitem').count()).toBe(5);
  const before = await classes.textContent();
  await after(page, async () => {
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByText('Choose picture').click(),
    ]);
    await chooser.setFiles('public/screenshot.png');
  });
  await page.getByRole('img', { name: 'The picture: screenshot.png' }).waitFor();
  await expect.poll(() => classes.textContent()).not.toBe(before);
  await shot(page, 'vit');
  expect(complaints).toEqual([]);
});

it('fetches a model of the Hub when told to, goes on after a stop, keeps it, and forgets it', async () => {
  const { page } = await app.visit();
  await settled(page);
  const served = await serveHub(page, { 'people/larger': largerFiles() });
  await page.getByRole('button', { name: 'Open…' }).click();
  const address = sheet(page).getByLabel('Address of a model');
  await address.fill('people/nothing');
  await address.press('Enter');
  await sheet(page)
    .getByRole('alert')
    .getByText(/people\/nothing.*answered 404/)
    .waitFor();
  expect(await model(page).inputValue()).toBe(FIRST_MODEL);
  const { violations } = await new AxeBuilder({ page }).include('.model-sheet').analyze();
  expect(violations).toEqual([]);

  await address.fill('people/larger');
  await sheet(page).getByRole('button', { name: 'Look' }).click();
  const yes = sheet(page).getByRole('button', { name: /^Download 6\.\d+ MB and open$/ });
  await yes.waitFor();
  expect(await sheet(page).getByRole('region', { name: 'The model' }).textContent()).toMatch(
    /people\/larger gpt2, predicts the next token.*Parameters1\.\d+ M f32.*GPU memory/,
  );
  await shot(page, 'asking');
  served.stopAt = 2_000_000;
  await yes.click();
  await sheet(page)
    .getByRole('status')
    .getByText(/^2 MB of 6\.\d+ MB/)
    .waitFor();
  await shot(page, 'fetching');
  await sheet(page).getByRole('button', { name: 'Stop' }).click();
  const goOn = sheet(page).getByRole('button', { name: 'Go on with people/larger' });
  await goOn.waitFor();
  await sheet(page)
    .getByText(/^2 MB of 6\.\d+ MB$/)
    .waitFor();
  await shot(page, 'kept');
  expect(await model(page).inputValue()).toBe(FIRST_MODEL);

  served.stopAt = Infinity;
  const asked = served.asked.length;
  await goOn.click();
  await yes.or(sheet(page).getByRole('button', { name: /^Download 4\.\d+ MB and open$/ })).click();
  await sheet(page).waitFor({ state: 'hidden' });
  const next = page.getByRole('region', { name: 'Next token' });
  await expect.poll(() => model(page).inputValue()).toBe('hub:people/larger@main');
  await settled(page);
  expect(await radio(page, normSpec(FIRST_NORM).label).isChecked()).toBe(true);
  // The weights were read on from where they had stopped.
  const begins = served.asked
    .slice(asked)
    .filter(({ path, begin }) => path.endsWith('.safetensors') && begin > 8);
  expect(begins.map(({ begin }) => begin)).toContain(2_000_000);
  const answer = await next.textContent();
  await expect.poll(() => page.url()).toMatch(/model=hub%3Apeople%2Flarger%40main.*sha256=[0-9a-f]{12}$/);

  // The link opens it again, from what is kept, without a word.
  const fetched = served.asked.length;
  await page.reload();
  await settled(page);
  expect(await next.textContent()).toBe(answer);
  expect(served.asked.slice(fetched).every(({ begin }) => begin <= 8)).toBe(true);
  await page.getByRole('button', { name: 'Open…' }).click();
  await sheet(page).getByRole('button', { name: 'Delete people/larger' }).click();
  await expect.poll(() => sheet(page).getByRole('region', { name: 'Kept on this machine' }).count()).toBe(0);
});
