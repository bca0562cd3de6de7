// Swap and fit between page and engine: what is asked for, what is kept, where it goes, and what files may say.
import { describe, expect, test, vi } from 'vitest';
import type { DroppedFile } from '../../src/store/open-files.ts';
import type { Engine } from '../../src/engine/api.ts';
import type { FitReport, FitSpec } from '../../src/fit/spec.ts';
import { windowsOf } from '../../src/fit/windows.ts';
import type { Plan } from '../../src/model/plan.ts';
import { NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { fitJson } from '../../src/receipt/fit.ts';
import { readReceipt } from '../../src/receipt/read.ts';
import { runReceipt } from '../../src/receipt/run.ts';
import {
  canResume,
  chooseFitBase,
  chooseSites,
  FITTABLE,
  fitDraftOf,
  fitSpecOf,
  liveOf,
  methodsOf,
  presetOf,
  remainingMs,
  setFitDraft,
  shownFit,
  withStep,
} from '../../src/store/fit.ts';
import { applyLink, linkOf, readLink, tellOfLink } from '../../src/store/link.ts';
import { createSession } from '../../src/store/session.ts';
import {
  chooseWeights,
  createExperiment,
  planOf,
  samePlan,
  setConfig,
  setRun,
  setView,
} from '../../src/store/store.ts';
import { fitWords } from '../../src/ui/fit/words.ts';
import { fitReportOf } from './fit-report.ts';
import { ENVIRONMENT, fakeEngine, INFO, loadedOf, runOf, SITES } from './fakes.ts';

const FAST = { ...ENVIRONMENT, adapter: { ...ENVIRONMENT.adapter, isFallback: false } };
const ids = SITES.map(({ id }) => id);

async function open(methods: Partial<Engine>) {
  const store = createExperiment();
  setConfig(store, { prompt: 'ab' });
  const asked: FitSpec[] = [];
  const fit: Engine['fit'] = async (spec) => {
    asked.push(spec);
    return fitReportOf(spec);
  };
  const session = createSession(store, fakeEngine({ fit, ...methods }));
  await session.start();
  const kept = () => store.getState().fit.kept;
  return { store, session, asked, kept, state: () => store.getState() };
}

describe('what is asked for', () => {
  const draft = (change: Parameters<typeof setFitDraft>[1] = {}) => {
    const store = createExperiment();
    setFitDraft(store, change);
    return fitDraftOf(store.getState().fit, FAST, INFO);
  };

  test('all sites of the first twin to the story’s norm, site by site, until somebody says otherwise', () => {
    expect(fitSpecOf(draft(), INFO, SITES)).toMatchObject({
      weights: 'fairy-tale-gpt/layernorm',
      sites: Object.fromEntries(ids.map((id) => [id, 'dyt'])),
      method: 'sequential',
      tableWindows: 4,
      mostWindows: { calibration: 16, heldOut: 16 },
    });
    expect(fitSpecOf(draft(), INFO, SITES).calibration).toBeUndefined();
  });

  test('few windows where the adapter is a program on the processor', () => {
    const few = fitDraftOf(createExperiment().getState().fit, ENVIRONMENT, INFO).windows;
    expect(few.calibration).toBeLessThan(draft().windows.calibration);
  });

  test('switches, and another member at a site', () => {
    const spec = fitSpecOf(draft({ off: ['ln_f'], members: { 'h.0.ln_1': 'derf' } }), INFO, SITES);
    expect(spec.sites['ln_f']).toBeUndefined();
    expect(spec.sites['h.0.ln_1']).toBe('derf');
  });

  test('a method that says nothing of a member gives way', () => {
    expect(draft({ member: 'rmsnorm', method: 'clip' }).method).toBe('sequential');
    for (const member of FITTABLE) expect(methodsOf({ member, members: {} })).toContain('sequential');
    expect(FITTABLE).toEqual(NORM_IDS);
  });

  test('weights that were trained with the member get another one', () => {
    const store = createExperiment();
    chooseFitBase(store, 'dyt', fitDraftOf(store.getState().fit, FAST, INFO));
    expect(fitDraftOf(store.getState().fit, FAST, INFO)).toMatchObject({ base: 'dyt', member: 'layernorm' });
  });

  test.each([['all'], ['attention'], ['mlp'], ['final'], [1]] as const)('%s sites at once', (preset) => {
    const store = createExperiment();
    chooseSites(store, SITES, preset);
    const { off } = fitDraftOf(store.getState().fit, FAST, INFO);
    const on = SITES.filter(({ id }) => !off.includes(id));
    expect(on.length).toBeGreaterThan(0);
    expect(on.every(({ kind, layer }) => preset === 'all' || kind === preset || layer === preset)).toBe(true);
    expect(presetOf(fitDraftOf(store.getState().fit, FAST, INFO), SITES)).toBe(preset);
    setFitDraft(store, { off: ['h.0.ln_1', 'ln_f'] });
    expect(presetOf(fitDraftOf(store.getState().fit, FAST, INFO), SITES)).toBeNull();
  });

  test('a text of one’s own, cut to whole windows; without text of the model’s the last quarter is held out', () => {
    const ids40 = Array.from({ length: 40 }, (_, i) => i);
    const own = windowsOf(ids40, 8);
    expect(own).toHaveLength(5);
    expect(own[0]?.[0]).toBe(0);
    const mine = draft({ text: 'own' });
    expect(fitSpecOf(mine, INFO, SITES, own)).toMatchObject({ calibration: own });
    expect(fitSpecOf(mine, INFO, SITES, own).heldOut).toBeUndefined();
    const { calibration: _, heldOut: __, ...bare } = INFO;
    const spec = fitSpecOf(mine, bare, SITES, own);
    expect(spec.calibration).toEqual(own.slice(0, 3));
    expect(spec.heldOut).toEqual(own.slice(3));
  });
});

describe('a fit', () => {
  test('is asked for as the controls say, kept, and looked at', async () => {
    const { session, asked, kept, state } = await open({});
    await session.fit();
    await session.fit();
    expect(asked[0]).toMatchObject({ weights: 'fairy-tale-gpt/layernorm', method: 'sequential' });
    expect(kept().map(({ name }) => name)).toEqual(['fit 2', 'fit 1']);
    expect(shownFit(state().fit)?.name).toBe('fit 2');
    expect(state()).toMatchObject({ run: { phase: 'idle', problem: null }, fit: { live: null } });
  });

  test('tells how far it is, site by site and step by step', () => {
    const spec = fitSpecOf(fitDraftOf(createExperiment().getState().fit, FAST, INFO), INFO, SITES);
    let live = liveOf(spec, 1000);
    live = withStep(live, { stage: 'collect', done: 4, of: 4, what: 'all sites' }, 2000);
    live = withStep(live, { stage: 'fit', done: 1, of: 5, what: 'h.0.ln_1', r2: 0.9 }, 3000);
    expect(live.r2).toEqual({ 'h.0.ln_1': 0.9 });
    expect(remainingMs(live)).toBe(8000); // four more sites like the first one
    live = withStep(live, { stage: 'collect', done: 1, of: 4, what: 'h.0.ln_2' }, 3500);
    expect(remainingMs(live)).toBe(8000); // collecting is a part of it
    live = withStep(live, { stage: 'fit', done: 5, of: 5, what: 'ln_f', r2: 0.8 }, 6000);
    for (const [i, loss] of [2, 1.5, 1].entries())
      live = withStep(live, { stage: 'tune', done: i + 1, of: 11, what: '', loss }, 7000 + 100 * i);
    expect(live.trace).toEqual([2, 1.5, 1]);
    expect(remainingMs(live)).toBeCloseTo(800);
    // One that goes on counts what it does itself.
    live = liveOf({ ...spec, from: { plan: fitReportOf(spec).plan, trace: [3, 2] } }, 1000);
    expect(live.trace).toEqual([3, 2]);
    for (const i of [0, 1, 2])
      live = withStep(live, { stage: 'tune', done: 3 + i, of: 11, what: '', loss: 1 }, 2000 + 100 * i);
    expect(remainingMs(live)).toBeCloseTo(600);
  });

  test('that is stopped is kept as far as it came, goes on from there, and takes its own place', async () => {
    const reports: FitReport[] = [];
    const { session, asked, kept, store } = await open({
      fit: async (spec, options) => {
        asked.push(spec);
        if (!spec.from) await new Promise((resolve) => options?.signal?.addEventListener('abort', resolve));
        const rest = spec.from ? {} : { isStopped: true, measured: null };
        const report = fitReportOf(spec, rest);
        reports.push(report);
        return report;
      },
    });
    const first = session.fit();
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    session.stop();
    await first;
    const [stopped] = kept();
    expect(stopped && canResume(stopped)).toBe(true);
    if (stopped) await session.resumeFit(stopped);
    expect(asked[1]?.from).toEqual({
      plan: reports[0]?.plan,
      sites: reports[0]?.sites,
      trace: reports[0]?.trace,
      seconds: reports[0]?.seconds,
    });
    expect(kept()).toHaveLength(1);
    expect(kept()[0]?.report.isStopped).toBe(false);
    // Another method from what was reached, with the controls' steps.
    setFitDraft(store, { tune: { steps: 7, learningRate: 0.1, seed: 2, windowTokens: 8 } });
    const [done] = kept();
    if (done) await session.fitFrom(done, 'fine-tune');
    expect(asked[2]).toMatchObject({ method: 'fine-tune', tune: { steps: 7 } });
    expect(asked[2]?.from).toEqual({ plan: done?.report.plan });
    expect(kept()).toHaveLength(2);
  });

  test('that was stopped before any site was fitted leaves nothing', async () => {
    const { session, kept } = await open({
      fit: async (spec) => ({
        ...fitReportOf(spec),
        isStopped: true,
        plan: { weights: spec.weights, sites: {} },
      }),
    });
    await session.fit();
    expect(kept()).toEqual([]);
  });

  test('on no text at all says so, and leaves the last good one', async () => {
    const { session, store, kept, state } = await open({});
    await session.fit();
    setFitDraft(store, { text: 'own', own: '' });
    await session.fit();
    expect(state().run.problem?.message).toMatch(/^Cannot fit: the text to fit on is empty/);
    expect(kept()).toHaveLength(1);
  });
});

describe('the microscope', () => {
  test('runs the fitted plan, until its sites or its weights are others', async () => {
    const { session, kept, store, state } = await open({ run: async (plan, tokens) => runOf(plan, tokens) });
    setFitDraft(store, { off: ['ln_f'] });
    await session.fit();
    const [fit] = kept();
    if (fit) await session.runFitted(fit.report);
    await vi.waitFor(() => expect(state().run.phase).toBe('idle'));
    const plan = () => planOf(state().config, SITES);
    expect(state().view.section).toBe('microscope');
    expect(samePlan(plan(), fit?.report.plan ?? plan())).toBe(true);
    await vi.waitFor(() => expect(state().run.result?.plan).toEqual(plan()));
    setConfig(store, { swaps: { ...state().config.swaps, 'h.0.ln_1': 'derf' }, alpha: 2 });
    expect(plan().sites).toMatchObject({
      'h.0.ln_1': { norm: 'derf', source: 'raw', alphaScale: 2 },
      'h.0.ln_2': { norm: 'dyt', source: 'fitted', alphaScale: 2, values: { alpha: [0.5] } },
      ln_f: { norm: 'layernorm', source: 'twin' },
    });
    setConfig(store, { base: 'rmsnorm' });
    expect(Object.values(plan().sites).map(({ source }) => source)).not.toContain('fitted');
    chooseWeights(store, 'twin');
    expect(state().config.fitted).toBeNull();
  });

  test('refuses a fit of other weights', async () => {
    const { session, state } = await open({});
    const spec = fitSpecOf(fitDraftOf(state().fit, FAST, INFO), INFO, SITES);
    await session.runFitted(fitReportOf(spec, { sha256: 'cd'.repeat(32) }));
    expect(state().run.problem?.code).toBe('other-weights');
    expect(state().config.fitted).toBeNull();
  });
});

describe('a file', () => {
  const spec = fitSpecOf(fitDraftOf(createExperiment().getState().fit, FAST, INFO), INFO, SITES);
  const file = (name: string, text: string): DroppedFile => ({ path: name, file: new File([text], name) });

  test('of a fit is shown as it was; a text is fitted on, and its tokens counted', async () => {
    const { session, kept, state } = await open({});
    await session.openFiles([file('mine.json', fitJson(fitReportOf(spec)))]);
    expect(kept()[0]).toMatchObject({ name: 'mine.json', origin: 'file', report: { method: 'sequential' } });
    expect(state().view.section).toBe('fit');
    await session.openFiles([file('tales.txt', 'Once upon')]);
    expect(state().fit.draft).toMatchObject({ text: 'own', own: 'Once upon', ownName: 'tales.txt' });
    await vi.waitFor(() => expect(state().fit.ownTokens).toBe(9));
    await session.openFiles([file('all.txt', 'x'.repeat(2 ** 20 + 1))]);
    expect(state().run.problem?.message).toMatch(/^Cannot take "all.txt" as text to fit on/);
    expect(state().fit.draft.ownName).toBe('tales.txt');
  });

  const first = { values: { alpha: [1 / 3], gamma: [1, 2, 3, 4] }, first: { alpha: [0.2] }, eps: 1e-6 };
  const runFile = (given: object, norm: NormId = 'dyt'): string => {
    const sites = Object.entries(planOf(createExperiment().getState().config, SITES).sites);
    const fitted: Plan = {
      weights: spec.weights,
      sites: Object.fromEntries(
        sites.map(([id, one]) => [
          id,
          id === 'ln_f' ? { norm, source: 'fitted', alphaScale: 2, ...given } : one,
        ]),
      ),
    };
    const run = runReceipt({
      environment: ENVIRONMENT,
      browser: { userAgent: '', brands: [], platform: '', logicalProcessors: null },
      info: INFO,
      run: runOf(fitted, [4, 5]),
      prompt: 'ab',
      sampling: { temperature: 0, topK: 0, seed: 1, maxTokens: 1 },
      timings: null,
      comparison: null,
      lens: null,
      generated: null,
      createdAt: new Date(0),
    });
    return JSON.stringify(run);
  };

  test('of a fitted run is run again with the values it was run with', async () => {
    const { session, state } = await open({ run: async (asked, tokens) => runOf(asked, tokens) });
    await session.openFiles([file('run.json', runFile(first))]);
    expect(state().run.problem).toBeNull();
    const again = planOf(state().config, SITES);
    expect(again.weights).toBe(spec.weights);
    expect(again.sites['ln_f']).toEqual({ norm: 'dyt', source: 'fitted', alphaScale: 2, ...first });
    expect(state().run.pinned?.run.plan).toEqual(again);
    expect(samePlan(state().run.result?.plan ?? again, again)).toBe(true);
    // Files from before the values were kept, and values that JSON cannot hold: nothing is called fitted.
    for (const given of [{}, { values: { alpha: [Number.NaN] } }]) {
      await session.openFiles([file('old.json', runFile(given))]);
      expect(planOf(state().config, SITES).sites['ln_f']).toMatchObject({ norm: 'dyt', source: 'raw' });
    }
  });

  test.each<[string, object]>([
    ['a parameter its norm lacks', { values: { shift: [1] } }],
    ['a parameter of every object', { values: { toString: [1] } }],
    ['too many scalars', { values: { alpha: [1, 2] } }],
    ['channels of two sizes', { values: { gamma: [1, 2], beta: [1] } }],
    ['a first token with its own γ', { first: { gamma: [1, 2] } }],
  ])('of a run with %s is refused', (_name, given) => {
    expect(() => readReceipt(runFile(given), 'run.json')).toThrow(/at ln_f has values that no DyT takes/);
  });

  const broken = (change: Partial<FitReport>): string => fitJson(fitReportOf(spec, change));
  const site = { norm: 'dyt', source: 'fitted', alphaScale: 1 } as const;
  const plan = (values: Record<string, number[]>): Partial<FitReport> => ({
    sites: [],
    plan: {
      weights: spec.weights,
      sites: { ln_f: { ...site, values: { gamma: [1, 2] } }, a: { ...site, values } },
    },
  });
  test.each<[string, string, RegExp]>([
    ['names no weights', broken({ weights: 'x' }), /"x" names no weights/],
    ['has a plan of others', broken({ weights: 'm/dyt' }), /its plan is of other weights/],
    [
      'speaks of a site its plan lacks',
      broken({ plan: { weights: spec.weights, sites: {} } }),
      /says nothing of/,
    ],
    [
      'has a parameter that its norm lacks',
      broken(plan({ shift: [1] })),
      /shift at a has values that no DyT/,
    ],
    ['has too many scalars', broken(plan({ alpha: [1, 2] })), /alpha at a/],
    ['has channels of two sizes', broken(plan({ gamma: [1, 2, 3] })), /gamma at a/],
    ['has a newer form', broken({}).replace('fit/1', 'fit/2'), /reads up to 1/],
  ])('that %s is refused with the reason', (_name, text, reason) => {
    expect(() => readReceipt(text, 'f.json')).toThrow(reason);
  });
});

describe('a link', () => {
  test('asks for the same fit, and says that it holds no fitted values', () => {
    const store = createExperiment();
    setView(store, { section: 'fit' });
    setFitDraft(store, { member: 'derf', method: 'clip', base: 'rmsnorm' });
    const fragment = linkOf(store.getState());
    expect(fragment).toContain('section=fit&on=rmsnorm&to=derf&by=clip');
    const other = createExperiment();
    applyLink(other, readLink(fragment));
    expect(fitDraftOf(other.getState().fit, FAST, INFO)).toMatchObject({
      base: 'rmsnorm',
      member: 'derf',
      method: 'clip',
    });
    expect(readLink('v=1&section=fit&to=evil').refused).toEqual(['to']);

    setConfig(other, { weights: 'raw', fitted: { weights: 'm/dyt', sites: {} } });
    const link = readLink(linkOf(other.getState()));
    expect(link.wasFitted).toBe(true);
    const third = createExperiment();
    tellOfLink(third, link);
    setRun(third, { result: runOf(planOf(third.getState().config, SITES), [1]), loaded: loadedOf('m/dyt') });
    expect(third.getState().run.problem?.message).toMatch(/no address holds its values/);
  });
});

describe('the sentence', () => {
  const spec = fitSpecOf(fitDraftOf(createExperiment().getState().fit, FAST, INFO), INFO, SITES);
  const original = fitReportOf(spec);
  const loss = (fitted: number) => ({ ...original.measured?.raw, loss: fitted, kl: 1, top1: 0.5 });

  test('says what was measured', () => {
    expect(fitWords(original)).toBe(
      'Site by site at 5 sites brings DyT from 5.53 to 3.89 nats; the original has 3.44, a twin trained with DyT 3.65.',
    );
  });
  test('does not praise what made it worse, and claims nothing unmeasured', () => {
    const { measured } = original;
    if (!measured) throw new Error('the fake measures');
    expect(
      fitWords({
        ...original,
        kappa: 4,
        method: 'clip',
        measured: { ...measured, fitted: loss(6), native: null },
      }),
    ).toBe(
      'Clip level, κ = 4 at 5 sites takes DyT from 5.53 up to 6.00 nats: worse than the swap alone; the original has 3.44.',
    );
    expect(fitWords({ ...original, isStopped: true, measured: null })).toBe(
      'Stopped with 5 of 5 sites fitted. What that costs was not measured yet.',
    );
  });
});
