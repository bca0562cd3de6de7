// The gate of an MLP: x[T, 2F] → y[T, F] = silu(a) · b.
import type { PlannedKernel } from './compile.ts';

const LANES = 64;

export const gateKernel = (F: number): PlannedKernel => ({
  spec: { files: ['gate/silu'], entry: 'forward', constants: { WG: LANES, F } },
  workgroups: (T) => [Math.ceil(F / LANES), T],
});
