// The part of the session that speaks of a person's own norm.
import type { Shape } from '../bench/spec.ts';
import type { Engine } from '../engine/api.ts';
import type { OwnNorm } from '../kernel/own.ts';
import { isNormId } from '../norm/registry.ts';
import { isAbort, Problem, problemData } from '../problem.ts';
import type { ProblemCode } from '../problem.ts';
import { editedNorm, isOriginal, sameOwn, setOwn } from './own.ts';
import { chooseNorm, chooseWeights, planOf, setConfig, setRun, setView } from './store.ts';
import type { Experiment } from './store.ts';

type Instead = (work: (signal: AbortSignal) => Promise<void>) => Promise<void>;

export type OwnSession = {
  /** Compiles the text in the editor and compares it with its member. */
  readonly checkOwn: () => Promise<void>;
  /** Checks it, and runs the model with it where it compiles. */
  readonly runOwn: () => Promise<void>;
  readonly timeOwn: (shape: Shape) => Promise<void>;
  /** Puts a file into the editor, in place of the member that its first line names, else of the one that is open. */
  readonly openOwn: (file: File) => Promise<void>;
};

const LONGEST = 100_000;
/** What a text may be the cause of. */
const ITS_OWN = new Set<ProblemCode>(['own-norm', 'shader']);

export function createOwnSession(store: Experiment, engine: Engine, instead: Instead): OwnSession {
  /** Does `work` on the text; what fails is told beside it, and the run that is shown stays. */
  const onText = (work: (own: OwnNorm, signal: AbortSignal) => Promise<void>): Promise<void> =>
    instead(async (signal) => {
      const own = editedNorm(store.getState());
      setRun(store, { phase: 'checking', problem: null });
      setOwn(store, { problem: null, progress: null });
      try {
        await work(own, signal);
      } catch (thrown) {
        if (isAbort(thrown) || signal.aborted) throw thrown;
        setOwn(store, { problem: problemData(thrown) });
      } finally {
        setOwn(store, { progress: null });
      }
    });
  const onProgress = (stage: string, done: number, of: number): void =>
    setOwn(store, { progress: { stage, done, of } });

  /** Whether the text compiles everywhere. */
  async function check(own: OwnNorm, signal: AbortSignal): Promise<boolean> {
    const { config, run } = store.getState();
    const plan = planOf({ ...config, own }, run.loaded?.sites ?? []);
    const checked = await engine.checkNorm(plan, own, { signal, onProgress });
    signal.throwIfAborted();
    setOwn(store, { checked: { of: own, check: checked } });
    return checked.complaints.length === 0;
  }

  /** Has the plan use the text's member where no site does. */
  function choose({ norm }: OwnNorm): void {
    const { config, run } = store.getState();
    const plan = planOf(config, run.loaded?.sites ?? []);
    if (Object.values(plan.sites).some((site) => site.norm === norm)) return;
    if (!run.info?.twins[norm]) chooseWeights(store, 'raw');
    chooseNorm(store, norm);
  }

  // A text that took the device or did not compile is left: what ran before it runs again.
  store.subscribe(({ config, run }, before) => {
    const { problem, result } = run;
    if (!problem || problem === before.run.problem || !config.own || !ITS_OWN.has(problem.code)) return;
    const ran = result?.plan.own ?? null;
    setOwn(store, { problem, isOpen: true });
    setRun(store, { problem: null });
    setConfig(store, { own: sameOwn(ran, config.own) ? null : ran });
  });

  return {
    checkOwn: () => onText(async (own, signal) => void (await check(own, signal))),
    runOwn: () =>
      onText(async (own, signal) => {
        if (!(await check(own, signal))) return;
        choose(own);
        setConfig(store, { own: isOriginal(own) ? null : own });
      }),
    timeOwn: (shape) =>
      onText(async (own, signal) => {
        const timing = await engine.timeNorm(own, shape, { signal, onProgress });
        signal.throwIfAborted();
        setOwn(store, { timed: { of: own, timing } });
      }),
    openOwn: async (file) => {
      if (file.size > LONGEST)
        throw new Problem(
          'bad-file',
          `Cannot open "${file.name}": it has ${file.size} bytes, and a member has ${LONGEST} at most`,
          'Open the WGSL of one member, as Export .wgsl writes it.',
        );
      const source = await file.text();
      const named = /^\/\/ (\w+):/.exec(source)?.[1] ?? '';
      const { own } = store.getState();
      const norm = isNormId(named) ? named : own.norm;
      setOwn(store, {
        isOpen: true,
        norm,
        drafts: { ...own.drafts, [norm]: source },
        checked: null,
        problem: null,
      });
      setView(store, { section: 'microscope' });
    },
  };
}
