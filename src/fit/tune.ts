import type { Plan } from '../model/plan.ts';
import type { Lab, Model } from './lab.ts';
import type { FitSpec, Window } from './spec.ts';
export async function fineTune(
  _lab: Lab,
  _model: Model,
  _original: Plan,
  plan: Plan,
  _sites: readonly string[],
  _windows: readonly Window[],
  _spec: FitSpec['tune'],
  _onStep: (loss: number, plan: Plan) => void,
): Promise<Plan> {
  return plan;
}
