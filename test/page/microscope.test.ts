// The microscope on the built page: what its figures say of the first prompt, how fast α is followed, and that it
// can be read and reached by everybody.
import { readFile } from 'node:fs/promises';
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GALLERY_IDS, NORMS } from '../../src/norm/registry.ts';
import { after, home, openApp, settled, shown } from './app.ts';
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

const radio = (name: string) => page.getByRole('radio', { name, exact: true });
const hero = () => page.getByRole('region', { name: 'Saturation' });
const share = async (): Promise<number> =>
  Number.parseFloat((await hero().locator('.shares b').nth(1).textContent()) ?? '');

async function serious(): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

// First, on a page whose figure is as it came: how it is coloured is kept from test to test, and costs time.
describe('α of one site', () => {
  it('turns the figures within 50 ms without a forward, and the model when applied', async () => {
    await page.getByRole('textbox', { name: 'Prompt' }).fill('the' + ' king'.repeat(40));
    await after(page, () => radio('DyT').check());
    const before = await share();
    const slider = page.getByRole('slider', { name: 'α of this site' });
    // From the hand to the figures in the document, layout included, by the browser's own clock.
    const followedMs = await slider.evaluate(async (element) => {
      if (!(element instanceof HTMLInputElement)) throw new Error('no slider');
      const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')?.set;
      const times: number[] = [];
      for (let step = 1; step <= 12; step++) {
        await new Promise((resolve) => setTimeout(resolve, 60));
        const startMs = performance.now();
        set?.call(element, String(-step / 8));
        element.dispatchEvent(new Event('input', { bubbles: true }));
        await new Promise<void>((resolve) => queueMicrotask(resolve));
        document.querySelector('.shares')?.getBoundingClientRect();
        times.push(performance.now() - startMs);
        performance.measure('alpha', { start: startMs, duration: performance.now() - startMs });
      }
      return times.toSorted((a, b) => a - b);
    });
    console.info(`α followed in ${followedMs.map((ms) => ms.toFixed(1)).join(', ')} ms, 41 tokens`);
    expect(followedMs[6]).toBeLessThan(50);
    const drafted = await share();
    expect(drafted).toBeLessThan(before);
    expect(await page.getByRole('status').textContent()).not.toMatch(/Running/);

    await after(page, () => page.getByRole('button', { name: 'apply' }).click(), shown);
    expect(await page.getByRole('button', { name: 'apply' }).count()).toBe(0);
    // Run on the GPU, counted by its probes: what the figures said.
    expect(await share()).toBeCloseTo(drafted, 0);
    await page.locator('.norm-bar .badge').getByText('α by site').waitFor();
    await after(page, () => page.getByRole('button', { name: 'reset sites' }).click(), shown);
    expect(await share()).toBeCloseTo(before, 0);
  });
});

