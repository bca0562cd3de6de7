// Swap and fit on the built page: two sites, each by its method, on one window; looked at, saved, opened again, run.
import { readFile } from 'node:fs/promises';
import { AxeBuilder } from '@axe-core/playwright';
import type { Download } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FIRST_NORM, normSpec, STORY_NORM } from '../../src/norm/registry.ts';
import { readFit } from '../../src/receipt/fit.ts';
import { after, openApp, settled } from './app.ts';
import type { App } from './app.ts';
import { drop, goldenFiles } from './hub.ts';

let app: App;
beforeAll(async () => {
  app = await openApp();
});
afterAll(() => app.close());

it('fits sites, says what they cost, saves and opens it, and runs it in the microscope', async () => {
  const { page, complaints } = await app.visit();
  await page.getByRole('radio', { name: 'Swap & fit' }).check();
  await page.getByText('Ready to fit').waitFor();
  await page.getByRole('heading', { name: `Can ${normSpec(STORY_NORM).label} take` }).waitFor();
  await page.getByRole('checkbox', { name: 'Swap ln_f' }).waitFor();
  await page.getByRole('button', { name: 'final only' }).click();
  for (const [name, count] of [
    ['fit on', '1'],
    ['measure on', '1'],
    ['sites on', '0'],
  ] as const)
    await page.getByRole('textbox', { name, exact: true }).fill(count);
  await page.getByRole('radio', { name: /^Moments/ }).check();
  await page.getByRole('checkbox', { name: 'Swap h.5.ln_1' }).check();
  await page.getByLabel('Method at ln_f').selectOption({ label: 'Site by site' });
  await page.getByLabel('Swap order').selectOption({ label: 'last site first' });
  await page.getByRole('button', { name: 'Swap h.5.ln_1 earlier' }).click();
  await page
    .getByLabel('Swap order')
    .locator('option', { hasText: 'by hand' })
    .waitFor({ state: 'attached' });
  await page.getByRole('button', { name: 'Fit', exact: true }).click();
  const result = page.getByRole('region', { name: 'Result of the fit' });
  await result.waitFor({ timeout: 180_000 });
  await page.getByText(/^Fitted in/).waitFor();

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    result.getByRole('button', { name: 'Fit JSON' }).click(),
  ]);
  const json = await readFile(await download.path(), 'utf8');
  const { heldOutLoss, measured, sites, tokens, order } = readFit(json);
  expect(tokens).toEqual({ calibration: 256, heldOut: 256 });
  expect(sites.map(({ site, method }) => [site, method])).toEqual([
    ['h.5.ln_1', 'moment'],
    ['ln_f', 'sequential'],
  ]);
  expect(order).toEqual(['ln_f', 'h.5.ln_1']);
  const { original, raw, fitted } = heldOutLoss;
  if (original === null || raw === null || fitted === null || !measured?.native)
    throw new Error('nothing was measured');
  // What the page says is what the file says.
  const said = (await result.locator('.fit-sentence').textContent()) ?? '';
  for (const loss of [original, raw, fitted, measured.native.loss]) expect(said).toContain(loss.toFixed(2));
  const costs = result.getByRole('figure', { name: 'Held-out loss against the original' });
  for (const loss of [original, fitted, measured.frozen.loss])
    await costs.getByText(loss.toFixed(3), { exact: true }).first().waitFor();
  const row = page.getByRole('row', { name: /ln_f/ });
  await row.getByText(sites[1]?.r2?.toFixed(4) ?? '').waitFor();

  await page
    .getByLabel('Fits to open')
    .setInputFiles([{ name: 'mine.json', mimeType: 'application/json', buffer: Buffer.from(json) }]);
  await page.getByRole('radio', { name: /^mine\.json/ }).waitFor();
  await expect.poll(() => result.locator('.fit-sentence').textContent()).toBe(said);

  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(
    violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
  ).toEqual([]);

  await result.getByRole('button', { name: 'Run it in the microscope' }).click();
  const bar = page.locator('.norm-bar');
  await bar.getByText('fitted', { exact: true }).waitFor();
  await settled(page);
  const rail = page.getByRole('navigation', { name: 'Depth' });
  await rail.getByRole('button', { name: `before the head, ${normSpec(STORY_NORM).label}:` }).click();
  await page.getByRole('region', { name: 'Saturation' }).getByText('fitted', { exact: true }).waitFor();
  // The other sites are as they were trained.
  await rail
    .getByRole('button', { name: `layer 5, before the MLP, ${normSpec(FIRST_NORM).label}:` })
    .waitFor();
  expect(complaints).toEqual([]);
});

it('fits a GPT-2 that was dropped, and writes it as one that can be dropped again', async () => {
  const { page, complaints } = await app.visit({
    // The browser of a person who is asked no folder, so that files come one by one.
    before: (fresh) => fresh.addInitScript(() => Reflect.deleteProperty(window, 'showDirectoryPicker')),
  });
  await settled(page);
  await after(page, () => drop(page, goldenFiles('gpt2')));
  const model = page.getByLabel('Model', { exact: true });
  const first = await model.inputValue();
  await page.getByRole('radio', { name: 'Swap & fit' }).check();
  await page.getByText('Ready to fit').waitFor();
  // It brings no text: the last quarter of ours is measured on.
  await page
    .getByLabel('Text to fit on')
    .fill(Array.from({ length: 260 }, (_, i) => (i * i + 7 * i) % 211).join(' '));
  await page.getByRole('button', { name: 'Fit', exact: true }).click();
  const result = page.getByRole('region', { name: 'Result of the fit' });
  await result.waitFor({ timeout: 180_000 });
  await page.getByText(/^Fitted in/).waitFor();
  const downloads: Download[] = [];
  page.on('download', (download) => downloads.push(download));
  await result.getByRole('button', { name: 'Converted model' }).click();
  await expect
    .poll(() => downloads.map((one) => one.suggestedFilename()).toSorted())
    .toEqual(['config.json', 'load.py', 'model.safetensors']);
  const files: Record<string, Buffer> = {};
  for (const one of downloads) files[one.suggestedFilename()] = await readFile(await one.path());
  expect(JSON.parse(files['config.json']?.toString() ?? '')).toMatchObject({
    model_type: 'gpt2',
    site_norms: { ln_f: STORY_NORM },
  });
  await page.getByRole('radio', { name: 'Microscope' }).check();
  await after(page, () => drop(page, files));
  expect(await model.inputValue()).not.toBe(first);
  expect(await page.getByRole('radio', { name: normSpec(STORY_NORM).label, exact: true }).isChecked()).toBe(
    true,
  );
  await page.locator('.norm-bar').getByText('native', { exact: true }).waitFor();
  expect(complaints).toEqual([]);
});
