// The tokenizer on real text, and on text that nobody means.
import { describe, expect, test } from 'vitest';
import { Tokenizer } from '../../src/format/tokenizer.ts';
import { SAMPLE_PROMPTS } from '../../src/store/store.ts';
import { MODEL_FOLDER, readText } from './fakes.ts';

const tokenizer = new Tokenizer('tokenizer.json', readText(`${MODEL_FOLDER}/tokenizer.json`));
const golden = JSON.parse(readText('test/golden/layernorm/golden.json')) as {
  cases: { name: string; tokens: number[]; greedy: number[]; greedyText: string }[];
};
const goldenCase = (name: string) => golden.cases.find((c) => c.name === name);

test.each([
  ['p0', 'Omeed likes to eat potatoes'],
  ['p1', 'Once upon a time there lived a king who had three daughters.'],
])('golden prompt %s', (name, prompt) => {
  const tokens = goldenCase(name)?.tokens ?? [];
  expect(tokens.length).toBeGreaterThan(10);
  expect(tokenizer.encode(prompt)).toEqual(tokens);
  expect(tokenizer.decode(tokens)).toBe(prompt);
});

test.each(['p0', 'p1', 'p2'])('golden continuation %s reads as it was written', (name) => {
  const { greedy = [], greedyText = '?' } = goldenCase(name) ?? {};
  expect(tokenizer.decode(greedy)).toBe(greedyText);
});

describe('any text survives the way there and back', () => {
  test.each<[string, string]>([
    ...SAMPLE_PROMPTS.map((prompt): [string, string] => [prompt, prompt]),
    ['nothing', ''],
    ['spaces', '   \t\n\r\n  '],
    ['spaces that a tidy decoder would take out', "He did n't , I 'm sure . Was it ' s ? No !"],
    ['emoji', '🐉👩‍👩‍👧‍👦🇮🇷'],
    ['CJK', '昔々あるところに、お爺さんと老婆がいました。'],
    ['right to left', 'یکی بود، یکی نبود'],
    ['combining marks', 'Z͑ͫ̓a̷lgo é é'],
    ['NUL and control characters', 'a\0b\u0001\u007f\u0085'],
    ['no characters at all', '\uFFFF\uFDD0\u{10FFFF}'],
    ['byte order mark', '\uFEFFx'],
    ['the end mark spelled out', 'a<|endoftext|>b'],
    ['10,000 characters', 'Es war einmal ein König – 昔 🐉 '.repeat(330).slice(0, 10_000)],
    ['10,000 times the same', 'a'.repeat(10_000)],
  ])('%s', (_name, text) => {
    const ids = tokenizer.encode(text);
    expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 2048)).toBe(true);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(tokenizer.tokens(ids).map(({ id }) => id)).toEqual(ids);
  });

  test.each([
    ['high', 'a\uD83Db', 'a\uFFFDb'],
    ['low', '\uDC09', '\uFFFD'],
    ['swapped', '\uDC09\uD83D!', '\uFFFD\uFFFD!'],
  ])('a lone %s surrogate becomes U+FFFD', (_name, text, want) => {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(want);
  });
});

test('tokens that are parts of a character show as U+FFFD, and together as the character', () => {
  const ids = tokenizer.encode('🐉');
  expect(ids.length).toBeGreaterThan(1);
  expect(tokenizer.tokens(ids).every(({ text }) => text.includes('\uFFFD'))).toBe(true);
});

test.each(['', '{', 'null', '[]', '{"model":{}}'])('%s is no tokenizer and is refused by name', (json) => {
  expect(() => new Tokenizer('odd/tokenizer.json', json)).toThrow(
    expect.objectContaining({
      code: 'bad-file',
      message: expect.stringContaining('Cannot read "odd/tokenizer.json"'),
    }),
  );
});

test('the largest id is known, to be held against the embedding', () => {
  expect(tokenizer.largestId).toBe(2047);
  const json = JSON.parse(readText(`${MODEL_FOLDER}/tokenizer.json`)) as { added_tokens: { id: unknown }[] };
  const [first] = json.added_tokens;
  for (const id of [2 ** 60, -1, 0.5, '7', null]) {
    const odd = JSON.stringify({ ...json, added_tokens: [{ ...first, id }] });
    expect(() => new Tokenizer('odd/tokenizer.json', odd)).toThrow(/no whole number/);
  }
});
