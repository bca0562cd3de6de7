// A text of somebody's own as windows of tokens.
import type { Window } from './spec.ts';

/** Whole windows of at most `longest` tokens, all of one length. */
export function windowsOf(ids: readonly number[], longest: number): Window[] {
  const length = Math.min(longest, ids.length);
  return Array.from({ length: Math.floor(ids.length / length) }, (_, i) =>
    ids.slice(length * i, length * (i + 1)),
  );
}
