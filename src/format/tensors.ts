// The tensors of a checkpoint, in one file or many, read one at a time: headers first, then bytes, never a whole file.
import { Problem } from '../problem.ts';
import { isTextMap, parseStrictJson } from './json.ts';
import { headerBytes, parseHeader } from './safetensors.ts';
import type { Tensor, TensorEntry } from './safetensors.ts';
import { checkPath, Meter, readSmall } from './source.ts';
import type { Progress, Source } from './source.ts';

export type IndexedTensor = TensorEntry & { readonly file: string };

/** Where every tensor of a checkpoint lies. */
export type TensorIndex = {
  /** The folder or address, for messages. */
  readonly label: string;
  /** Path → size in bytes. */
  readonly files: ReadonlyMap<string, number>;
  readonly tensors: ReadonlyMap<string, IndexedTensor>;
};

const WHOLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const INDEX_LIMIT_BYTES = 32 * 2 ** 20;
const MAX_SHARDS = 1_000;
const HINT = 'The files do not belong together or the download is not whole: fetch all of them again.';

const isMissing = (thrown: unknown): boolean => thrown instanceof Problem && thrown.code === 'not-found';

/** The checkpoint's files: an index and its shards, or one file. */
async function weightFiles(
  source: Source,
  signal?: AbortSignal,
): Promise<{ files: readonly string[]; shardOf: ReadonlyMap<string, string> | null }> {
  const listed = await source.list(signal);
  if (listed) {
    const paths = listed.map(({ path }) => path);
    if (paths.includes(WHOLE)) return { files: [WHOLE], shardOf: null };
    if (!paths.includes(INDEX)) {
      const found = paths.filter((path) => /^[^/]+\.safetensors$/.test(path));
      if (found.length === 1) return { files: found, shardOf: null };
      const other = paths.find((path) => /\.(bin|pth?|h5|msgpack|gguf)$/.test(path));
      const reason = found.length
        ? `it holds ${found.length} *.safetensors files and no "${INDEX}" to say which tensor is where`
        : `it holds no *.safetensors file${other ? `, only others such as "${other}"` : ''}`;
      throw new Problem(
        found.length ? 'not-found' : 'unsupported',
        `Cannot use ${source.label}: ${reason}`,
        'Normscope reads safetensors: save the model with save_pretrained(..., safe_serialization=True), or pick a revision that has them.',
      );
    }
  } else {
    try {
      await source.size(WHOLE, signal);
      return { files: [WHOLE], shardOf: null };
    } catch (thrown) {
      if (!isMissing(thrown)) throw thrown;
    }
  }
  const bad = (reason: string): Problem => new Problem('bad-file', `Cannot read "${INDEX}": ${reason}`, HINT);
  const bytes = await readSmall(source, INDEX, INDEX_LIMIT_BYTES, signal);
  let value: unknown;
  try {
    value = parseStrictJson(bytes, { maxBytes: INDEX_LIMIT_BYTES });
  } catch (cause) {
    throw bad(`it is no JSON (${cause instanceof Error ? cause.message : cause})`);
  }
  const map =
    typeof value === 'object' && value !== null && 'weight_map' in value ? value.weight_map : undefined;
  if (!isTextMap(map)) throw bad('"weight_map" is no map of tensor names to file names');
  const shardOf = new Map(Object.entries(map));
  const files = [...new Set(shardOf.values())].sort();
  if (files.length === 0) throw bad('it names no tensor');
  if (files.length > MAX_SHARDS) throw bad(`it names ${files.length} files, over the limit of ${MAX_SHARDS}`);
  for (const file of files) checkPath(file, INDEX);
  return { files, shardOf };
}

/**
 * Where every tensor lies, from the headers alone. Shards must hold exactly what the index says.
 * Throws Problem `bad-file` or `not-found`, naming the file and the tensor.
 */
