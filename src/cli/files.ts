// Files that a command reads and writes, with reasons where it cannot.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Problem } from '../problem.ts';
import { usage } from './args.ts';

const why = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

export const isFolder = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

export const readText = (path: string): string => new TextDecoder().decode(readBytes(path));

export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw usage(`Cannot read "${path}": ${why(cause)}`, 'Name a file that is here.');
  }
}

/** Throws Problem `usage` before the work rather than after it, when there is no folder to write `path` to. */
export function checkTarget(path: string | undefined): void {
  if (path === undefined || isFolder(dirname(resolve(path)))) return;
  throw usage(`Cannot write "${path}": there is no folder "${dirname(path)}"`, 'Make it first.');
}

/** Writes to `path`, or to stdout where there is none. */
export function writeResult(path: string | undefined, content: string | Uint8Array): void {
  try {
    writeFileSync(path ?? 1, content);
  } catch (cause) {
    throw new Problem(
      'usage',
      `Cannot write "${path ?? 'stdout'}": ${why(cause)}`,
      'Name a place with room that may be written to.',
      cause,
    );
  }
}