describe('the curve', () => {
  it('is fitted, names the token under the pointer with its σ, and shows the arithmetic of a value', async () => {
    const fits = page.getByRole('group', { name: 'Best-fitting functions' });
    const r2 = async (name: string): Promise<number> =>
      Number(await fits.getByRole('button', { name }).locator('span').nth(1).textContent());
    // The layer's S: a bend describes it better than a line.
    expect(await r2('tanh')).toBeGreaterThan(await r2('a line'));
    expect(await r2('tanh')).toBeGreaterThan(0.9);
    expect(await page.locator('path.fit').count()).toBe(3);
    await fits.getByRole('button', { name: /more functions/ }).click();
    expect(await fits.getByRole('button').count()).toBe(4 + GALLERY_IDS.length + 1);

    await radio('token').check();
    await page.locator('.token').nth(8).hover();
    const note = page.locator('.plot-note');
    const sigma = await page.locator('.token').nth(8).locator('small').textContent();
    expect(await note.textContent()).toMatch(/·pot: σ = 2\.\d+, its line has slope 1\/σ = 0\.\d+/);
    expect(Number(/σ = ([\d.]+)/.exec((await note.textContent()) ?? '')?.[1])).toBeCloseTo(Number(sigma), 1);
    expect(await page.locator('.token-line.on').count()).toBe(1);

    const plot = page.locator('.plot');
    const box = await plot.boundingBox();
    if (!box) throw new Error('no plot');
    await page.mouse.click(box.x + 52 + (box.width - 64) / 2, box.y + 10 + (box.height - 46) / 2);
    await hero().locator('.arithmetic .katex').waitFor();
    const tex = (await hero().locator('.arithmetic annotation').textContent()) ?? '';
    expect(tex).toMatch(/^x = .*\\sigma_t = .*\\gamma = .*\\to.*y = /);
    const value = (name: string): number =>
      Number(new RegExp(`${name.replace(/\\/g, '\\\\')} = (-?[\\d.e-]+)`).exec(tex)?.[1]);
    const y = (value('\\gamma') * (value('x') - value('\\mu_t'))) / value('\\sigma_t') + value('\\beta');
    expect(value('y')).toBeCloseTo(y, 1);
    await page.getByLabel('The WGSL of this norm').click();
    expect(await page.locator('.wgsl pre').textContent()).toContain('// layernorm:');
    await page.keyboard.press('Escape');

    // The figure as a file: plain SVG with what is on the canvas, and twice as many pixels as PNG.
    await page.getByLabel(/^Save: Layer normalization: input and output/).click();
    const saved = async (format: string): Promise<Buffer> => {
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.locator('.keep [open]').getByRole('button', { name: format }).click(),
      ]);
      expect(download.suggestedFilename()).toBe(
        `normscope-curve-fairy-tale-gpt-layernorm.${format.toLowerCase()}`,
      );
      return readFile(await download.path());
    };
    const svg = (await saved('SVG')).toString('utf8');
    expect(svg).not.toMatch(/var\(|color-mix|color\(|class=|foreignObject|<script|\bon\w+=/);
    expect(svg).toContain('href="data:image/png;base64,');
    const size = await page.evaluate((text) => {
      const { documentElement: root } = new DOMParser().parseFromString(text, 'image/svg+xml');
      const words = (name: string) => root.querySelector(name)?.textContent;
      return {
        name: root.tagName,
        title: words('title'),
        caption: words('desc'),
        texts: root.querySelectorAll('text').length,
        width: Number(root.getAttribute('width')),
        height: Number(root.getAttribute('height')),
      };
    }, svg);
    expect(size).toMatchObject({
      name: 'svg',
      title: 'Layer normalization: input and output, layer 5, before the MLP',
      caption: expect.stringMatching(
        /^LayerNorm, native · weights fairy-tale-gpt\/layernorm · “Omeed likes .*” · .*\(software adapter\)/,
      ) as string,
    });
    expect(size.texts).toBeGreaterThan(10);
    await page.getByLabel(/^Save: Layer normalization: input and output/).click();
    const png = await saved('PNG');
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([2 * size.width, 2 * size.height]);

    await radio('channel').check();
    expect(
      await page.getByRole('group', { name: 'Channels that hold the extremes' }).getByRole('button').count(),
    ).toBe(5);
    expect(await serious()).toEqual([]);

    // The same norm in a text of one's own: broken, told at its line, mended, run, and left.
    await page.getByLabel('The WGSL of this norm').click();
    await page.getByRole('button', { name: /^Edit it/ }).click();
    const panel = page.getByRole('region', { name: 'Your own norm' });
    const editor = panel.getByRole('textbox');
    await editor.waitFor();
    const lines = await editor.locator('.cm-line').allTextContents();
    const at = lines.findIndex((line) => line.includes('- stat.y) * stat.z'));
    const writeAndRun = async (line: string): Promise<void> => {
      await editor.fill(lines.with(at, line).join('\n'));
      await editor.press('Control+Enter');
    };
    await writeAndRun('  return nothing;');
    await panel.getByRole('button', { name: `line ${at + 1}`, exact: true }).waitFor();
    expect(await panel.locator('.own-complaints').textContent()).toContain("'nothing'");
    expect(await editor.locator('.cm-lintRange-error').textContent()).toBe('nothing');
    await page.getByRole('heading', { name: 'Layer normalization at work' }).waitFor();
    const before = await page.getByRole('region', { name: 'Next token' }).textContent();
    await after(page, async () => {
      await writeAndRun('  return 0.2 * ((x - stat.x) - stat.y) * stat.z;');
      await page.getByRole('heading', { name: 'Your own LayerNorm at work' }).waitFor();
    });
    await panel.getByText(/Differs from LayerNorm by up to/).waitFor();
    await page.locator('.norm-bar .badge').getByText('your own LayerNorm').waitFor();
    expect(await page.getByRole('region', { name: 'Next token' }).textContent()).not.toBe(before);
    expect(page.url()).not.toMatch(/own|stat/);
    expect(await serious()).toEqual([]);
    await panel.getByRole('button', { name: 'Reset' }).click();
    await page.getByRole('heading', { name: 'Layer normalization at work' }).waitFor();
    await settled(page);
    expect(await page.getByRole('region', { name: 'Next token' }).textContent()).toBe(before);
    expect(complaints).toEqual([]);
  });
});

