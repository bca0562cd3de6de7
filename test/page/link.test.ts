// A link opened in the built page: the experiment it holds, the parts it takes away, and what is wrong with it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { after, openApp, settled } from './app.ts';
import type { App } from './app.ts';

let app: App;
beforeAll(async () => {
  app = await openApp();
});
afterAll(() => app.close());

it('holds the experiment, follows it, and opens as it was', async () => {
  const { page, complaints } = await app.visit();
  await settled(page);
  expect(new URL(page.url()).hash).toBe('');
  await after(page, () => page.getByRole('radio', { name: 'DyT', exact: true }).check());
  await page.getByRole('textbox', { name: 'Prompt' }).fill('<b>Potatoes</b> & more');
  await after(page, () => page.getByRole('button', { name: 'Run', exact: true }).click());
  await expect.poll(() => page.url()).toMatch(/#v=1&norm=dyt&prompt=%3Cb%3EPotatoes.*&sha256=[0-9a-f]{12}$/);
  const next = await page.getByRole('region', { name: 'Next token' }).textContent();

  const second = await app.visit({ before: (other) => other.goto(page.url()) });
  await second.page.goto(page.url());
  await settled(second.page);
  expect(await second.page.getByRole('textbox', { name: 'Prompt' }).inputValue()).toBe(
    '<b>Potatoes</b> & more',
  );
  expect(await second.page.getByRole('radio', { name: 'DyT', exact: true }).isChecked()).toBe(true);
  expect(await second.page.getByRole('region', { name: 'Next token' }).textContent()).toBe(next);
  expect(complaints).toEqual([]);
});

it('takes parts of the page away, and says what it could not use', async () => {
  const { page } = await app.visit();
  await settled(page);
  await page.goto(`${app.url}#v=1&hide=header,norms&alpha=none&sha256=000000000000`);
  await page.reload();
  await page.getByRole('alert').getByText('Cannot use all of this link: alpha').waitFor();
  expect(await page.getByRole('heading', { level: 1 }).count()).toBe(0);
  expect(await page.getByRole('radiogroup', { name: 'Normalization' }).count()).toBe(0);
  await page.getByRole('region', { name: 'Saturation' }).waitFor();
});
