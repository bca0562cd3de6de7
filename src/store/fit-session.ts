// The part of the session that fits: asks, follows, keeps what came of it, and takes it to the microscope or home.
import type { Engine } from '../engine/api.ts';
import type { ConvertedFile } from '../fit/convert.ts';
import { goingOnFrom } from '../fit/spec.ts';
import type { FitProgress, FitReport, FitSpec, Method, Window } from '../fit/spec.ts';
import { windowsOf } from '../fit/windows.ts';
import { splitWeightsId } from '../model/catalog.ts';
import type { Plan } from '../model/plan.ts';
import { Problem, problemData } from '../problem.ts';
import { fitDraftOf, fitSpecOf, isFitted, liveOf, setFit, withFit, withStep } from './fit.ts';
import type { FitDraft, KeptFit } from './fit.ts';
import { DEFAULT_CONFIG, setConfig, setRun, setView } from './store.ts';
import type { Config, Experiment, State } from './store.ts';

/** How long a text rests before its tokens are counted. */
const TYPING_MS = 300;

type Instead = (work: (signal: AbortSignal) => Promise<void>) => Promise<void>;

export type FitSession = {
  /** Fits what the controls say; what was fitted is kept, stopped or not. */
  readonly fit: () => Promise<void>;
  /** Goes on where a stopped fit ended, in its place. */
  readonly resumeFit: (kept: KeptFit) => Promise<void>;
  /** Starts another method from what a fit reached. */
  readonly fitFrom: (kept: KeptFit, method: Method) => Promise<void>;
  /** Has every view work with the fitted model. */
  readonly runFitted: (report: FitReport) => Promise<void>;
  /** The fitted model as the files of a folder; null when there is no such folder. */
  readonly convertFit: (report: FitReport) => Promise<readonly ConvertedFile<Uint8Array | Blob>[] | null>;
  /** The fitted model as an ONNX file; null when it cannot be written. */
  readonly exportFitOnnx: (plan: Plan) => Promise<Uint8Array | null>;
};

/** The config that runs a fit's plan. */
export function fittedConfig({ plan }: FitReport): Partial<Config> {
  const { model, norm } = splitWeightsId(plan.weights);
  return {
    model,
    weights: 'raw',
    norm,
    base: norm,
    swaps: Object.fromEntries(Object.entries(plan.sites).map(([id, site]) => [id, site.norm])),
    fitted: plan,
    scope: DEFAULT_CONFIG.scope,
    alpha: 1,
    alphas: {},
  };
}

export function createFitSession(
  store: Experiment,
  engine: Engine,
  instead: Instead,
): FitSession & { readonly followText: (now: State, past: State) => void } {
  const tell = (thrown: unknown): null => {
    setRun(store, { problem: problemData(thrown) });
    return null;
  };

  async function ownWindows(model: string, { own }: FitDraft, context: number): Promise<readonly Window[]> {
    const tokens = await engine.tokenize(model, own);
    // The first token of the vocabulary stands before each text.
    if (tokens.length >= 2) return windowsOf([0, ...tokens.map(({ id }) => id)], context);
    throw new Problem(
      'usage',
      'Cannot fit: the text to fit on is empty',
      'Write or drop some text, or take the bundled windows.',
    );
  }

  async function specNow(signal: AbortSignal): Promise<FitSpec> {
    const { fit, run, config } = store.getState();
    const info = run.info ?? (await engine.model(config.model));
    const draft = fitDraftOf(fit, run.environment, info);
    const loaded = run.loaded ?? (await engine.load(`${info.id}/${draft.base}`, { signal }));
    const own = draft.text === 'own' ? await ownWindows(info.id, draft, loaded.context) : [];
    signal.throwIfAborted();
    return fitSpecOf(draft, info, loaded.sites, own);
  }

  /** Fits made in this tab, put away or not. */
  let made = 0;
  const fitting = (ask: (signal: AbortSignal) => Promise<FitSpec>, replaces?: string): Promise<void> =>
    instead(async (signal) => {
      setRun(store, { phase: 'fitting', problem: null });
      const spec = await ask(signal);
      setFit(store, { live: liveOf(spec, performance.now()) });
      /** Another fit may have begun while this one was coming to its end. */
      const isMine = (): boolean => store.getState().fit.live?.spec === spec;
      const onStep = (step: FitProgress): void => {
        const { live } = store.getState().fit;
        if (live && isMine()) setFit(store, { live: withStep(live, step, performance.now()) });
      };
      try {
        const report = await engine.fit(spec, { signal, onStep });
        if (!isFitted(report)) return;
        const { fit } = store.getState();
        const name = fit.kept.find(({ key }) => key === replaces)?.name ?? `fit ${++made}`;
        const key = `${report.startedAt} ${name}`;
        setFit(store, withFit(fit, { key, name, origin: 'here', spec, report }, replaces));
      } finally {
        if (isMine()) setFit(store, { live: null });
      }
    });

  let counting: ReturnType<typeof setTimeout> | undefined;
  async function count(model: string, own: string): Promise<void> {
    try {
      const tokens = await engine.tokenize(model, own);
      if (store.getState().fit.draft.own === own) setFit(store, { ownTokens: tokens.length });
    } catch {
      // Fit says what is wrong; a keystroke need not.
    }
  }

  return {
    fit: () => fitting(specNow),
    resumeFit: ({ key, spec, report }) => fitting(async () => ({ ...spec, from: goingOnFrom(report) }), key),
    fitFrom: ({ spec, report }, method) =>
      fitting(async () => {
        const { tune = spec.tune } = store.getState().fit.draft;
        const kappas = report.kappa === null ? spec.kappas : [report.kappa];
        return { ...spec, method, kappas, tune, from: { plan: report.plan } };
      }),
    runFitted: async (report) => {
      try {
        const { model, norm } = splitWeightsId(report.weights);
        const twin = (await engine.model(model)).twins[norm];
        if (twin?.weights.sha256 !== report.sha256)
          throw new Problem(
            'other-weights',
            `Cannot run this fit: it was made for weights ${report.sha256.slice(0, 12)}…, and these are ${twin?.weights.sha256.slice(0, 12) ?? 'gone'}…`,
            'Fit again on the weights of now.',
          );
        setConfig(store, fittedConfig(report));
        setView(store, { section: 'microscope' });
      } catch (thrown) {
        tell(thrown);
      }
    },
    convertFit: async ({ plan, heldOutLoss }) => {
      try {
        // A fit that was stopped before it was measured has no loss to write down.
        return await engine.convert(plan, heldOutLoss.fitted ?? 0);
      } catch (thrown) {
        return tell(thrown);
      }
    },
    exportFitOnnx: async (plan) => {
      try {
        return await engine.exportOnnx(plan, { weights: 'f32' });
      } catch (thrown) {
        return tell(thrown);
      }
    },
    followText: ({ fit, config }, past) => {
      const { own } = fit.draft;
      if (own === undefined || own === past.fit.draft.own) return;
      clearTimeout(counting);
      setFit(store, { ownTokens: null });
      counting = setTimeout(() => void count(config.model, own), TYPING_MS);
    },
  };
}
