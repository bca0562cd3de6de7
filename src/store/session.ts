// The conversation with the engine: watches the config, asks, and puts the answers into the store. The last wish
// wins: a new one stops what is under way. What fails leaves the last good result standing.
import type { BenchProgress, BenchSpec, Flag } from '../bench/spec.ts';
import type { Foreseen } from '../bench/suite.ts';
import type { Engine, Run, RunInput } from '../engine/api.ts';
import { splitWeightsId, weightsId } from '../model/catalog.ts';
import { DEFAULT_FORM, pixelsOf } from '../model/pixels.ts';
import type { Plan } from '../model/plan.ts';
import { isAbort, Problem, problemData } from '../problem.ts';
import { createFitSession } from './fit-session.ts';
import type { FitSession } from './fit-session.ts';
import { broughtModel, pictureOf, shownSurvey } from './models.ts';
import { createModelsSession } from './models-session.ts';
import type { ModelsSession } from './models-session.ts';
import { createOpener } from './open-files.ts';
import type { DroppedFile } from './open-files.ts';
import { createOnnxSession } from './onnx-session.ts';
import type { OnnxSession } from './onnx-session.ts';
import { createOwnSession } from './own-session.ts';
import type { OwnSession } from './own-session.ts';
import { draftFor, draftOf, setBench, withReport } from './bench.ts';
import { setMicroscope, sitesToInspect } from './microscope.ts';
import { isStale, planOf, samePlan, sameTokens, setRun, shownSite, sitesThatSeeAhead } from './store.ts';
import type { Config, Experiment, RunState } from './store.ts';

const TIMING = { samples: 20, budgetMs: 1500 } as const;
const COMPARE_ROUNDS = 10;
const HIDDEN: Flag = {
  code: 'hidden-page',
  words: 'The page was hidden while it ran: browsers slow such pages down.',
};
const MOST_JUDGED_BYTES = 64 * 2 ** 20;
/** How long the page rests before onnxruntime is fetched and asked. */
const IDLE_MS = 800;

/** Waits, unless stopped. */
function rest(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new DOMException('Aborted', 'AbortError'));
    });
  });
}

/** Fields of the config whose change asks for another run; a new prompt waits for Run. */
const RUN_FIELDS: readonly (keyof Config)[] = [
  'model',
  'weights',
  'norm',
  'base',
  'swaps',
  'fitted',
  'alpha',
  'alphas',
  'own',
];

export type Session = FitSession &
  OnnxSession &
  ModelsSession &
  OwnSession & {
    /** Opens the device, loads the first model, runs the first prompt, and from then on follows the config. */
    readonly start: () => Promise<void>;
    readonly run: () => Promise<void>;
    readonly generate: () => Promise<void>;
    readonly measure: () => Promise<void>;
    /** Times the shown run beside onnxruntime's engines. */
    readonly compare: () => Promise<void>;
    /** Asks onnxruntime about the shown run. */
    readonly judge: () => Promise<void>;
    /** Runs the bench; what was measured is kept, stopped or not. */
    readonly bench: (spec: BenchSpec) => Promise<void>;
    /** Opens a model's folder, an ONNX file with its data, or reports; each that cannot be opened says why. */
    readonly openFiles: (files: readonly DroppedFile[]) => Promise<void>;
    readonly stop: () => void;
    readonly loseDevice: () => Promise<void>;
    readonly dismissProblem: () => void;
  };

