// A file dropped on the built page: its sites are listed, swapped, run, compared and saved.
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { after, openApp, settled } from './app.ts';
import type { App } from './app.ts';

let app: App;
beforeAll(async () => {
  app = await openApp();
});
afterAll(() => app.close());

const pathOf = (name: string): string => new URL(`../onnx-files/${name}`, import.meta.url).pathname;

/** Drops files as a person does, with a drag event. */
async function drop(page: Page, ...names: string[]): Promise<void> {
  const files = names.map((name) => ({ name, base64: readFileSync(pathOf(name)).toString('base64') }));
  await page.evaluate((given) => {
    const data = new DataTransfer();
    for (const { name, base64 } of given)
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  }, files);
}

test('drop a file, swap its norms, run, compare, save, and meet a bad one', async () => {
  const { page, complaints } = await app.visit();
  await settled(page);
  await drop(page, 'bert-torchscript-opset14.onnx');
  const table = page.getByRole('table');
  await table.waitFor();
  expect(await table.locator('tbody tr').count()).toBe(6);
  await page.getByText('pytorch').waitFor();
  await after(page, () => page.getByRole('button', { name: 'Run', exact: true }).click());
  await page.getByText('As it came; choose another norm below to compare').waitFor();
  await page.getByLabel('Norm at every site').selectOption({ label: 'DyT' });
  expect(await table.locator('tr.swapped').count()).toBe(6);
  await page.getByLabel('Norm at model.bert.embeddings.LayerNorm').selectOption('');
  await after(page, () => page.getByRole('button', { name: 'Run', exact: true }).click());
  await page.getByText('As it came → with its swaps').waitFor();
  const difference = await page.locator('.onnx-differences').textContent();
  expect(difference).toMatch(/logitsmax \|Δ\| [\d.]+ of [\d.]+ · KL [\d.]+ nats · same top \d of 8/);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export ONNX' }).last().click(),
  ]);
  expect(download.suggestedFilename()).toBe('bert-torchscript-opset14-swapped.onnx');
  await drop(page, 'gpt2-dynamo-opset18.onnx');
  const alert = page.getByRole('alert');
  await alert.getByText('which was not dropped: drop both files together').waitFor();
  // What was open is still open.
  expect(await table.locator('tbody tr').count()).toBe(6);
  await drop(page, 'gpt2-dynamo-opset18.onnx', 'gpt2-dynamo-opset18.onnx.data');
  await page.getByText('model.transformer.ln_f').waitFor();
  if (process.env['SHOTS']) {
    await drop(page, 'llama-ort-fused.onnx');
    await page.getByText('model.model.norm').waitFor();
    await page.getByLabel('Norm at every site').selectOption({ label: 'DyT' });
    await after(page, () => page.getByRole('button', { name: 'Run', exact: true }).click());
    await page.screenshot({ path: `${process.env['SHOTS']}/onnx.png` });
    await page.setViewportSize({ width: 420, height: 900 });
    await page.screenshot({ path: `${process.env['SHOTS']}/onnx-narrow.png` });
  }
  expect(complaints).toEqual([]);
});
