// What sites are given and answer, on the calibration text.
import type { Plan } from '../model/plan.ts';
import { programOf } from './lab.ts';
import type { Lab, Model } from './lab.ts';
import type { Window } from './spec.ts';

export type Activations = { readonly x: Float32Array; readonly y: Float32Array };

/**
 * Inputs and outputs of sites under a plan, [windows · T, C] each: of every site, or of one, perhaps starting at a site
 * whose input is known.
 */
export async function collect(
  lab: Lab,
  model: Model,
  plan: Plan,
  windows: readonly Window[],
  onForward: () => void,
  site?: string,
  start?: { readonly site: string; readonly x: Float32Array },
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
      const kept = found.get(id) ?? { x: new Float32Array(rows * C), y: new Float32Array(rows * C) };
      kept.x.set(x, row * C);
      kept.y.set(y, row * C);
      found.set(id, kept);
    }
    row += passage.length;
  }
  return found;
}
