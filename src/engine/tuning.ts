// Which kernel computes which product on this adapter: measured when times are first asked for, kept in the browser's
// cache. A software adapter keeps the defaults, which were measured on one.
import type { Gpu } from '../gpu/device.ts';
import type { Compiler } from '../kernel/compile.ts';
import { tuneProgram } from '../kernel/tune.ts';
import type { Tuning } from '../kernel/tune.ts';
import type { Op } from '../model/program.ts';

const CACHE = 'normscope-tuning-1';
const KEY = './tuning.json';

async function openCache(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open(CACHE);
  } catch {
    return undefined; // storage is forbidden
  }
}

/** With a choice for every product of `ops` that `known` or the cache has none for. */
export async function tune(
  gpu: Gpu,
  compiler: Compiler,
  ops: readonly Pick<Op, 'product'>[],
  known: Tuning | null,
  signal?: AbortSignal,
): Promise<Tuning | null> {
  if (gpu.adapter.isFallback) return known;
  const cache = await openCache();
  const kept = await cache
    ?.match(KEY)
    .then((found) => found?.json() as Promise<Tuning> | undefined)
    .catch(() => undefined);
  const tuning = await tuneProgram(gpu, compiler, ops, {
    known: known ?? kept ?? null,
    ...(signal ? { signal } : {}),
  });
  await cache?.put(KEY, Response.json(tuning)).catch(() => undefined);
  return tuning;
}
