// The sample family: one token id of a row of logits, drawn where the logits are.
import type { PlannedKernel } from './compile.ts';

/** The largest logit; a draw from all; a draw from the k best. */
export type DrawForm = 'greedy' | 'all' | 'top';

/** Logits of one workgroup: more of them are narrowed slice by slice first. */
const SLICE = 4096;

/** Lanes of a workgroup, a square: on the software adapter every one of them is paid for at every barrier. */
const lanes = (isSoftware: boolean): number => (isSoftware ? 16 : 256);

/** logits[T, V], draws[2 + context] → tokens[past + T]; one dispatch, or two for large V. */
export function drawKernels(form: DrawForm, V: number, isSoftware: boolean): PlannedKernel[] {
  const WG = lanes(isSoftware);
  const slices = Math.ceil(V / SLICE);
  const kernel = (isNarrowed: boolean, isFinal: boolean): PlannedKernel => ({
    spec: {
      files: ['sample/draw'],
      entry: 'forward',
      constants: {
        WG,
        SPAN: Math.sqrt(WG),
        V,
        SLICE,
        SLICES: slices,
        NOISE: form !== 'greedy',
        TOP: form === 'top',
        NARROWED: isNarrowed,
        FINAL: isFinal,
      },
    },
    workgroups: () => [isFinal ? 1 : slices],
  });
  return slices === 1 ? [kernel(false, true)] : [kernel(false, false), kernel(true, true)];
}

/** Ids that slices may hand on: all of them at worst. */
export const finalistsBytes = (V: number): number => (V > SLICE ? 4 * V : 4);
