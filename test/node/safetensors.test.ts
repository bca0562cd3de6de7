// The container, against files that are handmade, hostile and real.
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/format/fetch.ts';
import { halfToFloat, parseSafetensors, toFloat32 } from '../../src/format/safetensors.ts';
import type { Tensor, TensorFile } from '../../src/format/safetensors.ts';
import { parseJson } from '../../src/model/catalog.ts';
import { GptConfig } from '../../src/model/families/gpt.ts';
import { checkTensors } from '../../src/model/families/gpt.ts';
import { Problem } from '../../src/problem.ts';
import { INFO, MODEL_FOLDER, readBytes, readText } from './fakes.ts';

const FILE = 'twins/odd.safetensors';

/** A file of this header and body; the header's length may lie. */
function encode(header: unknown, body: Uint8Array, claimedBytes?: bigint): Uint8Array {
  const text =
    header instanceof Uint8Array
      ? header
      : new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, claimedBytes ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  return file;
}

const entry = (shape: unknown, begin: unknown, end: unknown, dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

function problemOf(work: () => unknown): Problem {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof Problem) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

test('a file comes back as it was written, also from the middle of a larger buffer', () => {
  const floats = Float32Array.of(1.5, -2, 3e38, 1e-40);
  const body = new Uint8Array([...new Uint8Array(floats.buffer), 0x00, 0x3c, 0x00, 0xc0]);
  const file = encode(
    {
      late: entry([2, 1], 16, 20, 'F16'),
      early: entry([4], 0, 16),
      nothing: entry([0, 7], 20, 20),
      __metadata__: { made: 'by hand' },
    },
    body,
  );
  const large = new Uint8Array(file.length + 3);
  large.set(file, 3);
  const { tensors, metadata } = parseSafetensors(FILE, large.subarray(3));
  expect([...tensors.keys()]).toEqual(['late', 'early', 'nothing']);
  expect(metadata).toEqual({ made: 'by hand' });
  const values = [...tensors.values()].map((tensor) => [...toFloat32(tensor)]);
  expect(values).toEqual([[1, -2], [...floats], []]);
  expect(tensors.get('late')).toMatchObject({ dtype: 'F16', shape: [2, 1] });
});

describe('a hostile file is refused by name', () => {
  const four = new Uint8Array(4);
  const W = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  test.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(), /0 bytes are too few/],
    ['shorter than its length field', new Uint8Array(7), /7 bytes are too few/],
    ['with a header longer than itself', encode({}, four, 8n), /claims 8 bytes and 6 are there/],
    ['with a header of 10 GB', encode({}, four, 10_000_000_000n), /10000000000 bytes is over the limit/],
    ['with a header of 2^64 - 1 bytes', encode({}, four, 2n ** 64n - 1n), /over the limit/],
    [
      'that is not UTF-8',
      encode(
        Uint8Array.from('{"ÿ":0}', (c) => c.charCodeAt(0)),
        four,
      ),
      /no JSON \(/,
    ],
    ['that is not JSON', encode('{"a":', four), /no JSON/],
    ['whose JSON is an array', encode([1, 2], four), /no JSON object/],
    ['whose JSON is null', encode('null', four), /no JSON object/],
    ['whose metadata is not text', encode({ __metadata__: { a: 1 } }, new Uint8Array()), /__metadata__/],
    ['that names a tensor twice', encode(`{"w":${W},"w":${W}}`, four), /key "w" stands twice/],
    [
      'that names one twice, once in escapes',
      encode(`{"w":${W},"\\u0077":${W}}`, four),
      /key "w" stands twice/,
    ],
    ['whose entry has two shapes', encode(`{"w":{"shape":[1],"shape":[1]}}`, four), /"shape" stands twice/],
    ['with a byte order mark', encode(`\ufeff{"w":${W}}`, four), /no JSON/],
    ['that starts with a space', encode(` {"w":${W}}`, four), /does not start with/],
    ['nested to a million levels', encode('['.repeat(1e6), four), /nested deeper than 8 levels/],
    ['with an endless string', encode(`{"${'\\'.repeat(1e6)}`, four), /a string has no end/],
    ['of five million values', encode(`{"w":[${'0,'.repeat(5e6)}0]}`, four), /more than 4000000 values/],
    ['with bytes that belong to none', encode({ w: entry([1], 0, 4) }, new Uint8Array(9)), /5 bytes after/],
    ['without tensors but with bytes', encode({}, four), /4 bytes after the last tensor/],
  ])('%s', (_name, bytes, message) => {
    const problem = problemOf(() => parseSafetensors(FILE, bytes));
    expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
    expect(problem.message).toContain(`"${FILE}"`);
    expect(problem.hint).not.toBe('');
  });

  test.each<[string, unknown, RegExp]>([
    ['is no object', 7, /malformed/],
    ['is null', null, /malformed/],
    ['lacks offsets', { dtype: 'F32', shape: [2] }, /malformed/],
    ['has one offset', { dtype: 'F32', shape: [2], data_offsets: [0] }, /malformed/],
    ['has three offsets', { dtype: 'F32', shape: [2], data_offsets: [0, 8, 8] }, /malformed/],
    ['has a dtype that is no text', entry([2], 0, 8, 4), /malformed/],
    ['has a negative size', entry([-2], 0, 8), /malformed/],
    ['has half a size', entry([0.5], 0, 8), /malformed/],
    ['has a size beyond 2^53', entry([2 ** 60], 0, 8), /malformed/],
    ['has text for a size', entry(['2'], 0, 8), /malformed/],
    ['has negative offsets', entry([2], -8, 0), /malformed/],
    ['has half an offset', entry([2], 0.5, 8.5), /malformed/],
    ['has an unknown dtype', entry([2], 0, 8, 'F31'), /dtype "F31" is unknown/],
    ['has a dtype that only objects know', entry([2], 0, 8, 'constructor'), /"constructor" is unknown/],
    ['runs backwards', entry([2], 8, 0), /backwards, \[8, 0\]/],
    ['ends outside the file', entry([4], 0, 16), /ends at byte 16 and the file holds 8/],
    ['has more bytes than its shape', entry([1], 0, 8), /needs 4 bytes and its offsets span 8/],
    ['has fewer bytes than its shape', entry([2, 2], 0, 8), /needs 16 bytes/],
    ['overflows', entry([2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31], 0, 8), /needs .* bytes/],
    ['overflows to infinity', entry(Array(20).fill(2 ** 52), 0, 8), /needs more than 2\^53 bytes/],
    ['overflows and is empty', entry([...Array(20).fill(2 ** 52), 0], 0, 0), /needs more than 2\^53 bytes/],
    ['has 33 axes', entry(Array(33).fill(1), 0, 4), /malformed \(more than 32 axes\)/],
  ])('a tensor whose entry %s', (_name, bad, message) => {
    const bytes = encode({ 'h.0.odd': bad }, new Uint8Array(8));
    const problem = problemOf(() => parseSafetensors(FILE, bytes));
    expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
    expect(problem.message).toContain(`"${FILE}"`);
    expect(problem.message).toContain('"h.0.odd"');
  });

  test.each([
    ['overlap', entry([2], 4, 12), /"second" starts at byte 4, where the one before ends at 8: they overlap/],
    ['leave a hole', entry([1], 12, 16), /"second" starts at byte 12, .* at 8: there is a hole/],
    ['are one and the same', entry([2], 0, 8), /they overlap/],
  ])('tensors that %s', (_name, second, message) => {
    const bytes = encode({ first: entry([2], 0, 8), second }, new Uint8Array(16));
    const problem = problemOf(() => parseSafetensors(FILE, bytes));
    expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
    expect(problem.message).toContain(`"${FILE}"`);
  });

  test('a first tensor that does not start at the first byte', () => {
    const bytes = encode({ first: entry([1], 4, 8) }, new Uint8Array(8));
    expect(problemOf(() => parseSafetensors(FILE, bytes)).message).toMatch(/"first".*there is a hole/);
  });

  test('"__proto__" is a name like any other and touches nothing', () => {
    const { tensors } = parseSafetensors(
      FILE,
      encode('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', Uint8Array.of(9)),
    );
    expect(tensors.get('__proto__')?.bytes).toEqual(Uint8Array.of(9));
    expect(Object.hasOwn(Object.prototype, 'dtype')).toBe(false);
  });

  test('integers are not read as floats', () => {
    const { tensors } = parseSafetensors(FILE, encode({ ids: entry([4], 0, 4, 'U8') }, new Uint8Array(4)));
    const ids = tensors.get('ids');
    expect(() => ids && toFloat32(ids)).toThrow(/"ids" as floats: its dtype is U8/);
  });
});