export function createSession(store: Experiment, engine: Engine): Session {
  let current: AbortController | undefined;

  /** Stops what is under way and does `work` in its place; problems go to the store unless a newer wish came. */
  async function instead(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    current?.abort();
    const mine = new AbortController();
    current = mine;
    try {
      await work(mine.signal);
    } catch (thrown) {
      if (current === mine && !isAbort(thrown)) setRun(store, { problem: problemData(thrown) });
    } finally {
      if (current === mine) setRun(store, { phase: 'idle', progress: null, timingProgress: null });
    }
  }

  /** Runs `set` only while this wish is the last. */
  const unlessAborted =
    <Args extends unknown[]>(signal: AbortSignal, set: (...args: Args) => void) =>
    (...args: Args): void => {
      if (!signal.aborted) set(...args);
    };

  /** What a plan's model takes besides tokens: the picture, for one that looks at images. */
  function inputOf({ weights }: Plan): RunInput {
    const state = store.getState();
    const survey = broughtModel(state, splitWeightsId(weights).model)?.survey;
    if (!survey?.image) return {};
    return { pixels: pixelsOf(pictureOf(state).picture, survey.imageForm ?? DEFAULT_FORM, survey.image) };
  }

  async function prepare(signal: AbortSignal): Promise<{ config: Config; plan: Plan; tokens: number[] }> {
    const { config } = store.getState();
    if (models.awaits()) throw new DOMException('Aborted', 'AbortError');
    setRun(store, { phase: 'loading', problem: null });
    const environment = await engine.environment();
    signal.throwIfAborted();
    setRun(store, { environment });
    void watchLoss().catch(() => undefined); // a worker that died says so in every call
    const info = await engine.model(config.model);
    signal.throwIfAborted();
    setRun(store, { info }); // before the weights: if these are bad, others can still be chosen
    const weights = weightsId(config.model, config.weights === 'twin' ? config.norm : config.base);
    const onProgress = unlessAborted(signal, (progress: { loadedBytes: number; totalBytes: number }) =>
      setRun(store, { progress }),
    );
    const loaded = await engine.load(weights, { signal, onProgress });
    const promptTokens = await engine.tokenize(config.model, config.prompt);
    signal.throwIfAborted();
    const isInTheBox = store.getState().config.prompt === config.prompt;
    setRun(store, { loaded, progress: null, ...(isInTheBox ? { promptTokens } : {}) });
    if (promptTokens.length > loaded.context) {
      throw new Problem(
        'prompt-too-long',
        `Cannot run this prompt: it has ${promptTokens.length} tokens and the model's context is ${loaded.context}`,
        `Shorten it by ${promptTokens.length - loaded.context} tokens.`,
      );
    }
    return { config, plan: planOf(config, loaded.sites), tokens: promptTokens.map(({ id }) => id) };
  }

  async function time(plan: Plan, tokens: readonly number[], signal: AbortSignal): Promise<void> {
    setRun(store, { timings: null, timingProgress: { done: 0, of: 2 * TIMING.samples } });
    const onRound = unlessAborted(signal, (done: number, of: number) =>
      setRun(store, { timingProgress: { done, of } }),
    );
    const timings = await engine.measure(plan, tokens, TIMING, { signal, onRound });
    signal.throwIfAborted();
    setRun(store, { timings });
  }

  /** Weights that onnxruntime has already been asked about by itself. */
  const judged = new Set<string>();

  async function ask(plan: Plan, tokens: readonly number[], signal: AbortSignal): Promise<void> {
    judged.add(plan.weights);
    setRun(store, { phase: 'judging' });
    const of = await engine.judge(plan, tokens, { signal, ...inputOf(plan) });
    signal.throwIfAborted();
    setRun(store, { judgement: { plan, of } });
  }

  /** Where the new result parts from the pinned one, if both are of the same tokens. */
  async function part(result: Run, signal: AbortSignal): Promise<void> {
    const { pinned } = store.getState().run;
    setRun(store, { parting: null });
    // What a file recorded is not run again: it would be this machine's run, not that one.
    if (!pinned || pinned.recordedOn || !sameTokens(pinned.run, result)) return;
    const ids = result.tokens.map(({ id }) => id);
    const input = inputOf(result.plan);
    const parting = await engine.part(pinned.run.plan, result.plan, ids, { signal, ...input });
    signal.throwIfAborted();
    setRun(store, { parting });
  }

  /** Values of a run at the sites worth keeping, by site. */
  async function values(of: Run, signal?: AbortSignal): Promise<RunState['inspections']> {
    const state = store.getState();
    const ids = of.tokens.map(({ id }) => id);
    const sites = sitesToInspect(of, shownSite({ ...state, run: { ...state.run, result: of } }));
    const options = { ...inputOf(of.plan), ...(signal ? { signal } : {}) };
    const inspected = await engine.inspect(of.plan, ids, sites, options);
    signal?.throwIfAborted();
    return Object.fromEntries(inspected.map((one) => [one.site, one]));
  }

  /** Fetches the values of a site that was just locked, where a run keeps too many to have them all. */
  async function look(site: string): Promise<void> {
    const { result, inspections } = store.getState().run;
    if (!result || Object.keys(inspections).length === 0 || inspections[site]) return;
    try {
      const fetched = await values(result);
      const { run: now } = store.getState();
      if (now.result === result) setRun(store, { inspections: { ...now.inspections, ...fetched } });
    } catch (thrown) {
      setRun(store, { problem: problemData(thrown) });
    }
  }

  /** Fetches the logit lens of the locked token, else the last, where the depth is looked at and it is not here. */
  async function lens(): Promise<void> {
    const { run: state, view, microscope } = store.getState();
    const { result } = state;
    const output = shownSurvey(store.getState())?.output ?? 'next';
    if (!result || microscope.figure !== 'depth' || output !== 'next') return;
    const token = Math.min(view.token ?? Infinity, result.tokens.length - 1);
    if (state.lens?.of === result && state.lens.token === token) return;
    setRun(store, { lens: { of: result, token, layers: [] } });
    const ids = result.tokens.map(({ id }) => id);
    try {
      const layers = await engine.lens(result.plan, ids, token);
      const now = store.getState().run.lens;
      if (now?.of === result && now.token === token) setRun(store, { lens: { ...now, layers } });
    } catch (thrown) {
      setRun(store, { problem: problemData(thrown) });
    }
  }

  const run = (): Promise<void> =>
    instead(async (signal) => {
      const { config, plan, tokens } = await prepare(signal);
      setRun(store, { phase: 'running' });
      const result = await engine.run(plan, tokens, { probes: true, signal, ...inputOf(plan) });
      signal.throwIfAborted();
      const inspections = await values(result, signal);
      const { generation } = store.getState().run;
      const isContinued = generation?.prompt === config.prompt && samePlan(generation.plan, plan);
      setRun(store, {
        result,
        inspections,
        resultPrompt: config.prompt,
        resultAt: Date.now(),
        generation: isContinued ? generation : null,
        phase: 'idle',
      });
      setMicroscope(store, { drafts: {} });
      const ids = result.tokens.map(({ id }) => id);
      await part(result, signal);
      await time(plan, ids, signal);
      const survey = shownSurvey(store.getState());
      // onnxruntime takes all weights at once, on the processor: it is asked by itself about small models only.
      if (survey && survey.fileBytes > MOST_JUDGED_BYTES) return;
      if (plan.own || judged.has(plan.weights) || store.getState().run.environment?.device !== 'gpu') return;
      await rest(IDLE_MS, signal);
      await ask(plan, ids, signal);
    });

  const judge = (): Promise<void> =>
    instead(async (signal) => {
      const { result } = store.getState().run;
      if (result)
        await ask(
          result.plan,
          result.tokens.map(({ id }) => id),
          signal,
        );
    });

  const compare = (): Promise<void> =>
    instead(async (signal) => {
      const { result } = store.getState().run;
      if (!result) return;
      setRun(store, { phase: 'comparing', comparison: null, comparisonStep: '' });
      const onRound = unlessAborted(signal, (comparisonStep: string) => setRun(store, { comparisonStep }));
      const ids = result.tokens.map(({ id }) => id);
      const comparison = await engine.compare(
        result.plan,
        ids,
        { rounds: COMPARE_ROUNDS },
        { signal, onRound },
      );
      signal.throwIfAborted();
      setRun(store, { comparison });
    });

  const measure = (): Promise<void> =>
    instead(async (signal) => {
      const { result } = store.getState().run;
      if (result)
        await time(
          result.plan,
          result.tokens.map(({ id }) => id),
          signal,
        );
    });

  const generate = (): Promise<void> =>
    instead(async (signal) => {
      const { config, plan, tokens } = await prepare(signal);
      const { prompt, sampling } = config;
      const isCausal = sitesThatSeeAhead(plan).length === 0;
      const generation = { prompt, plan, sampling, text: '', count: 0, isCached: isCausal, elapsedMs: null };
      setRun(store, { phase: 'generating', generation });
      const onToken = unlessAborted(signal, ({ text, index }: { text: string; index: number }) =>
        setRun(store, { generation: { ...generation, text, count: index + 1 } }),
      );
      const { text, ids, isCached, elapsedMs } = await engine.generate(plan, tokens, sampling, {
        signal,
        onToken,
      });
      setRun(store, { generation: { ...generation, text, count: ids.length, isCached, elapsedMs } });
      // The figure is to show what was just generated with.
      if (!signal.aborted && isStale(store.getState())) void run();
    });

  const bench = (spec: BenchSpec): Promise<void> =>
    instead(async (signal) => {
      setRun(store, { phase: 'benching', problem: null });
      setBench(store, { progress: null, predicted: null, wasHidden: false });
      const { info, environment } = store.getState().run;
      if (info) setBench(store, { draft: draftOf(spec, draftFor(environment, info)) });
      try {
        const measured = await engine.bench(spec, {
          signal,
          onProgress: unlessAborted(signal, (progress: BenchProgress) => setBench(store, { progress })),
          onPredicted: unlessAborted(signal, (predicted: Foreseen) => setBench(store, { predicted })),
        });
        if (measured.results.length === 0) return;
        const { wasHidden } = store.getState().bench;
        const report = wasHidden ? { ...measured, flags: [...measured.flags, HIDDEN] } : measured;
        const { kept } = store.getState().bench;
        const here = kept.filter(({ origin }) => origin === 'here').length;
        const name = here === 0 ? 'this machine' : `this machine, ${here + 1}`;
        const added = { key: report.session.id, name, origin: 'here' as const, notes: [], report };
        setBench(store, { kept: withReport(kept, added) });
      } finally {
        setBench(store, { progress: null, predicted: null });
      }
    });

  const models = createModelsSession(store, engine, run);
  const onnx = createOnnxSession(store, engine, instead);
  const { followText, ...fit } = createFitSession(store, engine, instead);
  const own = createOwnSession(store, engine, instead);
  const openFiles = createOpener(store, { onnx, models, own, run });

  let isWatching = false;
  /** Says so when the device goes while nothing runs; a run that is under way says it itself. */
  async function watchLoss(): Promise<void> {
    if (isWatching) return;
    isWatching = true;
    try {
      const problem = await engine.lost();
      if (store.getState().run.phase === 'idle') setRun(store, { problem });
    } finally {
      isWatching = false;
    }
  }

  function stop(): void {
    current?.abort();
    setRun(store, { phase: 'idle', progress: null, timingProgress: null });
  }

  let tokenizing = 0;
  /** Tokens of the prompt while it is typed; the last text wins. */
  async function tokenize(model: string, prompt: string): Promise<void> {
    const ticket = ++tokenizing;
    try {
      const promptTokens = await engine.tokenize(model, prompt);
      if (ticket === tokenizing) setRun(store, { promptTokens });
    } catch {
      // Run says what is wrong; a keystroke need not.
    }
  }

  return {
    start: async () => {
      store.subscribe((now, past) => {
        const { config, view } = now;
        const { config: before, view: viewBefore } = past;
        const { figure } = now.microscope;
        if (
          figure !== past.microscope.figure ||
          view.token !== viewBefore.token ||
          now.run.result !== past.run.result
        )
          void lens();
        if (view.site !== null && view.site !== viewBefore.site) void look(view.site);
        if (RUN_FIELDS.some((field) => config[field] !== before[field])) void run();
        else if (config.prompt !== before.prompt) void tokenize(config.model, config.prompt);
        followText(now, past);
      });
      await run();
    },
    run,
    generate,
    measure,
    compare,
    judge,
    bench,
    openFiles,
    ...onnx,
    ...fit,
    ...models,
    ...own,
    stop,
    loseDevice: () => engine.loseDevice(),
    dismissProblem: () => setRun(store, { problem: null }),
  };
}
