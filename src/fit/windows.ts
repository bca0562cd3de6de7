// A text of somebody's own as windows of tokens.
import type { Window } from './spec.ts';

/** Whole windows of the context's length, the first token of the vocabulary before each text. */
export function windowsOf(tokens: readonly { readonly id: number }[], context: number): Window[] {
  const ids = [0, ...tokens.map(({ id }) => id)];
  const length = Math.min(context, ids.length);
  return Array.from({ length: Math.floor(ids.length / length) }, (_, i) =>
    ids.slice(length * i, length * (i + 1)),
  );
}
