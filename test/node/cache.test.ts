// Shards that do not belong together, and downloads kept in a file system in memory.
import { describe, expect, test } from 'vitest';
import { FileCache, keepIn } from '../../src/format/cache.ts';
import type { Source } from '../../src/format/source.ts';
import { openTensors } from '../../src/format/tensors.ts';
import { collect, GOLDEN_HF, goldenSource, problemFrom, sourceOf } from './checkpoints.ts';
import { readBytes } from './fakes.ts';
import { MemoryStorage } from './memory-storage.ts';

describe('shards', () => {
  const shard = (name: string) => readBytes(`${GOLDEN_HF}/mistral-sharded/${name}`);
  const names = [1, 2, 3, 4, 5].map((n) => `model-0000${n}-of-00005.safetensors`);
  const INDEX = 'model.safetensors.index.json';
  const index = JSON.parse(new TextDecoder().decode(shard(INDEX))) as { weight_map: Record<string, string> };
  const whole = Object.fromEntries(names.map((name) => [name, shard(name)]));
  const withMap = (map: unknown, more: Record<string, Uint8Array> = {}) =>
    openTensors(sourceOf({ ...whole, [INDEX]: JSON.stringify({ weight_map: map }), ...more }));
  const [first = '', second = ''] = names;

  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'a file that is missing',
      () => withMap({ ...index.weight_map, x: 'model-6.safetensors' }),
      /Cannot find "model-6.safetensors"/,
    ],
    ['a file outside', () => withMap({ x: '../x.safetensors' }), /"..\/x.safetensors" is no plain file name/],
    [
      'a tensor that is nowhere',
      () => withMap({ ...index.weight_map, x: first }),
      /tensor "x" of "model-00001.*it is not/,
    ],
    [
      'a tensor in another file',
      () => withMap({ ...index.weight_map, 'model.embed_tokens.weight': second }),
      /"model.embed_tokens.weight" of "model-00001.*says it is in "model-00002/,
    ],
    ['too few tensors', () => withMap({ 'model.embed_tokens.weight': first }), /does not name it/],
    [
      'tensors twice',
      () => withMap(index.weight_map, { [second]: shard(first) }),
      /"model-00001.*" holds it too/,
    ],
    ['no map', () => withMap([]), /"weight_map" is no map/],
    ['an empty map', () => withMap({}), /names no tensor/],
    [
      'two thousand files',
      () => withMap(Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`t${i}`, `f${i}`]))),
      /over the limit of 1000/,
    ],
    [
      'a cut shard',
      () => withMap(index.weight_map, { [second]: shard(second).slice(0, -4) }),
      /"model-00002.*cut short/,
    ],
  ])('%s', async (_name, work, message) => {
    expect((await problemFrom(work)).message).toMatch(message);
  });

  test('without their index, or of other formats', async () => {
    expect((await problemFrom(() => openTensors(sourceOf(whole)))).message).toMatch(
      /5 \*.safetensors files and no "model/,
    );
    const problem = await problemFrom(() => openTensors(sourceOf({ 'pytorch_model.bin': 'x' })));
    expect(problem).toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/such as "pytorch_model.bin"/),
    });
  });
});

describe('the cache', () => {
  const model = 'llama-gqa';
  const PATH = 'model.safetensors';
  const bytes = readBytes(`${GOLDEN_HF}/${model}/${PATH}`);
  /** The golden model with a tag, counting the bytes it gives away. */
  function remote(tag: string | null = 'v1') {
    const inner = goldenSource(model);
    const given = { bytes: 0 };
    const source: Source = {
      ...inner,
      tag: async () => tag,
      async *stream(path, begin) {
        for (let at = begin; at < bytes.length; at += 1000) {
          const chunk = await inner.read(path, at, Math.min(at + 1000, bytes.length));
          given.bytes += chunk.length;
          yield chunk;
        }
      },
    };
    return { source, given };
  }
  const cacheOn = (memory: MemoryStorage) => FileCache.open(memory.manager);

  test.each([true, false])(
    'keeps what streams by; the second time nothing is fetched (in a worker: %s)',
    async (inWorker) => {
      const cache = await cacheOn(new MemoryStorage({ inWorker }));
      const { source, given } = remote();
      const kept = keepIn(cache, source);
      expect(Buffer.compare(await collect(kept, PATH), bytes)).toBe(0);
      expect(given.bytes).toBe(bytes.length);
      expect(Buffer.compare(await collect(kept, PATH), bytes)).toBe(0);
      expect(await kept.read(PATH, 100, 200)).toEqual(bytes.slice(100, 200));
      expect(given.bytes).toBe(bytes.length);
      const [file] = await cache.list();
      expect(file).toMatchObject({
        label: source.label,
        path: PATH,
        tag: 'v1',
        sizeBytes: bytes.length,
        keptBytes: bytes.length,
      });
      await cache.delete(file?.id ?? '');
      expect(await cache.list()).toEqual([]);
    },
  );

  test.each([true, false])('a half download goes on (in a worker: %s)', async (inWorker) => {
    const cache = await cacheOn(new MemoryStorage({ inWorker }));
    const { source, given } = remote();
    let taken = 0;
    for await (const chunk of keepIn(cache, source).stream(PATH, 0)) {
      taken += chunk.length;
      if (taken >= 50_000) break;
    }
    expect((await cache.list())[0]?.keptBytes).toBe(50_000);
    expect(Buffer.compare(await collect(keepIn(cache, source), PATH), bytes)).toBe(0);
    expect(given.bytes).toBe(bytes.length);
  });

  test('another version is another file; both can be deleted at once', async () => {
    const cache = await cacheOn(new MemoryStorage());
    await collect(keepIn(cache, remote('v1').source), PATH);
    const { source, given } = remote('v2');
    await collect(keepIn(cache, source), PATH);
    expect(given.bytes).toBe(bytes.length);
    expect(await cache.list()).toHaveLength(2);
    await cache.deleteAll();
    expect(await cache.list()).toEqual([]);
  });

  test.each([true, false])(
    'a full disk is told once and costs only the keeping (in a worker: %s)',
    async (inWorker) => {
      const cache = await cacheOn(new MemoryStorage({ inWorker, quotaBytes: 60_000 }));
      const problems: unknown[] = [];
      const kept = keepIn(cache, remote().source, (problem) => problems.push(problem));
      expect(Buffer.compare(await collect(kept, PATH), bytes)).toBe(0);
      expect(Buffer.compare(await collect(kept, PATH), bytes)).toBe(0);
      expect(problems).toEqual([
        expect.objectContaining({
          code: 'disk-full',
          message: expect.stringMatching(/of 60000 bytes are used/),
        }),
      ]);
    },
  );

  test('keeps nothing without a file system, without a tag, and what is damaged goes', async () => {
    const none = await FileCache.open(undefined);
    expect(none.isKeeping).toBe(false);
    expect(Buffer.compare(await collect(keepIn(none, remote().source), PATH), bytes)).toBe(0);
    expect(await none.list()).toEqual([]);
    expect(await none.room()).toBeNull();
    const memory = new MemoryStorage();
    const cache = await cacheOn(memory);
    await collect(keepIn(cache, remote(null).source), PATH);
    expect(await cache.list()).toEqual([]);
    await collect(keepIn(cache, remote().source), PATH);
    memory.damage('about.json');
    expect(await cache.list()).toEqual([]);
    expect(Buffer.compare(await collect(keepIn(cache, remote().source), PATH), bytes)).toBe(0);
  });
});
