// A fit on paper: what an engine might answer to a spec; every number is made up.
import type { FitReport, FitSpec } from '../../src/fit/spec.ts';
import { ENVIRONMENT, INFO, SITES } from './fakes.ts';

const measured = (loss: number) => ({ loss, kl: loss / 10, top1: 1 / loss });

export function fitReportOf(spec: FitSpec, change: Partial<FitReport> = {}): FitReport {
  const base = 'layernorm' as const;
  return {
    schema: 'normscope/fit/1',
    startedAt: new Date(0).toISOString(),
    adapter: ENVIRONMENT.adapter,
    weights: spec.weights,
    sha256: INFO.twins[base]?.weights.sha256 ?? '',
    method: spec.method,
    kappa: null,
    isStopped: false,
    plan: {
      weights: spec.weights,
      sites: Object.fromEntries(
        SITES.map(({ id }) => {
          const norm = spec.sites[id];
          return [
            id,
            norm
              ? { norm, source: 'fitted', alphaScale: 1, values: { alpha: [0.5], gamma: [1, 2, 3, 4] } }
              : { norm: base, source: 'twin', alphaScale: 1 },
          ];
        }),
      ),
    },
    tokens: { calibration: 512, heldOut: 512 },
    heldOutLoss: { original: 3.4393, raw: 5.5319, fitted: 3.8861 },
    measured: {
      raw: measured(5.5319),
      fitted: measured(3.8861),
      fresh: measured(6.811),
      frozen: measured(4.1),
      native: { weights: 'fairy-tale-gpt/dyt', loss: 3.6476 },
    },
    sweep: [],
    sites: Object.entries(spec.sites).map(([site, norm]) => ({
      site,
      norm,
      method: spec.method,
      scalars: { alpha: 0.5 },
      sigma: 2,
      r2: 0.98,
      aloneDelta: 0.01,
      withoutDelta: -0.02,
    })),
    trace: [],
    lossMap: [[0.1, -0.2]],
    seconds: { collect: 1, fit: 2, tune: 0, measure: 3 },
    ...change,
  };
}
