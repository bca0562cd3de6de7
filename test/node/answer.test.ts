// The loop that every engine draws tokens with.
import { describe, expect, test } from 'vitest';
import { drawTokens } from '../../src/engine/answer.ts';
import type { Tokenizer } from '../../src/format/tokenizer.ts';

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
