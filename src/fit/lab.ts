// What a fit works on: one device, and the models it is asked about.
import type { Gpu } from '../gpu/device.ts';
import type { Compiler } from '../kernel/compile.ts';
import type { Tuning } from '../kernel/tune.ts';
import { NO_FUSION } from '../model/fusion.ts';
import type { Plan, Theta } from '../model/plan.ts';
import { resolveTheta } from '../model/plan.ts';
import { Program } from '../model/program.ts';
import type { Checkpoint } from '../model/model.ts';
import type { Weights } from '../model/weights.ts';
import type { Workspace } from '../model/workspace.ts';
import { thetaLayout } from '../norm/registry.ts';
import type { Affine } from './solve.ts';
import type { MeasuredPlan } from './spec.ts';

export type Model = {
  readonly id: string;
  readonly checkpoint: Checkpoint;
  /** What tells its weights from any others. */
  readonly sha256: string;
  readonly weights: Weights;
  readonly space: Workspace;
};

export type Lab = {
  readonly gpu: Gpu;
  readonly compiler: Compiler;
  readonly tuning: Tuning | null;
  /** What was measured on this device, by plan and text. */
  readonly measured: Map<string, MeasuredPlan>;
  /** Puts a model on the device, if it is not there yet. */
  readonly model: (weights: string) => Promise<Model>;
};

/** A program for whole windows with every norm apart. The caller disposes it. */
export const programOf = ({ gpu, compiler, tuning }: Lab, model: Model, plan: Plan): Promise<Program> => {
  const mode = { kind: 'prefill', hasProbes: false, fusion: NO_FUSION } as const;
  return Program.build(gpu, compiler, model.weights, model.space, plan, mode, tuning);
};

/** logits[T, V] of one window. */
export async function logitsOf({ gpu }: Lab, model: Model, program: Program, tokens: readonly number[]) {
  const V = model.checkpoint.model.dims.V;
  program.submit(tokens, 0);
  const sizeBytes = 4 * tokens.length * V;
  return new Float32Array(await gpu.read([{ buffer: model.space.activation('logits', V), sizeBytes }]));
}

export function thetaAt({ checkpoint, weights }: Model, plan: Plan, site: string): Theta {
  const sitePlan = plan.sites[site];
  if (!sitePlan) throw new RangeError(`Cannot fit: the plan says nothing of site "${site}"`);
  return resolveTheta(sitePlan, checkpoint.model.dims.C, (tensor) => weights.values(`${site}.${tensor}`));
}

/** γ and β as they stand at a site. */
export function affineAt(model: Model, plan: Plan, site: string): Affine {
  const { C } = model.checkpoint.model.dims;
  const { norm, values } = thetaAt(model, plan, site);
  const { offsets } = thetaLayout(norm, C);
  const part = (name: string): Float32Array => values.slice(offsets[name] ?? 0, (offsets[name] ?? 0) + C);
  return { gamma: part('gamma'), beta: part('beta') };
}
