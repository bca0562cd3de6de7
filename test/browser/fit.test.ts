// Fitting on the GPU: gradients against central differences, fine-tuning, and a converted model opened again.
import { afterAll, describe, expect, it } from 'vitest';
import { convertModel } from '../../src/engine/convert.ts';
import { Library } from '../../src/engine/library.ts';
import { Session } from '../../src/engine/device-session.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { fitted as fittedSite, originalPlan } from '../../src/fit/plans.ts';
import { logitsOf, programOf } from '../../src/fit/lab.ts';
import type { Model } from '../../src/fit/lab.ts';
import { scalarsAt } from '../../src/fit/solve.ts';
import { fitAll, goingOnFrom, METHODS, TUNE } from '../../src/fit/spec.ts';
import type { FitReport, Method, SiteMethod } from '../../src/fit/spec.ts';
import { Tape } from '../../src/fit/tape.ts';
import { fineTune } from '../../src/fit/tune.ts';
import { normBackward, scalarNames, thetaBackward } from '../../src/kernel/backward.ts';
import type { Plan, SitePlan } from '../../src/model/plan.ts';
import { Program } from '../../src/model/program.ts';
import { randomFrom } from '../../src/model/sample.ts';
import { sitesOf } from '../../src/model/model.ts';
import { Weights } from '../../src/model/weights.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import type { Params } from '../../src/norm/reference.ts';
import { bends, NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { dispatch, openGpu, readFloats, runUniform } from './support.ts';

const gpu = await openGpu();
const session = new Session(gpu);
const library = new Library(new URL('/models/', location.href));
const WEIGHTS = 'fairy-tale-gpt/layernorm';
const checkpoint = await library.checkpoint(WEIGHTS);
const model: Model = {
  id: WEIGHTS,
  checkpoint,
  weights: new Weights(gpu, checkpoint),
  space: session.space(checkpoint),
};
const lab = { gpu, compiler: session.compiler, tuning: null, model: () => Promise.resolve(model) };
const sites = sitesOf(checkpoint);
const original = originalPlan(WEIGHTS, checkpoint.norm, sites);
const calibration = (await library.windows('fairy-tale-gpt', 'calibration')) ?? [];
const heldOut = (await library.windows('fairy-tale-gpt', 'heldOut')) ?? [];
afterAll(() => session[Symbol.dispose]());

const random = randomFrom(5);
const uniform = (count: number, reach: number): Float32Array =>
  Float32Array.from({ length: count }, () => reach * (2 * random() - 1));

describe.each(NORM_IDS)('backward of %s', (id) => {
  it('is that of central differences in float64', async () => {
    const [T, C, eps] = [7, 37, 1e-5];
    const { params, reference } = normSpec(id);
    const { offsets, P } = thetaLayout(id, C);
    const theta = uniform(P, 1);
    for (const [name, param] of Object.entries(params)) {
      const at = offsets[name] ?? 0;
      if (param.size === 1) theta[at] = name === 'shift' ? 0.2 : 0.7;
      if (param.measured) theta.fill(param.measured === 'variance' ? 1.7 : 0, at, at + C);
    }
    const [x, dy, before] = [uniform(T * C, 2.5), uniform(T * C, 1), uniform(T * C, 1)];
    // Statistics over tokens are held: in float64 they are given, as BatchNorm's are.
    const held =
      reference === normSpec('instancenorm').reference ? normSpec('batchnorm').reference : reference;
    const loss = (values: ArrayLike<number>, at: ArrayLike<number>): number => {
      const of = (name: string): number[] => {
        const begin = offsets[name] ?? 0;
        return Array.from(at).slice(begin, begin + (params[name]?.size === 'C' ? C : 1));
      };
      const own: Params = Object.fromEntries(Object.keys(params).map((name) => [name, of(name)]));
      const given =
        id === 'instancenorm'
          ? { ...own, running_mean: own['mean'] ?? [], running_var: own['variance'] ?? [] }
          : own;
      const y = applyAffine(held.core(Float64Array.from(values), C, given, eps), C, own);
      return y.reduce((sum, value, i) => sum + value * (dy[i] ?? 0), 0);
    };
    const slope = (of: (moved: Float64Array) => number, from: Float32Array, i: number): number => {
      const [up, down] = [Float64Array.from(from), Float64Array.from(from)];
      const h = 1e-5;
      up[i] = (up[i] ?? 0) + h;
      down[i] = (down[i] ?? 0) - h;
      return (of(up) - of(down)) / (2 * h);
    };
    const buffers = {
      x: gpu.upload('x', 'activations', x),
      theta: gpu.upload('theta', 'parameters', theta),
      dy: gpu.upload('dy', 'activations', dy),
      dx: gpu.upload('dx', 'activations', before),
      taken: gpu.buffer('taken', 'activations', 4 * T * C),
      shares: gpu.buffer('shares', 'activations', 8 * T),
      dtheta: gpu.buffer('dtheta', 'activations', 4 * P),
      run: runUniform(gpu, T),
    };
    for (const { spec, workgroups } of [normBackward(id, C, eps, true, gpu.machine), thetaBackward(id, C)])
      await dispatch(gpu, spec, buffers, workgroups(T));
    const [dx, dtheta] = [await readFloats(gpu, buffers.dx, T * C), await readFloats(gpu, buffers.dtheta, P)];
    for (const buffer of Object.values(buffers)) buffer[Symbol.dispose]();
    dx.forEach((value, i) => {
      const want = (before[i] ?? 0) + slope((moved) => loss(moved, theta), x, i);
      expect(Math.abs(value - want), `dx ${i}`).toBeLessThan(2e-5 * Math.max(1, Math.abs(want)));
    });
    for (const [name, param] of Object.entries(params)) {
      if (param.measured) continue;
      const at = offsets[name] ?? 0;
      for (let i = at; i < at + (param.size === 'C' ? C : 1); i++) {
        const want = slope((moved) => loss(x, moved), theta, i);
        expect(Math.abs((dtheta[i] ?? 0) - want), `${name} ${i - at}`).toBeLessThan(
          1e-4 * Math.max(1, Math.abs(want)),
        );
      }
    }
  });
});

/** Members by turns, with gains that suit no site and others for the first token: every backward is in it. */
const MIXED: Plan = {
  weights: WEIGHTS,
  sites: Object.fromEntries(
    sites.map(({ id }, i) => {
      const members: readonly NormId[] = NORM_IDS.filter(
        (norm) => normSpec(norm).over !== 'channel' && (bends(norm) || normSpec(norm).line),
      );
      const norm = members[i % members.length] ?? checkpoint.norm;
      const values = bends(norm) ? scalarsAt(norm, 0.3 + 0.05 * i, { shift: [0.1] }) : {};
      const own = bends(norm) && i % 2 ? scalarsAt(norm, 0.9 - 0.05 * i, { shift: [-0.2] }) : undefined;
      return [id, fittedSite(norm, values, own)];
    }),
  ),
};

it('a tape predicts what the program predicts, and its gradients are those of central differences', async () => {
  const tokens = calibration[0]?.slice(0, 21) ?? [];
  const T = tokens.length;
  using teacher = await programOf(lab, model, original);
  const wanted = await logitsOf(lab, model, teacher, tokens);
  using same = await Tape.build(lab, model, original, T);
  expect((await same.step(tokens, wanted)).loss).toBeLessThan(1e-6);
  using tape = await Tape.build(lab, model, MIXED, T);
  const { gradients } = await tape.step(tokens, wanted);
  const C = checkpoint.model.dims.C;
  for (const { id } of sites) {
    const gradient = gradients.get(id) ?? new Float32Array();
    const length = Math.hypot(...gradient);
    expect(length).toBeGreaterThan(0);
    const { norm, values = {}, first = {} } = MIXED.sites[id] ?? { norm: checkpoint.norm };
    const { offsets, P } = thetaLayout(norm, C);
    const start = new Float32Array(gradient.length);
    for (const name of Object.keys(normSpec(norm).params)) {
      const own =
        name === 'gamma'
          ? model.weights.values(`${id}.weight`)
          : name === 'beta'
            ? model.weights.values(`${id}.bias`)
            : values[name];
      start.set(Array.from(own ?? []), offsets[name] ?? 0);
    }
    scalarNames(norm).forEach((name, s) => first[name] && start.set(first[name], P + s));
    const lossAt = async (h: number): Promise<number> => {
      tape.write(
        id,
        start.map((value, i) => value + (h * (gradient[i] ?? 0)) / length),
      );
      return (await tape.step(tokens, wanted)).loss;
    };
    const h = 4e-3;
    const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
    expect(Math.abs(slope / length - 1), `${id} ${norm}: ${slope} for ${length}`).toBeLessThan(0.02);
    tape.write(id, start);
  }
});

it('the first token goes by its own scalars: in a prompt, and not after cached tokens', async () => {
  const tokens = calibration[0]?.slice(0, 9) ?? [];
  const { V } = checkpoint.model.dims;
  const planOf = (of: (site: string) => SitePlan): Plan => ({
    weights: WEIGHTS,
    sites: Object.fromEntries(sites.map(({ id }) => [id, of(id)])),
  });
  const [shared, other] = [scalarsAt('dyt', 0.4), scalarsAt('dyt', 0.9)];
  const apart = planOf(() => fittedSite('dyt', shared, other));
  const rowOf = (logits: Float32Array, t: number): number[] =>
    Array.from(logits.subarray(t * V, (t + 1) * V));
  const logits = async (plan: Plan, of: readonly number[]): Promise<Float32Array> => {
    using program = await programOf(lab, model, plan);
    return logitsOf(lab, model, program, of);
  };
  const whole = await logits(apart, tokens);
  // Alone, the first token is that of a model with its scalars everywhere; later ones see it.
  expect(rowOf(whole, 0)).toEqual(
    rowOf(
      await logits(
        planOf(() => fittedSite('dyt', other)),
        tokens,
      ),
      0,
    ),
  );
  expect(rowOf(whole, 8)).not.toEqual(
    rowOf(
      await logits(
        planOf(() => fittedSite('dyt', shared)),
        tokens,
      ),
      8,
    ),
  );
  expect(
    await logits(
      planOf(() => fittedSite('dyt', shared, shared)),
      tokens,
    ),
  ).toEqual(
    await logits(
      planOf(() => fittedSite('dyt', shared)),
      tokens,
    ),
  );
  await logits(apart, tokens.slice(0, 8));
  const mode = { kind: 'decode', hasProbes: false } as const;
  using decode = await Program.build(gpu, session.compiler, model.weights, model.space, apart, mode);
  decode.submit(tokens.slice(8), 8);
  const next = await readFloats(gpu, model.space.activation('logits', V), V);
  next.forEach((value, v) => expect(Math.abs(value - (whole[8 * V + v] ?? 0))).toBeLessThan(1e-4));
});

it('fine-tuning brings the loss down, in medians of blocks, and stays near its end', async () => {
  const windows = calibration.slice(0, 2).map((passage) => passage.slice(0, 24));
  const swapped: Plan = {
    weights: WEIGHTS,
    sites: Object.fromEntries(sites.map(({ id }) => [id, { norm: 'dyt', source: 'fitted', alphaScale: 1 }])),
  };
  const trace: number[] = [];
  const tune = { ...TUNE, steps: 100, learningRate: 0.02 };
  const ids = sites.map(({ id }) => id);
  const plan = await fineTune(lab, model, original, swapped, ids, windows, tune, 0, (loss) =>
    trace.push(loss),
  );
  const medians = Array.from(
    { length: 5 },
    (_, i) => trace.slice(20 * i, 20 * i + 20).toSorted((a, b) => a - b)[10] ?? 0,
  );
  console.info(`fine-tune, medians of 20 steps: ${medians.map((value) => value.toFixed(4)).join(' ')}`);
  const end = medians.at(-1) ?? 0;
  let least = Infinity;
  for (const value of medians) {
    expect(value).toBeLessThan(Math.max(least, 1.02 * end) + 1e-9);
    least = Math.min(least, value);
  }
  expect(end).toBeLessThan(0.5 * (medians[0] ?? 0));
  using program = await programOf(lab, model, plan);
  const logits = await logitsOf(lab, model, program, windows[0] ?? []);
  expect(logits.every(Number.isFinite)).toBe(true);
});

/** Two windows of 96 tokens to fit on and one to measure on; fit-losses.test.ts has all of them. */
describe('a fit', () => {
  const engine = new WgslEngine(library);
  afterAll(() => engine.dispose());
  const few = {
    calibration: calibration.slice(0, 2).map((p) => p.slice(0, 96)),
    heldOut: heldOut.slice(0, 1).map((p) => p.slice(0, 97)),
  };
  const reports = new Map<Method, FitReport>();
  const ids = sites.map(({ id }) => id);

  it.each(METHODS)('by %s is measured, and all but the first beat the raw swap', async (method) => {
    const steps: string[] = [];
    const report = await engine.fit(
      {
        ...fitAll(WEIGHTS, ids, 'dyt', method),
        kappas: [2, 6],
        tune: { ...TUNE, steps: 4 },
        tableWindows: 0,
        ...few,
      },
      { onStep: ({ stage }) => steps.push(stage) },
    );
    reports.set(method, report);
    const { original: native, raw, fitted } = report.heldOutLoss;
    console.info(
      `${method}: original ${native?.toFixed(3)}, raw ${raw?.toFixed(3)}, fitted ${fitted?.toFixed(3)}`,
    );
    expect(report.isStopped).toBe(false);
    expect(report.sites).toHaveLength(13);
    expect(report.measured?.fitted.top1).toBeLessThanOrEqual(1);
    if (method !== 'moment') expect(fitted).toBeLessThan(raw ?? 0);
    expect(fitted).toBeGreaterThan((native ?? 0) - 0.1);
    expect(steps).toContain('measure');
  });

  it('ranks the methods', () => {
    const loss = (method: Method): number => reports.get(method)?.heldOutLoss.fitted ?? Number.NaN;
    expect(loss('clip')).toBeLessThan(loss('moment'));
    expect(loss('sequential')).toBeLessThan(loss('moment'));
  });

  it('that is stopped keeps the sites it came to, and goes on from there', async () => {
    const stop = new AbortController();
    const spec = { ...fitAll(WEIGHTS, ids, 'dyt', 'sequential'), tableWindows: 0, ...few };
    const half = await engine.fit(spec, {
      signal: stop.signal,
      onStep: ({ stage, what }) => void (stage === 'fit' && what === 'h.1.ln_2' && stop.abort()),
    });
    expect(half.isStopped).toBe(true);
    expect(half.heldOutLoss.fitted).toBeNull();
    expect(Object.values(half.plan.sites).filter(({ source }) => source === 'fitted')).toHaveLength(4);
    const whole = await engine.fit({ ...spec, from: goingOnFrom(half) });
    const wanted = reports.get('sequential')?.heldOutLoss.fitted ?? Number.NaN;
    expect(whole.heldOutLoss.fitted).toBeCloseTo(wanted, 5);
    // What was known of the sites before the stop is known.
    expect(whole.sites.map(({ r2 }) => r2)).toEqual(reports.get('sequential')?.sites.map(({ r2 }) => r2));
  });

  it('that is stopped while it fine-tunes goes on at the step it came to', async () => {
    const stop = new AbortController();
    const spec = {
      ...fitAll(WEIGHTS, ids, 'dyt', 'fine-tune'),
      tune: { ...TUNE, steps: 6 },
      tableWindows: 0,
      ...few,
    };
    const sequential = reports.get('sequential');
    if (!sequential) throw new Error('there is none');
    const half = await engine.fit(
      { ...spec, from: { plan: sequential.plan } },
      {
        signal: stop.signal,
        onStep: ({ stage, done }) => void (stage === 'tune' && done === 4 && stop.abort()),
      },
    );
    expect(half).toMatchObject({ isStopped: true, tune: spec.tune });
    // The step that was under way when it was stopped is kept.
    expect(half.trace.length).toBe(5);
    const steps: number[] = [];
    const whole = await engine.fit(
      { ...spec, from: goingOnFrom(half) },
      { onStep: ({ stage, done }) => void (stage === 'tune' && steps.push(done)) },
    );
    expect(steps).toEqual([6]);
    expect(whole.trace.slice(0, 5)).toEqual(half.trace);
    expect(whole.trace).toHaveLength(6);
    for (const { r2 } of whole.sites) expect(r2).toBeLessThanOrEqual(1);
  });

  it('swaps in an order of somebody’s own, and a site by a method of its own', async () => {
    const three = ['ln_f', 'h.2.ln_1', 'h.4.ln_2'];
    const at = (report: FitReport, site: string) => report.sites.find((one) => one.site === site);
    const fit = (order: readonly string[], methods: Record<string, SiteMethod> = {}) =>
      engine.fit({
        ...fitAll(WEIGHTS, three, 'dyt', 'sequential'),
        order,
        methods,
        kappas: [4],
        tableWindows: 0,
        ...few,
      });
    const running = await fit(['h.2.ln_1', 'h.4.ln_2', 'ln_f']);
    expect(running.order).toBeUndefined();
    const other = await fit(three);
    expect(other.order).toEqual(three);
    expect(other.sites.map(({ site }) => site)).toEqual(['h.2.ln_1', 'h.4.ln_2', 'ln_f']);
    // Swapped first, the last site was fitted on what the original gives it: as alone.
    const alone = reports.get('least-squares');
    if (!alone) throw new Error('there is none');
    expect(at(other, 'ln_f')?.scalars).toEqual(at(alone, 'ln_f')?.scalars);
    expect(at(running, 'ln_f')?.scalars).not.toEqual(at(alone, 'ln_f')?.scalars);
    // The one between was fitted on what the first one hands on, wherever the forward began.
    expect(at(other, 'h.4.ln_2')?.scalars).toEqual(at(running, 'h.4.ln_2')?.scalars);
    const mixed = await fit(three, { 'h.4.ln_2': 'clip', ln_f: 'moment' });
    const by = new Map(mixed.sites.map(({ site, method }) => [site, method]));
    expect(Object.fromEntries(by)).toEqual({ 'h.2.ln_1': 'sequential', 'h.4.ln_2': 'clip', ln_f: 'moment' });
    expect(mixed.kappa).toBe(4);
    const alpha = (report: FitReport | undefined, site: string): number =>
      (report && at(report, site)?.scalars['alpha']) ?? Number.NaN;
    expect(alpha(mixed, 'ln_f')).toBe(alpha(reports.get('moment'), 'ln_f'));
    expect(alpha(mixed, 'h.4.ln_2')).toBeCloseTo(alpha(reports.get('moment'), 'h.4.ln_2') / 4, 6);
  });

  it('is opened again with the same logits', async () => {
    const report = reports.get('sequential');
    if (!report) throw new Error('there is none');
    const { info } = await library.model('fairy-tale-gpt');
    const files = convertModel(checkpoint, info, report.plan, [], 0);
    const tokenizer = await (await fetch('/models/fairy-tale-gpt/tokenizer.json')).text();
    const again = new Library(new URL('http://again/'), (url) => {
      const path = url.pathname.replace(/^\/[^/]+\//, '');
      const made = files.find((file) => file.path === path);
      return Promise.resolve(
        new Response(path.includes('tokenizer') ? tokenizer : (made?.bytes.slice() ?? '')),
      );
    });
    const reopened = new WgslEngine(again);
    try {
      const weights = 'fairy-tale-gpt-dyt/dyt';
      const native: Plan = {
        weights,
        sites: Object.fromEntries(ids.map((id) => [id, { norm: 'dyt', source: 'twin', alphaScale: 1 }])),
      };
      const tokens = few.heldOut[0] ?? [];
      const want = await engine.run(report.plan, tokens, { probes: false });
      const got = await reopened.run(native, tokens, { probes: false });
      expect(got.logits.length).toBe(want.logits.length);
      expect(got.logits.every((value, i) => value === want.logits[i])).toBe(true);
      // Dropped on the page it is a checkpoint as any other.
      const dropped = files.map(({ path, bytes }) => ({ path, file: new Blob([bytes.slice()]) }));
      const { loaded } = await engine.open({ files: dropped });
      const brought = await engine.run({ ...native, weights: loaded.weights }, tokens, { probes: false });
      expect(brought.logits.every((value, i) => value === want.logits[i])).toBe(true);
      expect(brought.lossPerToken).toEqual(want.lossPerToken);
    } finally {
      await reopened.dispose();
    }
  });
});
