// Downloaded files kept in the browser's private file system (OPFS): whole ones are read from there, halves go on from
// their last byte. Where there is no such file system nothing is kept and everything else works.
import * as v from 'valibot';
import { Problem } from '../problem.ts';
import { sha256 } from './fetch.ts';
import type { Source } from './source.ts';

const About = v.object({
  label: v.string(),
  path: v.string(),
  tag: v.string(),
  sizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
type About = v.InferOutput<typeof About>;

export type KeptFile = About & {
  readonly id: string;
  /** Below `sizeBytes` while the download is not whole. */
  readonly keptBytes: number;
};

const FOLDER = 'normscope-files-1';
const ABOUT = 'about.json';
const DATA = 'data';

/** Of workers only, and not in TypeScript's DOM: writes in place, where a writable stream writes a copy. */
type SyncAccessHandle = {
  write(bytes: Uint8Array, options: { at: number }): number;
  getSize(): number;
  flush(): void;
  close(): void;
};
type FileHandle = FileSystemFileHandle & {
  createSyncAccessHandle?: () => Promise<SyncAccessHandle>;
};

type Appender = { append(bytes: Uint8Array): Promise<void>; close(): Promise<void> };

export type StorageRoom = { readonly usedBytes: number; readonly quotaBytes: number };

const isNamed = (thrown: unknown, name: string): boolean =>
  thrown instanceof DOMException && thrown.name === name;

async function openAppender(handle: FileHandle, at: number): Promise<Appender> {
  if (handle.createSyncAccessHandle) {
    const access = await handle.createSyncAccessHandle();
    return {
      async append(bytes) {
        for (let done = 0; done < bytes.byteLength;) {
          const written = access.write(bytes.subarray(done), { at });
          if (written <= 0) throw new DOMException('no byte could be written', 'QuotaExceededError');
          at += written;
          done += written;
        }
      },
      async close() {
        access.flush();
        access.close();
      },
    };
  }
  const writable = await handle.createWritable({ keepExistingData: true });
  await writable.seek(at);
  return { append: (bytes) => writable.write(bytes as BufferSource), close: () => writable.close() };
}

async function childFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | null> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch (thrown) {
    if (isNamed(thrown, 'NotFoundError')) return null;
    throw thrown;
  }
}

export class FileCache {
  readonly #root: FileSystemDirectoryHandle | null;
  readonly #storage: StorageManager | undefined;

  private constructor(root: FileSystemDirectoryHandle | null, storage: StorageManager | undefined) {
    this.#root = root;
    this.#storage = storage;
  }

  /** A cache over this browser's storage, or one that keeps nothing where there is none or it is forbidden. */
  static async open(
    storage: StorageManager | undefined = (globalThis as { navigator?: Navigator }).navigator?.storage,
  ): Promise<FileCache> {
    try {
      const root = await storage?.getDirectory?.();
      return new FileCache((await root?.getDirectoryHandle(FOLDER, { create: true })) ?? null, storage);
    } catch {
      return new FileCache(null, storage); // a private window
    }
  }

  get isKeeping(): boolean {
    return this.#root !== null;
  }

  /** What this page uses and may use of the disk; null where the browser does not tell. */
  async room(): Promise<StorageRoom | null> {
    const none: StorageEstimate = {};
    const { usage, quota } = (await this.#storage?.estimate?.().catch(() => none)) ?? none;
    return usage === undefined || quota === undefined ? null : { usedBytes: usage, quotaBytes: quota };
  }

  /** Everything that is kept, whole or not; what cannot be read any more is removed. */
  async list(): Promise<KeptFile[]> {
    const kept: KeptFile[] = [];
    const names: string[] = [];
    if (this.#root) for await (const name of this.#root.keys()) names.push(name);
    for (const id of names) {
      const file = await this.#kept(id).catch(() => null);
      if (file) kept.push(file);
      else await this.delete(id).catch(() => undefined); // another tab may be writing it
    }
    return kept.sort((a, b) => a.label.localeCompare(b.label) || a.path.localeCompare(b.path));
  }

  async delete(id: string): Promise<void> {
    try {
      await this.#root?.removeEntry(id, { recursive: true });
    } catch (cause) {
      if (isNamed(cause, 'NotFoundError')) return;
      throw new Problem(
        'disk-full',
        `Cannot delete a kept file: ${cause instanceof Error ? cause.message : cause}`,
        'Another tab may be using it: close it and try again.',
        cause,
      );
    }
  }

  async deleteAll(): Promise<void> {
    for (const { id } of await this.list()) await this.delete(id);
  }

  /** Bytes [0, keptBytes) of a file, and a way to add to them; null where nothing can be kept. */
  async open(about: About): Promise<Entry | null> {
    if (!this.#root) return null;
    const id = sha256(new TextEncoder().encode([about.label, about.path, about.tag].join('\n')));
    try {
      const folder = await this.#root.getDirectoryHandle(id, { create: true });
      const known = await this.#kept(id).catch(() => null);
      if (known?.sizeBytes !== about.sizeBytes || known.keptBytes > known.sizeBytes) {
        await this.#root.removeEntry(id, { recursive: true });
        const fresh = await this.#root.getDirectoryHandle(id, { create: true });
        const text = new TextEncoder().encode(JSON.stringify(about));
        const file = await openAppender(await fresh.getFileHandle(ABOUT, { create: true }), 0);
        try {
          await file.append(text);
        } finally {
          await file.close();
        }
        return new Entry(fresh, about);
      }
      return new Entry(folder, about);
    } catch (thrown) {
      if (isNamed(thrown, 'QuotaExceededError')) throw await this.full(about.path, thrown);
      return null; // another tab writes it, or the browser took the storage away: it is fetched as if there were none
    }
  }

  /** The Problem that there is no room for a file. */
  async full(path: string, cause: unknown): Promise<Problem> {
    const room = await this.room();
    const numbers = room ? `, ${room.usedBytes} of ${room.quotaBytes} bytes are used` : '';
    return new Problem(
      'disk-full',
      `Cannot keep "${path}" in this browser: its storage is full${numbers}`,
      'Delete kept models, or free space on the disk. The model runs without being kept; it is fetched again next time.',
      cause,
    );
  }

  async #kept(id: string): Promise<KeptFile | null> {
    const folder = await this.#root?.getDirectoryHandle(id);
    const about = folder && (await childFile(folder, ABOUT));
    if (!folder || !about) return null;
    const parsed = v.safeParse(About, JSON.parse(await about.text()));
    if (!parsed.success) return null;
    return { ...parsed.output, id, keptBytes: (await childFile(folder, DATA))?.size ?? 0 };
  }
}

/** One file in the cache, as far as it goes. */
class Entry {
  readonly #folder: FileSystemDirectoryHandle;
  readonly about: About;

  constructor(folder: FileSystemDirectoryHandle, about: About) {
    this.#folder = folder;
    this.about = about;
  }

  async data(): Promise<Blob> {
    return (await childFile(this.#folder, DATA)) ?? new Blob();
  }

  async appender(at: number): Promise<Appender> {
    return openAppender(await this.#folder.getFileHandle(DATA, { create: true }), at);
  }
}

const PIECE_BYTES = 4 * 2 ** 20;

/**
 * `source` with its files kept in `cache` as they stream by. A full disk is told to `onProblem` once and the stream
 * goes on; files of which nothing tells one version from another are not kept.
 */
export function keepIn(
  cache: FileCache,
  source: Source,
  onProblem: (problem: Problem) => void = () => undefined,
): Source {
  let isFull = false;
  const report = (problem: Problem): void => {
    if (!isFull) onProblem(problem);
    isFull = true;
  };

  async function entryOf(path: string, signal?: AbortSignal): Promise<Entry | null> {
    if (!cache.isKeeping) return null;
    const [sizeBytes, tag] = [await source.size(path, signal), await source.tag(path, signal)];
    if (tag === null) return null;
    try {
      return await cache.open({ label: source.label, path, tag, sizeBytes });
    } catch (thrown) {
      if (!(thrown instanceof Problem)) throw thrown;
      report(thrown);
      return null;
    }
  }

  /** Adds to the cache for as long as that works. */
  async function keeper(path: string, entry: Entry, at: number): Promise<Appender> {
    let open: Appender | null = null;
    const giveUp = async (thrown: unknown): Promise<void> => {
      const broken = open;
      open = null;
      await broken?.close().catch(() => undefined);
      if (isNamed(thrown, 'QuotaExceededError')) report(await cache.full(path, thrown));
    };
    if (!isFull) open = await entry.appender(at).catch(() => null); // another tab has it
    return {
      append: async (bytes) => open?.append(bytes).catch(giveUp),
      close: async () => open?.close().catch(giveUp),
    };
  }

  return {
    label: source.label,
    list: (signal) => source.list(signal),
    size: (path, signal) => source.size(path, signal),
    tag: (path, signal) => source.tag(path, signal),
    async read(path, begin, end, signal) {
      const data = await (await entryOf(path, signal))?.data();
      if (!data || data.size < end) return source.read(path, begin, end, signal);
      return new Uint8Array(await data.slice(begin, end).arrayBuffer());
    },
    async *stream(path, begin, signal) {
      const entry = await entryOf(path, signal);
      if (!entry) {
        yield* source.stream(path, begin, signal);
        return;
      }
      const data = await entry.data();
      for (let at = begin; at < data.size; at += PIECE_BYTES) {
        signal?.throwIfAborted();
        yield new Uint8Array(await data.slice(at, Math.min(at + PIECE_BYTES, data.size)).arrayBuffer());
      }
      if (data.size >= entry.about.sizeBytes) return;
      if (begin > data.size) {
        yield* source.stream(path, begin, signal); // a hole before it cannot be kept
        return;
      }
      const kept = await keeper(path, entry, data.size);
      try {
        for await (const chunk of source.stream(path, data.size, signal)) {
          await kept.append(chunk);
          yield chunk;
        }
      } finally {
        await kept.close();
      }
    },
  };
}
