// Files out of a drop or a file field, folders opened up.
import type { DroppedFile } from '../store/open-files.ts';

/** A folder of a model holds a few dozen; a home folder that was dropped by mistake is not walked to its end. */
const MOST_FILES = 5_000;

/** What is needed of the browser's FileSystemEntry. */
export type Entry = {
  readonly isDirectory: boolean;
  readonly fullPath: string;
  file?(give: (file: File) => void, fail: (error: Error) => void): void;
  createReader?(): { readEntries(give: (entries: Entry[]) => void, fail: (error: Error) => void): void };
};

/** Files under `entries`, with their paths from there. */
export async function walk(entries: readonly Entry[]): Promise<DroppedFile[]> {
  const files: DroppedFile[] = [];
  const waiting = [...entries];
  for (let entry = waiting.shift(); entry && files.length < MOST_FILES; entry = waiting.shift()) {
    const { createReader, file: open } = entry;
    if (entry.isDirectory && createReader) {
      const reader = createReader.call(entry);
      // A reader gives its entries in parts, and an empty one in the end.
      for (;;) {
        const part = await new Promise<Entry[]>((give, fail) => reader.readEntries(give, fail));
        if (part.length === 0) break;
        waiting.push(...part);
      }
    } else if (open) {
      const file = await new Promise<File>((give, fail) => open.call(entry, give, fail));
      files.push({ path: entry.fullPath.replace(/^\//, ''), file });
    }
  }
  return files;
}

export const chosenFiles = (files: Iterable<File> | null): DroppedFile[] =>
  Array.from(files ?? [], (file) => ({ path: file.webkitRelativePath || file.name, file }));

/** Everything that was dropped. To be called in the event itself: what was dropped is gone after it. */
export function droppedFiles(data: DataTransfer): Promise<DroppedFile[]> {
  const entries: Entry[] = [];
  for (const item of data.items) {
    const entry: Entry | null = item.kind === 'file' ? item.webkitGetAsEntry() : null;
    if (entry) entries.push(entry);
  }
  return entries.some(({ isDirectory }) => isDirectory)
    ? walk(entries)
    : Promise.resolve(chosenFiles(data.files));
}
