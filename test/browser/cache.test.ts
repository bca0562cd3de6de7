// Downloads kept in the browser's real private file system, by writable streams in the page and in place in a worker.
import { expect, test } from 'vitest';
import { runRounds } from './cache-rounds.ts';
import type { Rounds } from './cache-rounds.ts';

const inWorker = (): Promise<Rounds> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./cache-rounds.ts', import.meta.url), { type: 'module' });
    worker.addEventListener('message', ({ data }: MessageEvent<Rounds>) => {
      worker.terminate();
      resolve(data);
    });
    worker.addEventListener('error', (event) => reject(new Error(event.message)));
  });

test.each([
  ['page', runRounds],
  ['worker', inWorker],
])('in a %s a half download goes on, a whole one is kept, and goes when deleted', async (_where, run) => {
  const { usedBytes, ...rounds } = await run();
  expect(rounds).toEqual({
    keptAfterBreak: 50_000,
    isSame: [true, true],
    fetched: [0, 50_000, 100_000, 150_000, 200_000, 250_000],
    leftInTheEnd: 0,
  });
  expect(usedBytes).toBeGreaterThan(0);
});
