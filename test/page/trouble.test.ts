// What bad things get: each its own message, and a way on.
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunReceipt } from '../../src/receipt/schema.ts';
import { after, exported, home, openApp, settled, shown, status } from './app.ts';
import type { App } from './app.ts';

const weightsOf = (twin: string): string => `**/models/fairy-tale-gpt/${twin}/model.safetensors`;
const alert = (page: Page) => page.getByRole('alert');
const radio = (page: Page, name: string) => page.getByRole('radio', { name, exact: true });

describe('with WebGPU', () => {
  let app: App;
  let page: Page;
  beforeAll(async () => {
    app = await openApp();
    ({ page } = await app.visit());
    await settled(page);
  });
  afterAll(() => app.close());

  it.each([
    [
      'cut short',
      'DyT',
      'Dynamic Tanh',
      (body: Buffer) => body.subarray(0, 1000),
      /"dyt\/model.safetensors".*SHA-256.*1000 bytes/,
    ],
    [
      'changed',
      'Derf',
      'Dynamic erf',
      (body: Buffer) => Buffer.concat([body.subarray(0, -4), Buffer.from([1, 2, 3, 4])]),
      /"derf\/model.safetensors".*SHA-256/,
    ],
  ])(
    'says so when weights are %s, and keeps the model before usable',
    async (_how, label, name, damage, message) => {
      const twin = label.toLowerCase();
      const good = await readFile(`public/models/fairy-tale-gpt/${twin}/model.safetensors`);
      await home(page);
      await page.route(weightsOf(twin), (route) =>
        route.fulfill({ body: damage(good), contentType: 'application/octet-stream' }),
      );
      await after(page, () => radio(page, label).check());
      await expect.poll(() => alert(page).textContent()).toMatch(message);
      await page.getByRole('heading', { name: 'Layer normalization at work' }).waitFor();
      await after(page, () => radio(page, 'LayerNorm').check(), shown);
      expect(await status(page).textContent()).toMatch(/^(Ready|Timing)/);
      expect(await alert(page).count()).toBe(0);
      // The file is mended on the server: trying again fetches it anew.
      await page.unroute(weightsOf(twin));
      await after(page, () => radio(page, label).check(), shown);
      await page.getByRole('heading', { name: `${name} at work` }).waitFor();
    },
  );

  it('tells a missing file from a broken connection', async () => {
    await home(page);
    await page.route(weightsOf('rmsnorm'), (route) => route.fulfill({ status: 404 }));
    await after(page, () => radio(page, 'RMSNorm').check());
    await expect.poll(() => alert(page).textContent()).toContain('the server answered 404');
    await page.unroute(weightsOf('rmsnorm'));
    await page.route(weightsOf('rmsnorm'), (route) => route.abort('connectionrefused'));
    await after(page, () => page.getByRole('button', { name: 'Try again' }).click());
    await expect.poll(() => alert(page).textContent()).toContain('Failed to fetch');
  });

  it('fetches weights once and then takes them from the cache', async () => {
    await home(page);
    let fetched = 0;
    page.on('request', (request) => {
      if (request.url().endsWith('.safetensors')) fetched += 1;
    });
    await page.goto(app.url);
    await shown(page);
    expect(fetched).toBe(0);
  });

  it('says why when the device is lost during a run, and Run works again', async () => {
    await home(page);
    await page.getByRole('button', { name: 'Details' }).click();
    await page.getByLabel('Sampling').click();
    await page.getByRole('spinbutton', { name: 'Tokens' }).fill('240');
    await page.getByLabel('Sampling').click();
    await page.getByRole('button', { name: 'Generate' }).click();
    await page
      .getByRole('region', { name: 'Generated text' })
      .getByText(/· ([2-9]|\d\d+) tokens · writing/)
      .waitFor();
    await page.getByRole('button', { name: 'Simulate device loss' }).click();
    await expect
      .poll(() => alert(page).textContent(), { timeout: 20_000 })
      .toContain('the GPU device was lost');
    await after(page, () => page.getByRole('button', { name: 'Run' }).click());
    expect(await status(page).textContent()).toMatch(/^Ready/);
    expect(await alert(page).count()).toBe(0);
  });
});

const PLAIN_FLAGS = ['--no-sandbox', '--disable-background-networking'];

describe.each([
  // A page that is not secure has no WebGPU; neither has an old browser. It has no threads either.
  [
    'no WebGPU',
    [...PLAIN_FLAGS, '--host-resolver-rules=MAP insecure.test 127.0.0.1'],
    'insecure.test',
    /this browser has no WebGPU here/,
    'WASM 1 thread',
  ],
  ['no adapter', PLAIN_FLAGS, 'localhost', /offers no adapter/, 'WASM 2 threads'],
] as const)('with %s', (_name, flags, host, reason, engine) => {
  let app: App;
  beforeAll(async () => {
    app = await openApp(flags, host);
  });
  afterAll(() => app.close());

  it('says why, and does everything on the CPU', async () => {
    const { page, complaints } = await app.visit();
    await settled(page);
    await page.getByText('Running on the CPU through onnxruntime.').waitFor();
    expect(await page.locator('.notice').textContent()).toMatch(reason);
    expect(await status(page).textContent()).toMatch(/^Ready: 12 tokens, .* on the CPU$/);
    const timings = page.getByRole('region', { name: 'Timings' });
    expect(await timings.textContent()).toMatch(/CPU, wall time/);
    await page.getByRole('button', { name: 'Details' }).click();
    await page
      .getByText(new RegExp(`onnxruntime-web 1\\.\\d+\\.\\d+ · ${engine}$`))
      .first()
      .waitFor();
    for (const region of ['Tokens', 'Saturation', 'Token statistics', 'Next token']) {
      expect(await page.getByRole('region', { name: region }).isVisible()).toBe(true);
    }
    expect(await page.locator('.rail .site').count()).toBe(13);

    await after(page, () => radio(page, 'DyT').check(), shown);
    await page.getByRole('heading', { name: 'Dynamic Tanh at work' }).waitFor();
    await after(page, () => radio(page, 'Raw swap').check(), shown);
    await after(page, () => radio(page, 'InstanceNorm').check(), shown);
    await page.getByRole('heading', { name: 'Instance normalization at work' }).waitFor();
    await page.getByLabel('Sampling').click();
    await page.getByRole('spinbutton', { name: 'Tokens' }).fill('5');
    await after(page, () => page.getByRole('button', { name: 'Generate' }).click());
    await page.getByText(/5 tokens · .* tokens\/s on the CPU/).waitFor();
    await after(page, () => radio(page, 'Twin').check());

    const download = await exported(page, 'Export JSON');
    const receipt = v.parse(RunReceipt, JSON.parse(await readFile(await download.path(), 'utf8')));
    expect(receipt.environment).toMatchObject({
      device: 'cpu',
      fallbackReason: expect.stringMatching(reason),
    });
    expect(receipt.timings.representative?.gpuMs).toBeNull();
    expect(receipt.timings.perOperation).toBeNull();
    // What was not counted is no number.
    expect(receipt.timings.representative).toMatchObject({ leastBytes: null, flops: null, gbPerS: null });
    // The browser's own word on a page that is not secure.
    expect(complaints.filter((text) => !text.includes('Cross-Origin-Opener-Policy'))).toEqual([]);
  });
});
