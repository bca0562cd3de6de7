// The browser's private file system (OPFS) in memory, as far as the cache uses it, with a quota: Node has none.
type Folder = { [name: string]: Folder | { bytes: Uint8Array } };
type Kept = { bytes: Uint8Array };
const isFile = (entry: Folder | Kept): entry is Kept => entry['bytes'] instanceof Uint8Array;

export class MemoryStorage {
  readonly #root: Folder = {};
  readonly #quotaBytes: number;
  readonly #inWorker: boolean;

  constructor({ quotaBytes = Infinity, inWorker = true }: { quotaBytes?: number; inWorker?: boolean } = {}) {
    this.#quotaBytes = quotaBytes;
    this.#inWorker = inWorker;
  }

  get manager(): StorageManager {
    return {
      getDirectory: async () => this.#folder(this.#root),
      estimate: async () => ({ usage: this.#used(this.#root), quota: this.#quotaBytes }),
    } as unknown as StorageManager;
  }

  /** Overwrites every file of that name with something else. */
  damage(name: string, folder: Folder = this.#root): void {
    for (const [key, entry] of Object.entries(folder)) {
      if (!isFile(entry)) this.damage(name, entry);
      else if (key === name) entry.bytes = new TextEncoder().encode('{');
    }
  }

  #used(folder: Folder): number {
    return Object.values(folder).reduce((sum, e) => sum + (isFile(e) ? e.bytes.length : this.#used(e)), 0);
  }

  #put(file: Kept, bytes: Uint8Array, at: number): void {
    const grown = Math.max(file.bytes.length, at + bytes.length);
    if (this.#used(this.#root) + grown - file.bytes.length > this.#quotaBytes)
      throw new DOMException('full', 'QuotaExceededError');
    const next = new Uint8Array(grown);
    next.set(file.bytes);
    next.set(bytes, at);
    file.bytes = next;
  }

  #file(file: Kept): unknown {
    let at = 0;
    const writable = {
      createSyncAccessHandle: async () => ({
        write: (bytes: Uint8Array, options: { at: number }) => {
          this.#put(file, bytes, options.at);
          return bytes.length;
        },
        getSize: () => file.bytes.length,
        flush: () => undefined,
        close: () => undefined,
      }),
    };
    return {
      getFile: async () => new Blob([file.bytes as BlobPart]),
      createWritable: async () => ({
        seek: async (to: number) => {
          at = to;
        },
        write: async (bytes: Uint8Array) => {
          this.#put(file, bytes, at);
          at += bytes.length;
        },
        close: async () => undefined,
      }),
      ...(this.#inWorker ? writable : {}),
    };
  }

  #folder(folder: Folder): unknown {
    const child = (name: string, fresh: Folder | Kept, options?: { create?: boolean }): Folder | Kept => {
      if (!Object.hasOwn(folder, name) && !options?.create) throw new DOMException(name, 'NotFoundError');
      return (folder[name] ??= fresh);
    };
    return {
      getDirectoryHandle: async (name: string, options?: { create?: boolean }) =>
        this.#folder(child(name, {}, options) as Folder),
      getFileHandle: async (name: string, options?: { create?: boolean }) =>
        this.#file(child(name, { bytes: new Uint8Array() }, options) as Kept),
      removeEntry: async (name: string) => {
        child(name, {});
        delete folder[name];
      },
      async *keys() {
        yield* Object.keys(folder);
      },
    };
  }
}
