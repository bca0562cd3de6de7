// The bench on a real adapter: what it prints is what it encoded, its kernels answer rightly, and what was measured
// before a stop is kept. Times here are a processor's and prove nothing.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isAlwaysMeasured } from '../../src/bench/norm-data.ts';
import { openNormCell, planNorms } from '../../src/bench/norms.ts';
import { measureRoofline } from '../../src/bench/roofline.ts';
import type { Bench } from '../../src/bench/roofline.ts';
import { runBench } from '../../src/bench/suite.ts';
import type { BenchEnvironment, ModelSpec, NormsSpec, Roofline } from '../../src/bench/spec.ts';
import { DEFAULT_NORMS, defaultModel } from '../../src/bench/spec.ts';
import { Library } from '../../src/engine/library.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { GpuClock, wallStepMs } from '../../src/gpu/clock.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { MAIN_NORM_IDS, thetaLayout } from '../../src/norm/registry.ts';
import { benchJson } from '../../src/receipt/bench.ts';
import { readReceipt } from '../../src/receipt/read.ts';
import { compilerOf, openGpu } from './support.ts';

let gpu: Gpu;
let bench: Bench;
let clock: GpuClock | null;
let roofline: Roofline;
beforeAll(async () => {
  gpu = await openGpu();
  using counter = GpuClock.open(gpu, 32);
  const quantumNs = (await counter?.quantumNs()) ?? null;
  clock = GpuClock.open(gpu, 1);
  bench = { gpu, compiler: compilerOf(gpu), clock, quantumNs, wallStepMs: wallStepMs() };
  const startMs = performance.now();
  roofline = await measureRoofline(bench);
  console.info(`roofline in ${Math.round(performance.now() - startMs)} ms: ${JSON.stringify(roofline)}`);
});
afterAll(() => {
  clock?.[Symbol.dispose]();
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

const ENVIRONMENT: BenchEnvironment = {
  device: 'gpu',
  browser: { userAgent: 'a test', brands: [], platform: '', logicalProcessors: null },
  adapter: {
    vendor: '',
    architecture: '',
    device: '',
    description: '',
    isFallback: true,
    subgroupMinSize: null,
    subgroupMaxSize: null,
  },
  features: [],
  limits: {},
  timer: { kind: 'timestamp-query', quantumNs: 1, wallStepMs: 0.1 },
  isCrossOriginIsolated: true,
};

const SPEC: NormsSpec = {
  ...DEFAULT_NORMS,
  shapes: [{ T: 33, C: 64 }],
  rounds: { min: 4, max: 6 },
  budgetMs: 4000,
};

/** Workgroups of every dispatch that `work` encodes. */
async function encoded(work: () => Promise<unknown>): Promise<number[][]> {
  const calls: number[][] = [];
  const spy = vi.spyOn(GPUComputePassEncoder.prototype, 'dispatchWorkgroups').mockImplementation(function (
    this: GPUComputePassEncoder,
    ...grid: [number, number?, number?]
  ) {
    calls.push(grid.map((n) => n ?? 1));
    return original.apply(this, grid);
  });
  try {
    await work();
  } finally {
    spy.mockRestore();
  }
  return calls;
}
const original = GPUComputePassEncoder.prototype.dispatchWorkgroups;

describe('the roofline', () => {
  it('is finite everywhere, takes a few seconds, and knows what the device lacks', () => {
    const { copy, read, write, fmaF32, fmaF16, exp, tanh, emptyDispatch, submitWallUs } = roofline;
    for (const { gbPerS } of [copy, read, write]) expect(gbPerS).toBeGreaterThan(0.01);
    for (const { gPerS } of [fmaF32, exp, tanh]) expect(gPerS).toBeGreaterThan(0.001);
    expect(fmaF16 === null).toBe(!gpu.device.features.has('shader-f16'));
    expect(emptyDispatch.wallUs).toBeGreaterThan(0);
    expect(emptyDispatch.gpuUs === null).toBe(clock === null);
    expect(submitWallUs).toBeGreaterThan(0);
    expect(roofline.staircase.map(({ sizeBytes }) => sizeBytes)).toEqual(
      roofline.staircase.map(({ sizeBytes }) => sizeBytes).toSorted((a, b) => a - b),
    );
  });
});

describe.each([
  { T: 33, C: 64, dtype: 'f32', hasResidual: false, regime: 'hot' },
  { T: 5, C: 130, dtype: 'f32', hasResidual: false, regime: 'cold' },
  { T: 33, C: 64, dtype: 'f16', hasResidual: false, regime: 'hot' },
  { T: 6, C: 33, dtype: 'f16', hasResidual: true, regime: 'cold' },
  { T: 16, C: 512, dtype: 'f32', hasResidual: true, regime: 'hot' },
] as const)(
  'a cell of norms: [$T, $C] $dtype, residual $hasResidual, $regime',
  ({ T, C, dtype, hasResidual, regime }) => {
    const cell = { id: 'cell', phase: 'isolated', T, past: 0, C, dtype, hasResidual, regime } as const;
    const ours = MAIN_NORM_IDS.flatMap((member) => [
      { member, form: 'tuned' as const },
      { member, form: 'plain' as const },
    ]);

    it('prints the dispatches and the bytes that it issues', async () => {
      const open = await openNormCell(bench, cell, ours, true, roofline);
      try {
        expect(open.failures).toEqual([]);
        expect(open.entrants.length).toBe(ours.length + 1);
        for (const { info, work, run, error, kernels } of open.entrants) {
          const calls = await encoded(() => run(7));
          expect(calls.length, info.id).toBe(7 * (work?.dispatches ?? 0));
          expect(kernels.length).toBe(work?.dispatches);
          for (const { sha256 } of kernels) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
          if (!info.member) continue;
          expect(error?.nanCount).toBe(0);
          expect(error?.maxAbs).toBeLessThan(dtype === 'f16' ? 5e-3 : 1e-5);
          const x = T * (dtype === 'f16' ? 4 * Math.ceil(C / 2) : 4 * C);
          const least = (hasResidual ? 4 : 2) * x + 4 * thetaLayout(info.member, C).P;
          // A member that measures columns reads x once more.
          expect(work?.bytesMin).toBe(least + (isAlwaysMeasured(info.member) ? x + 3 * C * 4 : 0));
        }
      } finally {
        await open.dispose();
      }
    });
  },
);

describe('a session of norms', () => {
  it('holds samples, predictions, verdicts and kernels for every member', async () => {
    const stages: string[] = [];
    let predicted = 0;
    const report = await runBench(SPEC, ENVIRONMENT, bench, async () => planNorms(SPEC, bench, null), {
      onProgress: ({ stage }) => stages.push(stage),
      onPredicted: ({ predictions }) => (predicted = predictions.length),
    });
    expect(predicted).toBe(MAIN_NORM_IDS.length + 1);
    expect(report).toMatchObject({ isStopped: false, failures: [] });
    expect(report.results.length).toBe(2 * (MAIN_NORM_IDS.length + 1));
    for (const result of report.results) {
      expect(result.samplesUs.length).toBeGreaterThanOrEqual(3);
      expect(result.centerUs).toBeGreaterThan(0);
      expect(result.gbPerS).toBeGreaterThan(0);
      expect(result.shareOfCopy).toBeGreaterThan(0);
      for (const id of result.kernels) expect(report.kernels.map((k) => k.id)).toContain(id);
    }
    expect(report.comparisons.length).toBeGreaterThan(MAIN_NORM_IDS.length);
    expect(report.flags.map(({ code }) => code)).toContain('software-adapter');
    expect(stages.join()).toContain('measuring');
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it('keeps what it has when stopped', async () => {
    const abort = new AbortController();
    const spec = {
      ...SPEC,
      shapes: [
        { T: 33, C: 64 },
        { T: 64, C: 64 },
      ],
      rounds: { min: 400, max: 400 },
    };
    const report = await runBench(spec, ENVIRONMENT, bench, async () => planNorms(spec, bench, null), {
      signal: abort.signal,
      onProgress: ({ stage, done }) => {
        if (stage.includes('measuring') && done > 0.02) abort.abort();
      },
    });
    expect(report.isStopped).toBe(true);
    expect(report.roofline).not.toBeNull();
    expect(report.results.length).toBe(2 * (MAIN_NORM_IDS.length + 1));
    for (const { samplesUs } of report.results) expect(samplesUs.length).toBeLessThan(400);
    expect(new Set(report.results.map(({ cell }) => cell)).size).toBe(1);
  });
});

describe('a report of the engine', () => {
  it('comes back from its file without a note: same version, same kernels', async () => {
    const engine = new WgslEngine(new Library(new URL('/models/', location.href)));
    const spec: NormsSpec = {
      ...SPEC,
      shapes: [...SPEC.shapes, { T: 2, C: 512 }],
      forms: ['plain', 'tuned'],
      rounds: { min: 1, max: 1 },
      budgetMs: 200,
    };
    const report = await engine.bench(spec);
    await engine.dispose();
    expect(report.results.length).toBe(2 * 2 * (2 * MAIN_NORM_IDS.length + 1));
    expect(report.environment).toMatchObject({ device: 'gpu', browser: { userAgent: navigator.userAgent } });
    expect(readReceipt(benchJson(report))).toEqual({ kind: 'bench', report, notes: [] });
  });
});

describe('a session of whole models', () => {
  it('prefills and decodes twins and swaps, takes forwards apart, and counts memory', async () => {
    const engine = new WgslEngine(new Library(new URL('/models/', location.href)));
    const [first, second] = ['layernorm', 'dyt'] as const;
    const weights = `fairy-tale-gpt/${first}`;
    const spec: ModelSpec = {
      ...defaultModel([
        { weights, norm: first },
        { weights: `fairy-tale-gpt/${second}`, norm: second },
        { weights, norm: 'instancenorm' },
      ]),
      prompts: [9],
      decodes: [9],
      rounds: { min: 3, max: 4 },
      budgetMs: 8000,
    };
    const report = await engine.bench(spec);
    await engine.dispose();
    expect(report.failures).toEqual([
      {
        cell: 'decode after 9',
        contestant: `instancenorm on ${weights}`,
        reason: expect.stringContaining('whole prompt'),
      },
    ]);
    const of = (cell: string, level: string) =>
      report.results.filter((r) => r.cell === cell && r.level === level);
    for (const level of ['gpu', 'amortised', 'user']) {
      expect(of('prefill of 9', level).length, level).toBe(3);
      expect(of('decode after 9', level).length, level).toBe(2);
    }
    const dispatches = of('prefill of 9', 'gpu').map((r) => r.dispatches ?? 0);
    expect(dispatches).toEqual(report.predictions.slice(0, 3).map((p) => p.dispatches));
    expect(dispatches[1]).toBe(dispatches[0]);
    expect(dispatches[2]).toBeGreaterThan(dispatches[0] ?? 0); // a dispatch a site to measure columns
    // A token is drawn on the GPU, which takes dispatches of its own.
    const drawn = of('decode after 9', 'user').map((r) => r.dispatches ?? 0);
    expect(drawn[0]).toBeGreaterThan(of('decode after 9', 'gpu')[0]?.dispatches ?? Infinity);
    expect(report.breakdowns.length).toBe(5);
    for (const { normShare, operations, traceUs } of report.breakdowns) {
      expect(normShare?.share).toBeGreaterThan(0);
      expect(normShare?.ci[1]).toBeLessThan(1);
      expect(traceUs.length).toBe(operations.length);
    }
    expect(report.memory.map(({ member }) => member)).toEqual([first, second, 'instancenorm']);
    for (const row of report.memory) {
      expect(row.peakBytes).toBeGreaterThanOrEqual(row.allocatedBytes);
      expect(row.bytesByPurpose.weights).toBeGreaterThan(1e6);
      expect(row.normBytes).toBeGreaterThan(0);
    }
  });
});
