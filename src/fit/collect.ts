// What sites are given and answer, on the calibration text.
import type { Plan } from '../model/plan.ts';
import { programOf } from './lab.ts';
import type { Lab, Model } from './lab.ts';
import type { Window } from './spec.ts';

export type Activations = { readonly x: Float32Array; readonly y: Float32Array };

/** Of every site or of one, perhaps starting at a site whose input is known; outputs too, or there is nothing in `y`. */
export type Which = {
  readonly site?: string;
  readonly start?: { readonly site: string; readonly x: Float32Array };
  readonly isInputOnly?: boolean;
};

/** Inputs and outputs of sites under a plan, [windows · T, C] each. */
export async function collect(
  lab: Lab,
  model: Model,
  plan: Plan,
  windows: readonly Window[],
  onForward: () => void,
  { site, start, isInputOnly = false }: Which,
): Promise<Map<string, Activations>> {
  const { C } = model.checkpoint.model.dims;
  const rows = windows.reduce((sum, passage) => sum + passage.length, 0);
  const found = new Map<string, Activations>();
  using program = await programOf(lab, model, plan);
  let row = 0;
  for (const passage of windows) {
    onForward();
    const from = start && { site: start.site, x: start.x.subarray(row * C, (row + passage.length) * C) };
    for (const [id, { in: x, out: y }] of await program.capture(
      passage,
      site === undefined ? undefined : [site],
      from,
    )) {
      const size = rows * C;
      const kept = found.get(id) ?? {
        x: new Float32Array(size),
        y: new Float32Array(isInputOnly ? 0 : size),
      };
      kept.x.set(x, row * C);
      if (!isInputOnly) kept.y.set(y, row * C);
      found.set(id, kept);
    }
    row += passage.length;
  }
  return found;
}