test.each([
  [0x0000, 0],
  [0x8000, -0],
  [0x3c00, 1],
  [0xc000, -2],
  [0x3555, 0.333251953125],
  [0x7bff, 65504],
  [0xfbff, -65504],
  [0x0001, 2 ** -24],
  [0x03ff, 1023 * 2 ** -24],
  [0x0400, 2 ** -14],
  [0x7c00, Infinity],
  [0xfc00, -Infinity],
  [0x7c01, NaN],
  [0xfe00, NaN],
])('half 0x%s is %d', (bits, want) => {
  expect(halfToFloat(bits)).toBe(want);
});

test('bf16 is the upper half of a float32', () => {
  const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc049, 0x7f80, 0x0001, 0x8000).buffer);
  const values = toFloat32({ name: 'w', dtype: 'BF16', shape: [5], bytes });
  expect([...values]).toEqual([1, -3.140625, Infinity, 2 ** -133, -0]);
});

describe('the bundled model', () => {
  test.each([INFO.tokenizer, ...Object.values(INFO.twins).map(({ weights }) => weights)])(
    '$path has the size and the SHA-256 that model.json states',
    async ({ path, sizeBytes, sha256: hash }) => {
      const bytes = readBytes(`${MODEL_FOLDER}/${path}`);
      expect(bytes.byteLength).toBe(sizeBytes);
      expect(await sha256(bytes)).toBe(hash);
    },
  );

  const path = 'layernorm/model.safetensors';
  const real = parseSafetensors(path, readBytes(`${MODEL_FOLDER}/${path}`));
  const config = parseJson('config', readText(`${MODEL_FOLDER}/layernorm/config.json`), GptConfig);

  /** The twin with one tensor replaced, or taken out. */
  function damaged(name: string, patch: Partial<Tensor> | null): TensorFile {
    const tensors = new Map(real.tensors);
    const tensor = tensors.get(name);
    if (!tensor) throw new RangeError(`the twin has no ${name}`);
    if (patch) tensors.set(name, { ...tensor, ...patch });
    else tensors.delete(name);
    return { ...real, tensors };
  }

  test('the LayerNorm twin is whole', () => {
    expect(() => checkTensors({ config, norm: 'layernorm', file: real })).not.toThrow();
  });

  test.each<[string, Partial<Tensor> | null, RegExp]>([
    ['wte.weight', null, /it is missing/],
    ['h.5.mlp.c_proj.bias', null, /it is missing/],
    ['h.3.ln_2.bias', null, /it is missing/],
    ['ln_f.weight', null, /it is missing/],
    ['h.0.attn.c_attn.weight', { shape: [128, 384] }, /shape is \[128, 384\] and \[384, 128\] is expected/],
    ['h.0.ln_1.weight', { shape: [1] }, /shape is \[1\] and \[128\] is expected/],
    ['h.2.mlp.c_fc.weight', { dtype: 'I16' }, /dtype is I16 and F16 or F32 is expected/],
    ['h.2.mlp.c_fc.bias', { dtype: 'F16' }, /dtype is F16 and F32 is expected/],
  ])('%s with %o is refused by name', (name, patch, message) => {
    const file = damaged(name, patch);
    const problem = problemOf(() => checkTensors({ config, norm: 'layernorm', file }));
    expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
    expect(problem.message).toContain(`"${name}" of "${path}"`);
  });

  test('weights of another norm lack its parameters', () => {
    const problem = problemOf(() => checkTensors({ config, norm: 'dyt', file: real }));
    expect(problem.message).toContain('"h.0.ln_1.alpha"');
  });

  test('RMSNorm may come without a bias', () => {
    const file = damaged('h.0.ln_1.bias', null);
    expect(() => checkTensors({ config, norm: 'rmsnorm', file })).not.toThrow();
  });
});
