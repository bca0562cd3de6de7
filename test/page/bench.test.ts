// The Bench section of the built page: asked, predicted, measured, answered, saved, opened again.
import { readFile } from 'node:fs/promises';
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApp, settled } from './app.ts';
import type { App } from './app.ts';

let app: App;
let page: Page;
let complaints: string[];
beforeAll(async () => {
  app = await openApp();
  await openBench();
});
afterAll(() => app.close());

async function openBench(): Promise<void> {
  ({ page, complaints } = await app.visit());
  await settled(page);
  await page.getByRole('radio', { name: 'Bench' }).check();
  await page.getByText('Ready to measure').waitFor();
}

const rows = () => page.getByRole('table', { name: 'All results' }).locator('tbody tr');

/** Leaves one small shape and little time. */
async function makeSmall(): Promise<void> {
  const shapes = page.getByRole('group', { name: 'Shapes, tokens × channels' });
  await shapes.getByLabel('tokens × channels: T').fill('32');
  await shapes.getByLabel('tokens × channels: C').fill('64');
  await shapes.getByRole('button', { name: /^Add to/ }).click();
  for (const name of ['256 × 128', '1024 × 768'])
    await shapes.getByRole('button', { name: `Take out ${name}` }).click();
  expect(await shapes.getByRole('button', { name: /^Take out/ }).count()).toBe(1);
  await page.getByRole('slider').fill('5');
}

async function saved(name: string): Promise<string> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name, exact: true }).click(),
  ]);
  return readFile(await download.path(), 'utf8');
}

describe('files', () => {
  it.each([
    ['no JSON', '{'],
    ['of a newer schema', JSON.stringify({ schema: 'normscope/bench/2' })],
    ['of something else', JSON.stringify({ hello: 'world' })],
  ])('that are %s are refused with a reason, and nothing is lost', async (what, text) => {
    const name = `${what}.json`;
    await page
      .getByLabel('Reports to open')

      .setInputFiles([{ name, mimeType: 'application/json', buffer: Buffer.from(text) }]);
    await page
      .getByRole('alert')
      .getByText(new RegExp(`Cannot open "?${what}\\.json`))
      .waitFor();
    await page.getByText('Ready to measure').waitFor();
  });
});

describe('norms alone', () => {
  it('are measured, answered in words, saved, opened beside, and put away', async () => {
    await makeSmall();
    await page.getByRole('button', { name: 'Measure', exact: true }).click();
    await page.getByText(/^Measured after/).waitFor({ timeout: 120_000 });
    // Eight members and the copy, by two clocks.
    expect(await rows().count()).toBe(18);
    expect(await page.locator('.race').count()).toBe(1);
    expect(await page.locator('.race').first().locator('circle').count()).toBe(9);
    await page.getByText('Software adapter: times say nothing of any GPU.').waitFor();
    expect(await page.locator('.answers section').count()).toBe(4);
    expect(await rows().getByText('failed').count()).toBe(0);

    await page.getByRole('button', { name: 'time', exact: true }).click();
    const header = page.getByRole('columnheader', { name: 'time' });
    expect(await header.getAttribute('aria-sort')).toBe('ascending');
    await page.getByRole('button', { name: /^time/ }).click();
    expect(await header.getAttribute('aria-sort')).toBe('descending');

    const json = await saved('JSON');
    const report = JSON.parse(json) as { schema: string; results: { samplesUs: number[] }[] };
    expect(report.schema).toBe('normscope/bench/1');
    expect(report.results.every(({ samplesUs }) => samplesUs.length >= 5)).toBe(true);
    expect((await saved('CSV')).split('\n').length).toBeGreaterThan(18);
    expect(await saved('Markdown')).toContain('|');

    const other = {
      ...report,
      session: { ...(report as object as { session: object }).session, id: 'other' },
    };
    await page
      .getByLabel('Reports to open')
      .setInputFiles([
        { name: 'other.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(other)) },
      ]);
    await page.getByText('other.json').first().waitFor();
    expect(await rows().count()).toBe(36);
    await page.getByRole('button', { name: 'Put away other.json' }).click();
    expect(await rows().count()).toBe(18);

    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(
      violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`),
    ).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('stop in the middle and keep what there is', async () => {
    await openBench();
    await page.getByRole('slider').fill('120');
    await page.getByRole('button', { name: 'Measure', exact: true }).click();
    await page.getByRole('region', { name: 'Prediction' }).waitFor({ timeout: 60_000 });
    // The first cell is through, the second under way.
    await page
      .getByRole('status')
      .getByText(/^\[1024, 768\]/)
      .waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: /^Stop/ }).click();
    await page.getByText(/^Stopped after/).waitFor({ timeout: 30_000 });
    await page.getByText(/^Stopped before its end/).waitFor();
  });
});
