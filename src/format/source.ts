// Where a model's files come from, as one small interface: files of this disk here, servers in http.ts and hub.ts,
// files kept by the browser in cache.ts. Nothing is read before somebody asks for it.
import { Problem } from '../problem.ts';

export type SourceFile = { readonly path: string; readonly sizeBytes: number };

export interface Source {
  /** Where the files are, for messages: a folder's name, an address. */
  readonly label: string;
  /** The folder's own name, where somebody gave a folder. */
  readonly folder?: string;
  /** Every file, or null where a server does not tell. */
  list(signal?: AbortSignal): Promise<readonly SourceFile[] | null>;
  /** Throws Problem `not-found` when there is no such file. */
  size(path: string, signal?: AbortSignal): Promise<number>;
  /** Bytes [begin, end) of a file, exactly. */
  read(path: string, begin: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** The file from byte `begin` to its end, in pieces, none of them empty. */
  stream(path: string, begin: number, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** What tells these bytes from any others of that path: a commit, an ETag. Null where nothing does. */
  tag(path: string, signal?: AbortSignal): Promise<string | null>;
}

/** Throws Problem `bad-file` unless `path` is a plain relative one: names from index files end up in addresses. */
export function checkPath(path: string, namedBy: string): string {
  const isPlain = path
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\\u0000-\u001f?#%]/.test(part));
  if (isPlain && path.length <= 1024) return path;
  throw new Problem(
    'bad-file',
    `Cannot use "${namedBy}": "${path.slice(0, 200)}" is no plain file name`,
    'The file is damaged, or made to reach outside its folder. Do not use this model.',
  );
}

export const notFound = (label: string, path: string): Problem =>
  new Problem(
    'not-found',
    `Cannot find "${path}" in ${label}`,
    'A model needs config.json, its *.safetensors files and, for text, tokenizer.json.',
  );

const outOfRange = (label: string, path: string, end: number, sizeBytes: number): Problem =>
  new Problem(
    'bad-file',
    `Cannot read "${path}" of ${label}: byte ${end} is asked for and it holds ${sizeBytes}`,
    'The file is cut short: fetch it again.',
  );

const CHUNK_BYTES = 4 * 2 ** 20;

/** A source whose files are all known: reading is all that differs. */
export function knownFiles(
  label: string,
  files: ReadonlyMap<string, number>,
  readBytes: (path: string, begin: number, end: number) => Promise<Uint8Array>,
): Source {
  const sizeOf = (path: string): number => {
    const sizeBytes = files.get(path);
    if (sizeBytes === undefined) throw notFound(label, path);
    return sizeBytes;
  };
  const read = async (path: string, begin: number, end: number, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    const sizeBytes = sizeOf(path);
    if (begin < 0 || end > sizeBytes) throw outOfRange(label, path, end, sizeBytes);
    let bytes: Uint8Array;
    try {
      bytes = await readBytes(path, begin, end);
    } catch (cause) {
      throw new Problem(
        'bad-file',
        `Cannot read "${path}" of ${label}: ${cause instanceof Error ? cause.message : cause}`,
        'The file was moved or changed after it was chosen: choose it again.',
        cause,
      );
    }
    if (bytes.byteLength !== end - begin) throw outOfRange(label, path, end, begin + bytes.byteLength);
    return bytes;
  };
  return {
    label,
    list: async () => [...files].map(([path, sizeBytes]) => ({ path, sizeBytes })),
    size: async (path) => sizeOf(path),
    read,
    async *stream(path, begin, signal) {
      const sizeBytes = sizeOf(path);
      for (let at = begin; at < sizeBytes; at += CHUNK_BYTES) {
        yield await read(path, at, Math.min(at + CHUNK_BYTES, sizeBytes), signal);
      }
    },
    tag: async () => null, // already on this disk: nothing to keep
  };
}

/**
 * Files that somebody dropped or chose, with their paths. The model's folder is the shallowest that holds
 * config.json, so that a parent may be dropped too; files outside it are left out.
 */
export function droppedFiles(files: readonly { readonly path: string; readonly file: Blob }[]): Source {
  const label = 'the dropped files';
  const configs = files
    .map(({ path }) => path)
    .filter((path) => /(^|\/)config\.json$/.test(path))
    .sort((a, b) => a.split('/').length - b.split('/').length);
  const root = (configs[0] ?? '').slice(0, -'config.json'.length);
  const inside = new Map<string, Blob>();
  for (const { path, file } of files) {
    if (!path.startsWith(root)) continue;
    const name = path.slice(root.length);
    if (inside.has(name)) {
      throw new Problem(
        'bad-file',
        `Cannot use ${label}: "${name}" is there twice`,
        'Drop one model at a time.',
      );
    }
    inside.set(name, file);
  }
  const sizes = new Map([...inside].map(([path, file]) => [path, file.size]));
  const source = knownFiles(label, sizes, async (path, begin, end) => {
    const blob = inside.get(path)?.slice(begin, end) ?? new Blob();
    return new Uint8Array(await blob.arrayBuffer());
  });
  return { ...source, folder: root.split('/').at(-2) ?? '' };
}

/** What a folder on a disk must be able to do; a command line brings Node's. */
export type FolderReader = {
  readonly label: string;
  list(): Promise<readonly SourceFile[]>;
  read(path: string, begin: number, end: number): Promise<Uint8Array>;
};

export async function folder(reader: FolderReader): Promise<Source> {
  const sizes = new Map((await reader.list()).map(({ path, sizeBytes }) => [path, sizeBytes]));
  return knownFiles(reader.label, sizes, (path, begin, end) => reader.read(path, begin, end));
}

/** A whole small file, such as a configuration. Throws Problem `bad-file` when it is over the limit. */
export async function readSmall(
  source: Source,
  path: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const sizeBytes = await source.size(path, signal);
  if (sizeBytes > maxBytes) {
    throw new Problem(
      'bad-file',
      `Cannot read "${path}" of ${source.label}: its ${sizeBytes} bytes are over the limit of ${maxBytes}`,
      'A file of this kind is never that large: it is damaged or no model file.',
    );
  }
  return source.read(path, 0, sizeBytes, signal);
}

export type Progress = {
  readonly path: string;
  readonly fileLoadedBytes: number;
  readonly fileTotalBytes: number;
  readonly loadedBytes: number;
  readonly totalBytes: number;
  /** Over the last seconds; null before there is a measure of it. */
  readonly bytesPerSecond: number | null;
};

const WINDOW_MS = 4_000;
const REPORT_EVERY_MS = 50;

/** Counts bytes of files of known size, and tells of them at most twenty times a second, at each file's end too. */
export class Meter {
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #totalBytes: number;
  readonly #report: (progress: Progress) => void;
  readonly #now: () => number;
  readonly #loaded = new Map<string, number>();
  readonly #samples: { atMs: number; bytes: number }[] = [];
  #loadedBytes = 0;
  #reportedMs = -Infinity;

  constructor(
    sizes: ReadonlyMap<string, number>,
    report: (progress: Progress) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#sizes = sizes;
    this.#totalBytes = [...sizes.values()].reduce((sum, n) => sum + n, 0);
    this.#report = report;
    this.#now = now;
    this.#samples.push({ atMs: now(), bytes: 0 });
  }

  add(path: string, bytes: number): void {
    const fileTotalBytes = this.#sizes.get(path) ?? 0;
    const fileLoadedBytes = (this.#loaded.get(path) ?? 0) + bytes;
    this.#loaded.set(path, fileLoadedBytes);
    this.#loadedBytes += bytes;
    const nowMs = this.#now();
    if (nowMs - this.#reportedMs < REPORT_EVERY_MS && fileLoadedBytes < fileTotalBytes) return;
    this.#reportedMs = nowMs;
    this.#samples.push({ atMs: nowMs, bytes: this.#loadedBytes });
    while (this.#samples.length > 2 && (this.#samples[0]?.atMs ?? 0) < nowMs - WINDOW_MS)
      this.#samples.shift();
    const first = this.#samples[0] ?? { atMs: nowMs, bytes: 0 };
    const spanMs = nowMs - first.atMs;
    this.#report({
      path,
      fileLoadedBytes,
      fileTotalBytes,
      loadedBytes: this.#loadedBytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond: spanMs > 0 ? ((this.#loadedBytes - first.bytes) / spanMs) * 1000 : null,
    });
  }
}
