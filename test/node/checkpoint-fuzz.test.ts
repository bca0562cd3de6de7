// Real headers and configurations, damaged at random from a fixed seed: each case ends in a model or in a Problem, soon,
// and what is accepted is right by a check that shares no code with the parser.
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseHeader } from '../../src/format/safetensors.ts';
import { openTensors } from '../../src/format/tensors.ts';
import type { TensorIndex } from '../../src/format/tensors.ts';
import { bindTensors, readConfig } from '../../src/model/hf.ts';
import { Problem } from '../../src/problem.ts';
import { GOLDEN_HF, goldenSource } from './checkpoints.ts';
import { fileUrl, readBytes } from './fakes.ts';

const SEED = 20261123;
const HEADER_CASES = 30_000;
const CONFIG_CASES = 15_000;
/** One case may take so long on a machine that does other things too. */
const CASE_MS = 2_000;

/** mulberry32: numbers in [0, 1). */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const next = random(SEED);
const below = (n: number): number => Math.floor(next() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;

const NUMBERS = [
  '0',
  '1',
  '-1',
  '0.5',
  '1e3',
  '1e400',
  '4294967296',
  '9007199254740993',
  '18446744073709551616',
  '48',
  '96',
];
const PIECES = [
  ...NUMBERS,
  'null',
  'true',
  '[]',
  '{}',
  '""',
  '"F16"',
  '"F99"',
  '"BF16"',
  ',',
  ':',
  '{',
  '}',
  '[',
  ']',
  '"',
  '\\',
  '\\u0000',
  ' ',
  '\n',
  '\ufeff',
  '[[[[[[[[[[',
  '"__proto__":1,',
  '"constructor":{},',
  '"__metadata__":{"a":1},',
  '"shape":[1],',
  '{"a":',
];

/** One to four damages to a text: a number replaced, a piece put in, cut out, doubled, swapped or a bit turned. */
function mutate(text: string): string {
  let out = text;
  for (let n = 1 + below(4); n > 0; n--) {
    const at = below(out.length + 1);
    const to = Math.min(out.length, at + 1 + below(40));
    const numbers = [...out.matchAll(/-?\d+(\.\d+)?(e[+-]?\d+)?/g)];
    const number = numbers.length ? pick(numbers) : undefined;
    const damage = below(8);
    if (damage <= 2 && number) {
      // Half of them close to the truth, where mistakes hide.
      const value = next() < 0.5 ? pick(NUMBERS) : String(Number(number[0]) + pick([-48, -4, -1, 1, 4, 48]));
      out = out.slice(0, number.index) + value + out.slice(number.index + number[0].length);
    } else if (damage === 3) out = out.slice(0, at) + pick(PIECES) + out.slice(at);
    else if (damage === 4) out = out.slice(0, at) + out.slice(to);
    else if (damage === 5) out = out.slice(0, to) + out.slice(at, to) + out.slice(to);
    else if (damage === 6)
      out =
        out.slice(0, at) +
        String.fromCharCode((out.charCodeAt(at) || 32) ^ (1 << below(7))) +
        out.slice(at + 1);
    else {
      // Two whole entries change places, or one is there twice.
      const entries = [...out.matchAll(/"[\w.]+":\s*(\{[^{}]*\}|[^,{}[\]]+)/g)].map(([entry]) => entry);
      if (entries.length > 1)
        out = out.replace(pick(entries), pick([pick(entries), `${pick(entries)},${pick(entries)}`]));
    }
  }
  return out;
}

/** Either the value of `work`, or null where it is a Problem with its words in order; anything else is a failure. */
function attempt<T>(work: () => T, input: string): T | null {
  const startMs = performance.now();
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof Problem))
      throw new Error(`no Problem for ${input.slice(0, 3000)}`, { cause: thrown });
    expect(thrown.message).toMatch(/^Cannot (read|use) /);
    expect(thrown.message.length).toBeLessThan(1_500);
    expect(thrown.hint).not.toBe('');
    return null;
  } finally {
    expect(performance.now() - startMs).toBeLessThan(CASE_MS);
  }
}

