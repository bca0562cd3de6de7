// Fitting on the GPU: a first token of its own, fine-tuning, whole fits, and a converted model opened again.
import { afterAll, describe, expect, it } from 'vitest';
import { convertModel } from '../../src/engine/convert.ts';
import { Library } from '../../src/engine/library.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { measure } from '../../src/fit/measure.ts';
import { fitted as fittedSite } from '../../src/fit/plans.ts';
import { logitsOf, programOf } from '../../src/fit/lab.ts';
import { scalarsAt } from '../../src/fit/solve.ts';
import { fitAll, goingOnFrom, METHODS, TUNE } from '../../src/fit/spec.ts';
import type { FitProgress, FitReport, Method, SiteMethod } from '../../src/fit/spec.ts';
import { fineTune } from '../../src/fit/tune.ts';
import type { Plan, SitePlan } from '../../src/model/plan.ts';
import { Program } from '../../src/model/program.ts';
import {
  calibration,
  checkpoint,
  gpu,
  heldOut,
  ids,
  lab,
  library,
  model,
  original,
  session,
  sites,
  WEIGHTS,
} from './fit-lab.ts';
import { readFloats } from './support.ts';

afterAll(() => session[Symbol.dispose]());

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

it('a plan is measured once on the same text', async () => {
  const windows = heldOut.slice(0, 2).map((passage) => passage.slice(0, 9));
  const planOf = (slope: number): Plan => ({
    weights: WEIGHTS,
    sites: { ...original.sites, ln_f: fittedSite('dyt', scalarsAt('dyt', slope)) },
  });
  const ask = async (plans: readonly Plan[], on = windows) => {
    const told: number[] = [];
    const found = await measure(lab, model, original, plans, on, (of) => told.push(of));
    return { found, told };
  };
  const first = await ask([planOf(0.4), planOf(0.5), planOf(0.4)]);
  expect(first.told).toEqual(Array<number>(6).fill(6));
  expect(first.found).toHaveLength(4);
  expect(first.found[1]).toBe(first.found[3]);
  expect(first.found[1]?.loss).not.toBe(first.found[2]?.loss);
  const again = await ask([planOf(0.5), planOf(0.4)]);
  expect(again.told).toEqual([]);
  expect(again.found).toEqual([0, 2, 1].map((i) => first.found[i]));
  // A new one is run beside the original, whose logits it is held to; on other text all are new.
  const other = await ask([planOf(0.5), planOf(0.6)]);
  expect(other.told).toHaveLength(4);
  expect(other.found[1]).toBe(first.found[2]);
  expect(other.found[2]?.kl).toBeGreaterThan(0);
  expect((await ask([planOf(0.5)], windows.toReversed())).told).toHaveLength(4);
});

it('fine-tuning brings the loss down, in medians of blocks, and stays near its end', async () => {
  const windows = calibration.slice(0, 2).map((passage) => passage.slice(0, 24));
  const swapped: Plan = {
    weights: WEIGHTS,
    sites: Object.fromEntries(sites.map(({ id }) => [id, { norm: 'dyt', source: 'fitted', alphaScale: 1 }])),
  };
  const trace: number[] = [];
  const tune = { ...TUNE, steps: 100, learningRate: 0.02 };
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
    expect(whole.seconds.tune).toBeGreaterThan(half.seconds.tune);
    for (const { r2 } of whole.sites) expect(r2).toBeLessThanOrEqual(1);
  });

  it('that is stopped between clip levels keeps the best of them', async () => {
    const spec = { ...fitAll(WEIGHTS, ids, 'dyt', 'clip'), kappas: [4, 1, 3], tableWindows: 0, ...few };
    const [best, halfway] = [new AbortController(), new AbortController()];
    const stopAt = (stop: AbortController, kappa: string) => ({
      signal: stop.signal,
      onStep: ({ stage, what }: FitProgress) =>
        void (stage === 'measure' && what === `κ = ${kappa}` && stop.abort()),
    });
    const one = await engine.fit(spec, stopAt(best, '1'));
    expect(one).toMatchObject({ isStopped: true, kappa: 4 });
    const two = await engine.fit(spec, stopAt(halfway, '3'));
    expect(two).toMatchObject({ isStopped: true, kappa: 4 });
    expect(two.plan).toEqual(one.plan);
    expect(two.sites.map(({ r2 }) => r2)).toEqual(one.sites.map(({ r2 }) => r2));
  });

  it('swaps in an order of somebody’s own, and a site by a method of its own', async () => {
    const three = ['ln_f', 'h.2.ln_1', 'h.4.ln_2'];
    const at = (report: FitReport, site: string) => report.sites.find((one) => one.site === site);
    const fit = (order: readonly string[], methods: Record<string, SiteMethod> = {}, from?: Plan) =>
      engine.fit({
        ...fitAll(WEIGHTS, three, 'dyt', 'sequential'),
        order,
        methods,
        kappas: [4],
        tableWindows: 0,
        ...(from ? { from: { plan: from } } : {}),
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
    // A swap before the place where the forward would begin makes it begin anew.
    const late = await fit(['h.4.ln_2', 'h.2.ln_1', 'ln_f'], { 'h.2.ln_1': 'moment' });
    const { ln_f: _, ...before } = late.plan.sites;
    const whole = { ...late.plan, sites: { ...original.sites, ...before } };
    const again = await fit(['h.4.ln_2', 'h.2.ln_1', 'ln_f'], { 'h.2.ln_1': 'moment' }, whole);
    expect(at(again, 'ln_f')).toEqual(at(late, 'ln_f'));
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