describe('the other figures', () => {
  it('map, depth and α against 1/σ say in words and tables what they draw', async () => {
    await radio('Map').check();
    const worst = page.getByRole('table', { name: 'Channels that reach furthest' });
    const most = Number(await worst.locator('tbody td').first().textContent());
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await worst.getByRole('button', { name: 'Copy as Markdown' }).click();
    await worst.getByText('Copied as Markdown').waitFor();
    const markdown = (await page.evaluate(() => navigator.clipboard.readText())).split('\n');
    expect(markdown.slice(0, 2)).toEqual(['**Channels that reach furthest**', '']);
    expect(markdown[2]).toBe('| furthest channels | max \\|x/σ\\| | in token | beyond 2 |');
    expect(markdown[3]).toBe('| --- | ---: | --- | ---: |');
    expect(markdown[4]).toContain(`| ${most.toString()} |`);
    expect(markdown.filter((line) => line.startsWith('| channel '))).toHaveLength(4);
    await worst.locator('tbody').getByRole('button').first().click();
    const here = page.locator('.map-here');
    expect(Math.abs(Number((await here.locator('b').textContent())?.replace('−', '-')))).toBeCloseTo(most, 2);
    const map = page.getByRole('application');
    await map.focus();
    const channel = async (): Promise<number> =>
      Number(/channel (\d+)/.exec((await here.textContent()) ?? '')?.[1]);
    const from = await channel();
    await page.keyboard.press(from > 0 ? 'ArrowLeft' : 'ArrowRight');
    expect(await channel()).toBe(from > 0 ? from - 1 : 1);
    expect(await serious()).toEqual([]);

    await radio('Depth').check();
    expect(await page.locator('.depth-chart').count()).toBe(5);
    await page
      .locator('.limit')
      .getByText(/at most ln \d+ = [\d.]+/)
      .waitFor();
    await hero().getByRole('button', { name: 'table' }).click();
    const rows = hero().locator('tbody tr');
    expect(await rows.count()).toBe(13);
    const headers = hero().locator('thead th');
    await headers.filter({ hasText: 'answer’s rank' }).waitFor();
    const titles = await headers.allTextContents();
    const entropies = rows.locator(`:nth-child(${1 + titles.findIndex((t) => t.includes('entropy'))})`);
    expect((await entropies.allTextContents()).filter((text) => /^[\d.]+ · [\d.]+$/.test(text)).length).toBe(
      6,
    );
    // The last site's lens is the answer itself.
    expect(await rows.last().locator('td').last().textContent()).toBe('1');
    expect(await serious()).toEqual([]);

    await radio('α and 1/σ').check();
    await hero().getByText('No site here has an α').waitFor();
    await after(page, () => page.getByRole('button', { name: 'Show DyT' }).click(), shown);
    expect(await page.locator('.alpha-point').count()).toBe(13);
    expect(await hero().textContent()).toMatch(/correlation of log α with log 1\/σ is −?[\d.]+/);
    expect(await serious()).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('a member of the gallery is put on the weights as a raw swap', async () => {
    const [id] = GALLERY_IDS;
    if (!id) throw new Error('the gallery is empty');
    await after(page, () => page.getByLabel('More norms').selectOption(id), shown);
    await page.getByRole('heading', { name: `${NORMS[id].name} at work` }).waitFor();
    expect(await page.locator('.norm-bar .badge').textContent()).toBe('raw swap');
    expect(complaints).toEqual([]);
  });
});
