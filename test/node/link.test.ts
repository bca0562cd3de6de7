// The experiment in the address: what goes in comes out, and whatever else stands there does no harm.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MODEL_IDS } from '../../src/model/catalog.ts';
import { SITE_KINDS } from '../../src/model/plan.ts';
import { NORM_IDS } from '../../src/norm/registry.ts';
import { LONGEST_PROMPT, readLink, writeLink } from '../../src/store/link.ts';
import { createExperiment, DEFAULT_CONFIG, DEFAULT_VIEW, HIDEABLE, SECTIONS } from '../../src/store/store.ts';
import type { Config } from '../../src/store/store.ts';
import { applyLink, linkOf, tellOfLink } from '../../src/store/link.ts';
import { SITES, runOf } from './fakes.ts';

const SEED = 20261123;
const norm = fc.constantFrom(...NORM_IDS);
const sites = SITES.map(({ id }) => id);
const factor = fc.double({ min: -3, max: 3, noNaN: true }).map((steps) => 2 ** steps); // as the slider gives it
const configs: fc.Arbitrary<Config> = fc.record({
  model: fc.constantFrom(
    ...MODEL_IDS,
    'hub:people/tiny@main',
    'hub:a-b/c.d_e@refs/pr/1',
    'disk:my-gpt2@0123456789abcdef',
  ),
  weights: fc.constantFrom('twin' as const, 'raw' as const),
  norm,
  base: norm,
  swaps: fc.dictionary(fc.constantFrom(...sites), norm, { noNullPrototype: true }),
  fitted: fc.constant(null),
  scope: fc.record({
    kind: fc.constantFrom('all' as const, ...SITE_KINDS),
    layer: fc.oneof(fc.constant('all' as const), fc.nat(200)),
  }),
  alpha: factor,
  alphas: fc.dictionary(fc.constantFrom(...sites), factor, { noNullPrototype: true }),
  prompt: fc.string({ unit: 'grapheme', maxLength: 300 }),
  sampling: fc.record({
    temperature: fc.integer({ min: 0, max: 200 }).map((n) => n / 100),
    topK: fc.nat(50_000),
    seed: fc.nat(2 ** 31 - 1),
    maxTokens: fc.integer({ min: 1, max: 1000 }),
  }),
  own: fc.constant(null),
});
const views = fc.record({
  section: fc.constantFrom(...SECTIONS),
  statistic: fc.constantFrom('std', 'mean', 'over2'),
  token: fc.oneof(fc.constant(null), fc.nat(255)),
  site: fc.oneof(fc.constant(null), fc.constantFrom(...sites)),
  hide: fc.uniqueArray(fc.constantFrom(...HIDEABLE)),
});

