// Which tensors are matrices and how each lies on the GPU, read off the family's description.
import { weightsOf } from './compose.ts';
import type { Composer, EmbedStep, ImageStep, LinearStep } from './compose.ts';
import type { Model } from './model.ts';

/** One or more tensors, one below the other. */
export type MatrixSpec = {
  readonly parts: readonly string[];
  /** Stored in × out: turned when it is loaded. */
  readonly isTransposed: boolean;
};

export const matrixKey = (parts: readonly string[]): string => parts.join(' + ');

/** What tokens and their types are looked up in. */
export type TokenTables = { readonly words: string | null; readonly types: string | null };

class MatrixList implements Composer {
  readonly matrices = new Map<string, MatrixSpec>();
  tables: TokenTables = { words: null, types: null };
  block: number | null = null;

  #add(parts: readonly string[], isTransposed = false): void {
    this.matrices.set(matrixKey(parts), { parts, isTransposed });
  }
  embed(_label: string, { table, types }: EmbedStep): void {
    this.#add([table]);
    this.tables = { words: table, types: types ?? null };
  }
  image(_label: string, { projection }: ImageStep): void {
    this.#add([`${projection}.weight`]);
  }
  linear(label: string, step: LinearStep): void {
    this.#add(weightsOf(label, step), step.isTransposed);
  }
  norm(): void {}
  gate(): void {}
  attention(): void {}
}

/** Every matrix of a model, by its key. */
export const matricesOf = (model: Model): ReadonlyMap<string, MatrixSpec> => listOf(model).matrices;
export const tokenTables = (model: Model): TokenTables => listOf(model).tables;

function listOf(model: Model): MatrixList {
  const list = new MatrixList();
  model.compose(list);
  return list;
}