export async function openTensors(source: Source, signal?: AbortSignal): Promise<TensorIndex> {
  const { files, shardOf } = await weightFiles(source, signal);
  const sizes = new Map<string, number>();
  const tensors = new Map<string, IndexedTensor>();
  const bad = (name: string, file: string, reason: string): Problem =>
    new Problem('bad-file', `Cannot read tensor "${name.slice(0, 200)}" of "${file}": ${reason}`, HINT);
  for (const file of files) {
    const sizeBytes = await source.size(file, signal);
    sizes.set(file, sizeBytes);
    const first = await source.read(file, 0, Math.min(8, sizeBytes), signal);
    const length = headerBytes(file, first, sizeBytes);
    const header = parseHeader(file, await source.read(file, 8, 8 + length, signal), sizeBytes);
    for (const entry of header.tensors.values()) {
      const other = tensors.get(entry.name);
      if (other) throw bad(entry.name, file, `"${other.file}" holds it too`);
      if (shardOf && shardOf.get(entry.name) !== file) {
        const place = shardOf.get(entry.name);
        throw bad(entry.name, file, `"${INDEX}" ${place ? `says it is in "${place}"` : 'does not name it'}`);
      }
      tensors.set(entry.name, { ...entry, file });
    }
  }
  for (const [name, file] of shardOf ?? [])
    if (!tensors.has(name)) throw bad(name, file, `"${INDEX}" says it is there and it is not`);
  return { label: source.label, files: sizes, tensors };
}

function allocate({ name, file, begin, end }: IndexedTensor): Uint8Array {
  try {
    return new Uint8Array(end - begin);
  } catch (cause) {
    throw new Problem(
      'out-of-memory',
      `Cannot read tensor "${name}" of "${file}": there is no room for its ${end - begin} bytes`,
      'Close other tabs, or choose a smaller model.',
      cause,
    );
  }
}

/** One tensor, by a range of its own. */
export async function readTensor(
  source: Source,
  { name, file, dtype, shape, begin, end }: IndexedTensor,
  signal?: AbortSignal,
): Promise<Tensor> {
  return { name, dtype, shape, bytes: await source.read(file, begin, end, signal) };
}

/**
 * Every tensor that `wants`, file by file in the order they lie in, with one transfer a file: the memory it needs is one
 * tensor and one piece. Files are read from the first byte to the last, so that a cache between has them whole;
 * files without a wanted tensor are not read.
 */
export async function* streamTensors(
  source: Source,
  index: TensorIndex,
  {
    wants = () => true,
    onProgress = () => undefined,
    signal,
  }: {
    wants?: (name: string) => boolean;
    onProgress?: (progress: Progress) => void;
    signal?: AbortSignal;
  } = {},
): AsyncGenerator<Tensor> {
  const byFile = new Map<string, IndexedTensor[]>();
  for (const tensor of index.tensors.values()) {
    if (!wants(tensor.name)) continue;
    const inFile = byFile.get(tensor.file) ?? [];
    inFile.push(tensor);
    byFile.set(tensor.file, inFile);
  }
  const meter = new Meter(new Map([...index.files].filter(([file]) => byFile.has(file))), onProgress);
  for (const [file, wanted] of byFile) {
    wanted.sort((a, b) => a.begin - b.begin || a.end - b.end);
    let next = 0;
    let at = 0;
    let bytes: Uint8Array | null = null;
    for await (const chunk of source.stream(file, 0, signal)) {
      const chunkEnd = at + chunk.byteLength;
      for (let entry = wanted[next]; entry && entry.begin < chunkEnd; entry = wanted[next]) {
        bytes ??= allocate(entry);
        const from = Math.max(entry.begin, at);
        const to = Math.min(entry.end, chunkEnd);
        if (to > from) bytes.set(chunk.subarray(from - at, to - at), from - entry.begin);
        if (entry.end > chunkEnd) break;
        yield { name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes };
        bytes = null;
        next++;
      }
      at = chunkEnd;
      meter.add(file, chunk.byteLength);
    }
    for (let entry = wanted[next]; entry; entry = wanted[++next]) {
      if (entry.begin < entry.end) {
        throw new Problem(
          'bad-file',
          `Cannot read tensor "${entry.name}" of "${file}": the file ended at byte ${at}`,
          HINT,
        );
      }
      yield { name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: new Uint8Array() };
    }
  }
}
