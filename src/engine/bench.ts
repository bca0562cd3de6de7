// The bench over an engine's device and models: which suite, and who else may run in it.
import { ModelSuite } from '../bench/model.ts';
import type { Models } from '../bench/model.ts';
import { planNorms } from '../bench/norms.ts';
import type { Bench } from '../bench/roofline.ts';
import type { BenchReport, BenchSpec } from '../bench/spec.ts';
import { runBench } from '../bench/suite.ts';
import type { Baselines, BenchOptions } from '../bench/suite.ts';
import type { Environment } from './api.ts';
import { browserOf } from './browser.ts';

export { entryPlan } from '../bench/model.ts';

export function benchOn(
  spec: BenchSpec,
  { fallbackReason, ...environment }: Environment,
  parts: Omit<Bench, 'quantumNs' | 'wallStepMs'>,
  models: Models,
  options: BenchOptions,
  baselines: Baselines,
): Promise<BenchReport> {
  const { quantumNs, wallStepMs } = environment.timer;
  const bench = { ...parts, quantumNs, wallStepMs };
  const about = {
    ...environment,
    ...(fallbackReason ? { fallbackReason: fallbackReason.message } : {}),
    browser: browserOf(),
  };
  return runBench(
    spec,
    about,
    bench,
    async () =>
      spec.suite === 'norms'
        ? planNorms(spec, bench, baselines)
        : await new ModelSuite(spec, bench, models, baselines).plan(),
    options,
  );
}
