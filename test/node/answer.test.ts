// What engines share: the loop they draw tokens with, and the values of a site.
import { describe, expect, test } from 'vitest';
import { drawTokens, inspection, thetaOf } from '../../src/engine/answer.ts';
import type { Tokenizer } from '../../src/format/tokenizer.ts';
import { referenceStats } from '../../src/kernel/probe-reference.ts';
import { gptCheckpoint } from '../../src/model/families/gpt.ts';
import { thetaScalars } from '../../src/model/plan.ts';
import type { Plan } from '../../src/model/plan.ts';
import { lookAt } from '../../src/ui/look.ts';
import { arithmetic } from '../../src/ui/panels/LiveFormula.tsx';
import { SMALL } from './fakes.ts';

const tokenizer = { decode: (ids: readonly number[]) => ids.join(' ') } as Tokenizer;
const sampling = (maxTokens: number) => ({ temperature: 0, topK: 0, seed: 0, maxTokens });
const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/** Gives id 100 + index, when told to; `asked` has every index that was asked for. */
function source() {
  const asked: number[] = [];
  const settle: { resolve: (id: number) => void; reject: (why: Error) => void }[] = [];
  return {
    asked,
    next: (index: number): Promise<number> => {
      asked.push(index);
      return new Promise((resolve, reject) => (settle[index] = { resolve, reject }));
    },
    give: (index: number): void => settle[index]?.resolve(100 + index),
    fail: (index: number): void => settle[index]?.reject(new Error(`no token ${index}`)),
  };
}

describe('drawing tokens', () => {
  test.each([
    [1, 3, 99, 3],
    [4, 3, 99, 3],
    [4, 9, 12, 2],
    [4, 9, 10, 0],
    [2, 0, 99, 0],
  ])('%d ahead, %d wanted, a context of %d: %d are asked for', async (ahead, most, context, want) => {
    const asked: number[] = [];
    const next = async (index: number): Promise<number> => {
      asked.push(index);
      return 100 + index;
    };
    const { ids } = await drawTokens(10, sampling(most), context, tokenizer, next, ahead, {});
    expect(asked).toEqual(Array.from({ length: want }, (_, i) => i));
    expect(ids).toEqual(asked.map((i) => 100 + i));
  });

  test('are shown in order, each as soon as it and those before it have come', async () => {
    const { asked, next, give } = source();
    const shown: string[] = [];
    const drawing = drawTokens(1, sampling(5), 99, tokenizer, next, 3, {
      onToken: ({ text, index }) => shown.push(`${index}: ${text}`),
    });
    await later();
    expect(asked).toEqual([0, 1, 2]);
    give(1);
    await later();
    expect(shown).toEqual([]);
    give(0);
    await later();
    expect(shown).toEqual(['0: 100', '1: 100 101']);
    expect(asked).toEqual([0, 1, 2, 3, 4]);
    for (const index of [4, 3, 2]) give(index);
    expect((await drawing).text).toBe('100 101 102 103 104');
  });

  test('stop when somebody says so, once all that is under way has come', async () => {
    const { asked, next, give } = source();
    const abort = new AbortController();
    let isDone = false;
    const drawing = drawTokens(1, sampling(9), 99, tokenizer, next, 3, { signal: abort.signal }).finally(
      () => (isDone = true),
    );
    give(0);
    await later();
    abort.abort();
    give(1);
    give(2);
    await later();
    expect(isDone).toBe(false);
    give(3);
    expect((await drawing).ids).toEqual([100]);
    expect(asked).toEqual([0, 1, 2, 3]);
  });

  test('fail with the first that fails, once the others have come or failed too', async () => {
    const { next, give, fail } = source();
    let isDone = false;
    const drawing = drawTokens(1, sampling(9), 99, tokenizer, next, 3, {}).finally(() => (isDone = true));
    fail(2);
    fail(0);
    await later();
    expect(isDone).toBe(false);
    give(1);
    await expect(drawing).rejects.toThrow('no token 0');
  });
});

describe('a site whose first token has a scalar of its own', () => {
  const C = SMALL.n_embd;
  const file = { file: 'none.safetensors', tensors: new Map(), metadata: {} };
  const checkpoint = gptCheckpoint({ config: SMALL, norm: SMALL.norm, file });
  const site = { norm: 'dyt', source: 'fitted', alphaScale: 2, values: { alpha: [0.25] } } as const;
  const plan: Plan = { weights: 'm/layernorm', sites: { ln_f: { ...site, first: { alpha: [1] } } } };
  const x = Float32Array.of(0.1, -0.2, 0.3, 0.4, 0.1, -0.2, 0.3, 0.4);
  const alphas = [2, 2, 2, 2, 0.5, 0.5, 0.5, 0.5];
  const kept = inspection(checkpoint, plan, 'ln_f', { in: x, out: x.map((v, i) => Math.tanh(v * (alphas[i] ?? 0))) }); // prettier-ignore
  const near = (got: ArrayLike<number>, want: readonly number[]): void =>
    want.forEach((value, i) => expect(got[i]).toBeCloseTo(value, 6));

  test.each([1, 3])('shows each token with its own, α turned by %i', (factor) => {
    const look = lookAt(kept, factor);
    near(look.u, [...x].map((v, i) => v * factor * (alphas[i] ?? 0))); // prettier-ignore
    near(look.core, Array.from(look.u, Math.tanh));
    near(look.y, Array.from(look.u, Math.tanh));
    const scalars = thetaScalars(thetaOf(checkpoint, plan, 'ln_f'), C);
    const report = { norm: site.norm, isOwn: false, scalars };
    for (const [token, alpha] of [2, 0.5].entries())
      expect(arithmetic(report, look, { token, channel: 1 })).toContainEqual([
        String.raw`\alpha`,
        alpha * factor,
      ]);
    const { tokens } = referenceStats(site.norm, look.params, x, look.y, C, kept.eps, look.firstParams);
    near(tokens.driveAbsMax, [0.8 * factor, 0.2 * factor]);
    near(tokens.coreAbsMax, [Math.tanh(0.8 * factor), Math.tanh(0.2 * factor)]);
  });

  test('has none where all tokens share it', () => {
    const shared: Plan = { ...plan, sites: { ln_f: site } };
    expect(inspection(checkpoint, shared, 'ln_f', { in: x, out: x }).firstParams).toBeUndefined();
  });
});
