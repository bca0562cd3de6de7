// A file half fetched, then whole, then kept, then deleted; runs in the page's thread and as a worker.
import { FileCache, keepIn } from '../../src/format/cache.ts';
import { knownFiles } from '../../src/format/source.ts';

const BODY = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) & 255);
const PIECE = 50_000;

export type Rounds = {
  readonly keptAfterBreak: number | undefined;
  readonly isSame: readonly boolean[];
  /** Where each piece that was fetched begins. */
  readonly fetched: readonly number[];
  readonly usedBytes: number | undefined;
  readonly leftInTheEnd: number;
};

export async function runRounds(): Promise<Rounds> {
  const fetched: number[] = [];
  const inner = knownFiles('a test', new Map([['a.bin', BODY.length]]), async (_path, begin, end) => {
    fetched.push(begin);
    return BODY.slice(begin, end);
  });
  const cache = await FileCache.open();
  await cache.deleteAll();
  const kept = keepIn(cache, {
    ...inner,
    tag: async () => 'v1',
    async *stream(path: string, begin: number) {
      for (let at = begin; at < BODY.length; at += PIECE)
        yield inner.read(path, at, Math.min(at + PIECE, BODY.length));
    },
  });
  for await (const chunk of kept.stream('a.bin', 0)) if (chunk.length > 0) break;
  const keptAfterBreak = (await cache.list())[0]?.keptBytes;
  const isSame: boolean[] = [];
  for (let round = 0; round < 2; round++) {
    const all = new Uint8Array(BODY.length);
    let at = 0;
    for await (const chunk of kept.stream('a.bin', 0)) {
      all.set(chunk, at);
      at += chunk.length;
    }
    isSame.push(all.every((byte, i) => byte === BODY[i]));
  }
  const usedBytes = (await cache.room())?.usedBytes;
  await cache.deleteAll();
  return { keptAfterBreak, isSame, fetched, usedBytes, leftInTheEnd: (await cache.list()).length };
}

if (!('document' in globalThis)) void runRounds().then((rounds) => postMessage(rounds));