describe('a link', () => {
  test('gives back every experiment it was made of', () => {
    fc.assert(
      fc.property(configs, views, fc.constantFrom('', 'ab'.repeat(32)), (config, view, sha256) => {
        const fragment = writeLink({ config, view: withoutNulls(view) }, sha256);
        const link = readLink(`#${fragment}`);
        expect(link.refused).toEqual([]);
        expect({ ...DEFAULT_CONFIG, ...link.config }).toEqual({
          ...config,
        });
        const { hide, ...seen } = { ...DEFAULT_VIEW, ...link.view };
        const { hide: hidden, ...looked } = view;
        expect(seen).toMatchObject(looked);
        expect(hide.toSorted()).toEqual(hidden.toSorted());
        expect(link.weightsHash).toBe(fragment && sha256 ? sha256.slice(0, 12) : null);
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test('is empty where everything is as at first, and names only what is not', () => {
    expect(writeLink({ config: DEFAULT_CONFIG, view: {} }, 'ab'.repeat(32))).toBe('');
    expect(writeLink({ config: { ...DEFAULT_CONFIG, alpha: 2 }, view: {} }, '')).toBe('v=1&alpha=2');
  });

  test.each<[string, string[]]>([
    ['v=1&alpha=abc', ['alpha']],
    ['v=1&alpha=1e9', ['alpha']],
    ['v=1&alpha=0', ['alpha']],
    ['v=1&norm=__proto__', ['norm']],
    ['v=1&model=../../etc', ['model']],
    ['v=1&model=https://evil.test/a/b', ['model']],
    ['v=1&model=disk:a@b', ['model']],
    [`v=1&model=a/${'b'.repeat(300)}`, ['model']],
    ['v=1&norm=toString&base=constructor', ['norm', 'base']],
    ['v=1&swaps=h.0.ln_1:evil', ['swaps']],
    ['v=1&swaps=h.0.ln_1', ['swaps']],
    ['v=1&swaps=a%20b:dyt', ['swaps']],
    [`v=1&swaps=${Array.from({ length: 5000 }, (_, i) => `s${i}:dyt`).join(',')}`, ['swaps']],
    ['v=1&scope=all', ['scope']],
    ['v=1&scope=all:-1', ['scope']],
    ['v=1&seed=99999999999999999999', ['seed']],
    ['v=1&token=1.5&topK=-3', ['topK', 'token']],
    ['v=1&section=%3Cscript%3E', ['section']],
    [`v=1&prompt=${'a'.repeat(LONGEST_PROMPT + 1)}`, ['prompt']],
    ['v=2&alpha=2', ['version 2 is newer than this page']],
    ['v=x&alpha=2', []],
    ['alpha=2', []],
    ['', []],
  ])('refuses what it cannot mean, %#', (fragment, refused) => {
    const { config, view, refused: names } = readLink(fragment);
    expect(names.toSorted()).toEqual(refused.toSorted());
    if (fragment.startsWith('v=1')) for (const name of refused) expect(config).not.toHaveProperty(name);
    expect(Object.hasOwn(config, '__proto__') || Object.hasOwn(view, '__proto__')).toBe(false);
  });

  test('takes an address of the Hub as a person writes it', () => {
    expect(readLink('v=1&model=people/tiny').config).toEqual({ model: 'hub:people/tiny@main' });
  });

  test('never throws, whatever stands in the address', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 2000 }), fc.webFragments()), (text) => {
        for (const fragment of [text, `v=1&${text}`, `v=1&prompt=${text}&swaps=${text}`]) {
          const { config } = readLink(fragment);
          const store = createExperiment();
          applyLink(store, readLink(fragment));
          expect(typeof store.getState().config.prompt).toBe('string');
          expect(config.prompt?.length ?? 0).toBeLessThanOrEqual(LONGEST_PROMPT);
        }
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  test('keeps a script in the prompt as text', () => {
    const prompt = '<script>alert(1)</script>&norm=dyt#v=9';
    const fragment = writeLink({ config: { ...DEFAULT_CONFIG, prompt }, view: {} }, '');
    expect(readLink(fragment).config).toEqual({ prompt });
  });
});

describe('the page', () => {
  const plan = { weights: 'fairy-tale-gpt/layernorm', sites: {} };

  test.each([
    ['v=1&alpha=2&sha256=abababababab', null],
    ['v=1&alpha=2&sha256=000000000000', 'other-weights'],
    ['v=1&alpha=-2', 'bad-link'],
  ])('tells what is wrong with %s beside the first result', (fragment, code) => {
    const store = createExperiment();
    const link = readLink(fragment);
    applyLink(store, link);
    tellOfLink(store, link);
    store.setState(({ run }) => ({
      run: { ...run, result: { ...runOf(plan, [1]), sha256: 'ab'.repeat(32) } },
    }));
    expect(store.getState().run.problem?.code ?? null).toBe(code);
    expect(linkOf(store.getState())).toMatch(code === 'bad-link' ? /^$/ : /^v=1&alpha=2/);
  });
});

/** What is null is not written: it is the default. */
function withoutNulls<T extends object>(view: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(view).filter(([, value]) => value !== null)) as {
    [K in keyof T]: NonNullable<T[K]>;
  };
}
