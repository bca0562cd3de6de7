// Checkpoints on this disk as sources, for the tests that read them.
import { readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { droppedFiles, knownFiles } from '../../src/format/source.ts';
import type { Source } from '../../src/format/source.ts';
import { Problem } from '../../src/problem.ts';
import { fileUrl } from './fakes.ts';

export const GOLDEN_HF = 'test/golden-hf';

/** A golden model, read by ranges as from any folder. */
export function goldenSource(model: string): Source {
  const folder = fileUrl(`${GOLDEN_HF}/${model}/`);
  const sizes = new Map(readdirSync(folder).map((name) => [name, statSync(new URL(name, folder)).size]));
  return knownFiles(`the golden ${model}`, sizes, async (path, begin, end) => {
    await using file = await open(new URL(path, folder));
    const bytes = new Uint8Array(end - begin);
    await file.read(bytes, 0, bytes.length, begin);
    return bytes;
  });
}

/** Files made by hand, as if dropped. */
export const sourceOf = (files: Readonly<Record<string, Uint8Array | string>>): Source =>
  droppedFiles(
    Object.entries(files).map(([path, content]) => ({ path, file: new Blob([content as BlobPart]) })),
  );

/** The Problem that `work` ends in. */
export async function problemFrom(work: () => unknown): Promise<Problem> {
  try {
    await work();
  } catch (thrown) {
    if (thrown instanceof Problem) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

/** Everything a stream gives. */
export async function collect(
  source: Source,
  path: string,
  begin = 0,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.stream(path, begin, signal)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}