/** Strict JSON, written without JSON.parse: numbers stay text, keys may stand once. Throws on anything else. */
function strictJson(text: string): unknown {
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`at ${at}`);
  };
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const [found] = pattern.exec(text) ?? fail();
    at += found.length;
    return found;
  };
  const space = (): string => take(/[ \t\n\r]*/y);
  const string = (): string => {
    const raw = take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y).slice(1, -1);
    const plain: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
    return raw.replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_, e: string) =>
      e.length > 1 ? String.fromCharCode(Number.parseInt(e.slice(1), 16)) : (plain[e] ?? e),
    );
  };
  const value = (): unknown => {
    space();
    const char = text[at];
    let out: unknown;
    if (char === '{') {
      const map = new Map<string, unknown>();
      at++;
      space();
      if (text[at] === '}') at++;
      else
        do {
          space();
          const key = string();
          space();
          take(/:/y);
          if (map.has(key)) fail();
          map.set(key, value());
        } while (take(/[,}]/y) === ',');
      out = map;
    } else if (char === '[') {
      const list: unknown[] = [];
      at++;
      space();
      if (text[at] === ']') at++;
      else
        do list.push(value());
        while (take(/[,\]]/y) === ',');
      out = list;
    } else if (char === '"') out = { text: string() };
    else out = take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y);
    space();
    return out;
  };
  const out = value();
  if (at !== text.length) fail();
  return out;
}

const WIDTHS: Record<string, bigint> = {
  F64: 8n,
  F32: 4n,
  F16: 2n,
  BF16: 2n,
  F8_E5M2: 1n,
  F8_E4M3: 1n,
  I64: 8n,
  U64: 8n,
  I32: 4n,
  U32: 4n,
  I16: 2n,
  U16: 2n,
  I8: 1n,
  U8: 1n,
  BOOL: 1n,
};
/** A whole number as JSON may write it: `1e3` and `4.0` are some. */
const whole = (token: unknown): bigint => {
  const [, int = '', fraction = '', exponent = '0'] =
    /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(String(token)) ?? [];
  const shift = Number(exponent) - fraction.length;
  const digits = BigInt(int + fraction);
  if (int === '' || Math.abs(shift) > 400) throw new RangeError(String(token));
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  if (digits % 10n ** BigInt(-shift) !== 0n) throw new RangeError(String(token));
  return digits / 10n ** BigInt(-shift);
};

/** Throws unless the header describes exactly the bytes of its file; all sums in BigInt. */
function strictHeader(text: string, bodyBytes: bigint): number {
  if (!text.startsWith('{')) throw new SyntaxError('no object');
  const header = strictJson(text) as Map<string, unknown>;
  const spans: [bigint, bigint][] = [];
  for (const [name, entry] of header) {
    const fields = entry as Map<string, unknown>;
    if (name === '__metadata__') {
      for (const words of fields.values())
        if (typeof (words as { text: unknown }).text !== 'string') throw new TypeError(name);
      continue;
    }
    const width = WIDTHS[(fields.get('dtype') as { text: string }).text];
    const shape = (fields.get('shape') as unknown[]).map(whole);
    const [begin, end, more] = (fields.get('data_offsets') as unknown[]).map(whole);
    if (width === undefined || begin === undefined || end === undefined || more !== undefined)
      throw new TypeError(name);
    if (shape.reduce((product, n) => product * n, width) !== end - begin) throw new RangeError(name);
    spans.push([begin, end]);
  }
  spans.sort(([a, b], [c, d]) => (a === c ? Number(b - d) : Number(a - c)));
  let reached = 0n;
  for (const [begin, end] of spans) {
    if (begin !== reached) throw new RangeError(`at ${begin}`);
    reached = end;
  }
  if (reached !== bodyBytes) throw new RangeError('length');
  return spans.length;
}

