// Which tensors are matrices, and how each lies on the GPU: read off the family's description.
import { weightsOf } from './compose.ts';
import type { Composer, ImageStep, LinearStep } from './compose.ts';
import type { Model } from './model.ts';

/** One or more tensors, one below the other. */
export type MatrixSpec = {
  readonly parts: readonly string[];
  /** Stored in × out: turned when it is loaded. */
  readonly isTransposed: boolean;
};

export const matrixKey = (parts: readonly string[]): string => parts.join(' + ');

class MatrixList implements Composer {
  readonly matrices = new Map<string, MatrixSpec>();
  block: number | null = null;

  #add(parts: readonly string[], isTransposed = false): void {
    this.matrices.set(matrixKey(parts), { parts, isTransposed });
  }
  embed(_label: string, { table }: { readonly table: string }): void {
    this.#add([table]);
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
export function matricesOf(model: Model): ReadonlyMap<string, MatrixSpec> {
  const list = new MatrixList();
  model.compose(list);
  return list.matrices;
}