const MODELS = readdirSync(fileUrl(GOLDEN_HF), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const HEADERS = MODELS.flatMap((model) =>
  readdirSync(fileUrl(`${GOLDEN_HF}/${model}`))
    .filter((name) => name.endsWith('.safetensors'))
    .map((name) => {
      const bytes = readBytes(`${GOLDEN_HF}/${model}/${name}`);
      const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
      return {
        text: new TextDecoder().decode(bytes.subarray(8, 8 + length)),
        bodyBytes: bytes.length - 8 - length,
      };
    }),
);

test('the strict check takes the real headers and refuses planted lies', () => {
  for (const { text, bodyBytes } of HEADERS) {
    expect(strictHeader(text, BigInt(bodyBytes))).toBeGreaterThan(0);
    expect(() => strictHeader(text, BigInt(bodyBytes + 1))).toThrow('length');
    expect(() => strictHeader(text.replace('[0,', '[4,'), BigInt(bodyBytes))).toThrow(RangeError);
    expect(() => strictHeader(text.replace(/"F32"|"F16"|"BF16"/, '"I8"'), BigInt(bodyBytes))).toThrow(
      RangeError,
    );
  }
  expect(() => strictHeader('{"a":1,"a":1}', 0n)).toThrow(SyntaxError);
});

test(`${HEADER_CASES} damaged headers`, () => {
  let accepted = 0;
  for (let n = 0; n < HEADER_CASES; n++) {
    const { text, bodyBytes } = pick(HEADERS);
    const damaged = mutate(text);
    const json = new TextEncoder().encode(damaged);
    const fileBytes = 8 + json.length + bodyBytes;
    const header = attempt(() => parseHeader('m.safetensors', json, fileBytes), damaged);
    if (!header) continue;
    accepted++;
    expect(strictHeader(new TextDecoder('utf-8', { ignoreBOM: true }).decode(json), BigInt(bodyBytes))).toBe(
      header.tensors.size,
    );
    for (const { begin, end } of header.tensors.values())
      expect(begin >= 8 + json.length && begin <= end && end <= fileBytes).toBe(true);
  }
  // Enough of both, or the damage is too coarse or too fine to say anything.
  expect(accepted).toBeGreaterThan(HEADER_CASES / 100);
  expect(accepted).toBeLessThan(HEADER_CASES / 2);
}, 300_000);

/** What must hold between a configuration and the tensors of its checkpoint, field by field. */
function strictConfig(raw: Map<string, unknown>, { tensors }: TensorIndex): void {
  const names = [...tensors.keys()];
  const style = names.some((name) => name.includes('wte'))
    ? 0
    : names.some((name) => name.includes('q_lin'))
      ? 1
      : 2;
  /** A field by what GPT-2, DistilBERT and everybody else call it. */
  const field = (...called: [string, string, string]): number | undefined => {
    const token = raw.get(called[style] ?? '');
    return token === undefined || token === 'null' ? undefined : Number(whole(token));
  };
  const all = (name: string): [string, string, string] => [name, name, name];
  const shape = (ending: string): readonly number[] =>
    [...tensors.values()].find(({ name }) => name.endsWith(ending))?.shape ?? [];
  const is = (what: string, a: unknown, b: unknown): void => expect(a, what).toBe(b);
  const C = field('n_embd', 'dim', 'hidden_size');
  const H = field('n_head', 'n_heads', 'num_attention_heads') ?? 0;
  const found = [...tensors.keys()].map((name) =>
    Number(/\.(?:h|layers|layer)\.(\d+)\./.exec(name)?.[1] ?? -1),
  );
  is('layers', field('n_layer', 'n_layers', 'num_hidden_layers'), Math.max(...found) + 1);
  expect(H).toBeGreaterThan(0);
  for (const table of ['wte.weight', 'embed_tokens.weight', 'word_embeddings.weight']
    .map(shape)
    .filter((s) => s.length)) {
    is('vocabulary', table[0], field(...all('vocab_size')));
    is('channels', table[1], C);
  }
  const q = shape('q_proj.weight');
  if (q.length) {
    const D = field(...all('head_dim')) ?? (C ?? 0) / H;
    is('q', q[0], H * D);
    is('k', shape('k_proj.weight')[0], (field(...all('num_key_value_heads')) ?? H) * D);
    is('gate', shape('gate_proj.weight')[0], field(...all('intermediate_size')));
  } else {
    is('heads', (C ?? 0) % H, 0);
    const inner =
      shape('mlp.c_fc.weight')[1] ?? shape('intermediate.dense.weight')[0] ?? shape('ffn.lin1.weight')[0];
    is('hidden', inner, field('n_inner', 'hidden_dim', 'intermediate_size') ?? 4 * (C ?? 0));
    const positions = shape('wpe.weight')[0] ?? shape('position_embeddings.weight')[0];
    if (positions !== undefined)
      is('positions', positions, field('n_positions', 'max_position_embeddings', 'max_position_embeddings'));
  }
}

test(`${CONFIG_CASES} damaged configurations over their real checkpoints`, async () => {
  const models = await Promise.all(
    MODELS.map(async (model) => ({
      text: new TextDecoder().decode(readBytes(`${GOLDEN_HF}/${model}/config.json`)),
      index: await openTensors(goldenSource(model)),
    })),
  );
  for (const { text, index } of models) strictConfig(strictJson(text) as Map<string, unknown>, index);
  let accepted = 0;
  for (let n = 0; n < CONFIG_CASES; n++) {
    const { text, index } = pick(models);
    const damaged = mutate(text);
    const json = new TextEncoder().encode(damaged);
    const bound = attempt(() => bindTensors(readConfig('config.json', json), index), damaged);
    if (!bound) continue;
    accepted++;
    const raw = strictJson(new TextDecoder('utf-8', { ignoreBOM: true }).decode(json));
    expect(() => strictConfig(raw as Map<string, unknown>, index), damaged).not.toThrow();
  }
  expect(accepted).toBeGreaterThan(CONFIG_CASES / 100);
  expect(accepted).toBeLessThan(CONFIG_CASES * 0.9);
}, 300_000);
