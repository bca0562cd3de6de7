// The engine on our own WGSL, in whatever thread it is made. Calls run one after the other.
import { timedForward, timeProgram } from '../bench/timings.ts';
import type { TimedForward, Timings, TimingSpec } from '../bench/timings.ts';
import type { Model as FitModel } from '../fit/lab.ts';
import type { GpuClock } from '../gpu/clock.ts';
import { Gpu } from '../gpu/device.ts';
import type { GpuHost } from '../gpu/device.ts';
import { splitWeightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { Tuning } from '../kernel/tune.ts';
import { NO_FUSION } from '../model/fusion.ts';
import type { Plan } from '../model/plan.ts';
import { Program } from '../model/program.ts';
import type { Mode } from '../model/program.ts';
import type { Judgement } from '../onnx/judge.ts';
import type { Sampling } from '../model/sample.ts';
import { sitesOf } from '../model/model.ts';
import { largestBuffer, Weights } from '../model/weights.ts';
import type { Checkpoint } from '../model/model.ts';
import { problemData } from '../problem.ts';
import type { ProblemData } from '../problem.ts';
import type { Baselines } from '../bench/suite.ts';
import {
  checkGenerates,
  checkInput,
  checkTokens,
  feedsOf,
  inspection,
  isCausal,
  readLogits,
  rowsOf,
} from './answer.ts';
import type { OurLogits } from './bench-baselines.ts';
import { Session } from './device-session.ts';
import { lensOf } from './depth.ts';
import { answerOn, forwardOn } from './forward.ts';
import { generateOn } from './generate.ts';
import { partOn } from './parting.ts';
import { patiently } from './patience.ts';
import { tune } from './tuning.ts';
import type { Library } from './library.ts';
import { CONTEST_PHASES } from './api.ts';
import type {
  Comparison,
  Contest,
  Engine,
  Environment,
  ForwardEngine,
  Generation,
  Loaded,
  Run,
  RunInput,
} from './api.ts';

export class WgslEngine implements ForwardEngine {
  /** Choices of kernels that a tuner made before; the caller keeps them. One of another adapter is not used. */
  #tuning: Tuning | null = null;
  readonly #library: Library;
  readonly #host: GpuHost | undefined;
  #session: Promise<Session> | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #environment: Environment | undefined;

  /** `host`: where WebGPU is; the browser's own if none is given. */
  constructor(library: Library, host?: GpuHost) {
    this.#library = library;
    this.#host = host;
  }

  environment(): Promise<Environment> {
    return this.#exclusive(async () => (this.#environment ??= await (await this.#open()).environment()));
  }

  async model(id: string): Promise<ModelInfo> {
    return (await this.#library.model(id)).info;
  }

  async load(weights: string, options: NonNullable<Parameters<Engine['load']>[1]> = {}): Promise<Loaded> {
    const loaded = await this.#library.load(weights, options);
    const checkpoint = await this.#library.checkpoint(weights);
    await this.#exclusive(async () => this.#onDevice(await this.#open(), weights, checkpoint));
    return loaded;
  }

  survey: Engine['survey'] = async (what, { signal } = {}) => {
    const { gpu } = await this.#exclusive(() => this.#open());
    const { find } = await import('./opened.ts');
    return (await find(what, largestBuffer(gpu), () => undefined, signal)).survey;
  };

  // Not in the queue: what is loaded runs on while another model comes in.
  open: Engine['open'] = async (what, { onProgress, signal } = {}) => {
    const session = await this.#exclusive(() => this.#open());
    const { openInto } = await import('./opened.ts');
    const put = async (checkpoint: Checkpoint): Promise<(id: string) => Promise<void>> => {
      const weights = await Weights.load(session.gpu, checkpoint, { onProgress, signal });
      return (id) =>
        this.#exclusive(async () => {
          session.close(id);
          session.weights.set(id, weights);
        });
    };
    return openInto(this.#library, what, largestBuffer(session.gpu), put, signal);
  };

  close(weights: string): Promise<void> {
    return this.#exclusive(async () => {
      this.#library.close(weights);
      (await this.#session?.catch(() => undefined))?.close(weights);
    });
  }

  tokenize: Engine['tokenize'] = (model, text) => this.#library.tokenize(model, text);
  exportOnnx: Engine['exportOnnx'] = async (plan, options) => (await this.#library.onnx(plan, options)).bytes;

  async run(
    plan: Plan,
    given: readonly number[],
    { probes, signal, ...input }: Parameters<Engine['run']>[2],
  ): Promise<Run> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const { info, tokenizer } = await this.#library.model(splitWeightsId(plan.weights).model);
    const tokens = checkInput(given, checkpoint, input);
    return this.#exclusive(async () => {
      signal?.throwIfAborted();
      const session = await this.#open();
      const { gpu, compiler } = session;
      gpu.resetPeak();
      const compiledBefore = compiler.compiled;
      const startMs = performance.now();
      using program = await this.#program(session, plan, checkpoint, { kind: 'prefill', hasProbes: probes });
      const builtMs = performance.now();
      signal?.throwIfAborted();
      const work = answerOn(session, checkpoint, program, plan, tokens, input);
      const { logits, probed, readbackBytes } = await patiently(gpu, plan.own, work);
      const doneMs = performance.now();
      return {
        plan,
        sha256: info.twins[checkpoint.norm]?.weights.sha256 ?? '',
        ...readLogits(logits, tokens, checkpoint, tokenizer),
        isCausal: program.isCausal,
        ...probed,
        timing: { tier: probes ? 'instrumented' : 'representative', wallMs: doneMs - builtMs },
        cold: { buildMs: builtMs - startMs, compiledPipelines: compiler.compiled - compiledBefore },
        dispatches: program.ops.length,
        readbackBytes,
        memory: gpu.memory(),
      };
    });
  }

  inspect: Engine['inspect'] = async (plan, given, sites, { signal, ...input } = {}) => {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const tokens = checkInput(given, checkpoint, input);
    const captured = await this.#capture(plan, checkpoint, tokens, signal, sites, input);
    return [...captured].map(([site, values]) => inspection(checkpoint, plan, site, values));
  };

  lens: Engine['lens'] = (...asked) => lensOf(this, this.#library, ...asked);

  async generate(
    plan: Plan,
    given: readonly number[],
    sampling: Sampling,
    options: NonNullable<Parameters<Engine['generate']>[3]> = {},
  ): Promise<Generation> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    checkGenerates(checkpoint);
    const { tokenizer } = await this.#library.model(splitWeightsId(plan.weights).model);
    const prompt = checkTokens(given, checkpoint);
    return this.#exclusive(async () => {
      const session = await this.#open();
      const programOf = (mode: Mode): Promise<Program> => this.#program(session, plan, checkpoint, mode);
      return generateOn(session, checkpoint, programOf, prompt, sampling, tokenizer, options);
    });
  }

  async measure(
    plan: Plan,
    given: readonly number[],
    spec: TimingSpec,
    { signal, onRound = () => undefined }: Parameters<Engine['measure']>[3] = {},
  ): Promise<Timings> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const tokens = rowsOf(given, checkpoint);
    // Each forward takes the queue for itself alone, so that a run asked for meanwhile does not wait for all of them.
    const first = await this.#exclusive(async () => {
      signal?.throwIfAborted();
      const session = await this.#open();
      await this.#tune(session, plan, checkpoint, signal);
      const program = await this.#program(session, plan, checkpoint, { kind: 'prefill', hasProbes: false });
      return { session, program };
    });
    using program = first.program;
    const { session } = first;
    const forward = (clock: GpuClock | null): Promise<TimedForward> =>
      this.#exclusive(async () => {
        signal?.throwIfAborted();
        if (session.isLost) throw await session.gpu.lost;
        return timedForward(session.gpu, program, tokens, clock);
      });
    return await timeProgram(program, tokens.length, session, spec, forward, onRound);
  }

  async judge(
    plan: Plan,
    given: readonly number[],
    { signal, ...input }: Parameters<Engine['judge']>[2] = {},
  ): Promise<Judgement> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const tokens = checkInput(given, checkpoint, input);
    const { askOnnxruntime, compareWith } = await import('./judging.ts');
    // In the queue like everything else: two of onnxruntime's builds starting at once get in each other's way.
    const theirs = await this.#exclusive(async () => {
      signal?.throwIfAborted();
      return askOnnxruntime(this.#library, plan, feedsOf(checkpoint, tokens, input));
    });
    signal?.throwIfAborted();
    const { logits } = await this.run(plan, tokens, {
      ...input,
      probes: false,
      ...(signal ? { signal } : {}),
    });
    const captured = await this.#capture(plan, checkpoint, tokens, signal, undefined, input);
    const sites = sitesOf(checkpoint).map(({ id }) => id);
    return compareWith(theirs, { logits, captured }, sites, checkpoint.model.dims.V);
  }

  part: Engine['part'] = (a, b, tokens, { signal, ...input } = {}) =>
    partOn(
      this.#library,
      (plan, checkpoint, given) => this.#capture(plan, checkpoint, given, signal, undefined, input),
      [a, b],
      tokens,
      input,
    );

  async compare(
    plan: Plan,
    given: readonly number[],
    { rounds }: Parameters<Engine['compare']>[2],
    { signal, onRound = () => undefined }: Parameters<Engine['compare']>[3] = {},
  ): Promise<Comparison> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const tokens = rowsOf(given, checkpoint);
    const [{ contest }, { contestGraphs }] = await Promise.all([
      import('./contest.ts'),
      import('./contest-graphs.ts'),
    ]);
    return this.#exclusive(async () => {
      const session = await this.#open();
      const { gpu } = session;
      const contests: Contest[] = [];
      for (const phase of CONTEST_PHASES) {
        const past = phase === 'prefill' ? 0 : tokens.length - 1;
        if (phase === 'decode' && (past === 0 || !isCausal(checkpoint, plan))) continue;
        using ours = await this.#forward(session, plan, checkpoint, tokens, past);
        const graphs = contestGraphs(this.#library, plan, checkpoint, tokens, past);
        const say = (words: string): void => onRound(`${phase}: ${words}`);
        contests.push({ phase, ...(await contest(ours, graphs, gpu.device, rounds, say, signal)) });
      }
      return { plan, tokenCount: tokens.length, contests };
    });
  }

  bench: Engine['bench'] = async (spec, options = {}) => {
    const [environment, { benchOn, entryPlan }] = await Promise.all([
      this.environment(),
      import('./bench.ts'),
    ]);
    return this.#exclusive(async () => {
      const session = await this.#open();
      const { gpu, compiler, passClock: clock, opClock } = session;
      if (spec.suite === 'model') {
        const [entry] = spec.entries;
        if (entry) {
          const checkpoint = await this.#library.checkpoint(entry.weights);
          await this.#tune(session, entryPlan(entry, checkpoint), checkpoint, options.signal);
        }
      }
      const models = {
        tuning: this.#tuning,
        checkpoint: (weights: string) => this.#library.checkpoint(weights),
        weights: (id: string, checkpoint: Checkpoint) => this.#onDevice(session, id, checkpoint),
        space: (checkpoint: Checkpoint) => session.space(checkpoint),
        opClock,
      };
      // onnxruntime is fetched only where it is asked for.
      const baselines: Baselines = async (request) => {
        const { benchBaselines } = await import('./bench-baselines.ts');
        const ours: OurLogits = async (plan, tokens, past) => {
          const checkpoint = await this.#library.checkpoint(plan.weights);
          using forward = await this.#forward(session, plan, checkpoint, tokens, past);
          return forward.read();
        };
        return benchBaselines(this.#library, gpu.device, ours)(request);
      };
      return benchOn(spec, environment, { gpu, compiler, clock }, models, options, baselines);
    });
  };

  fit: Engine['fit'] = async (spec, options = {}) => {
    const { fitOn } = await import('./fit.ts');
    return this.#exclusive(async () => {
      const session = await this.#open();
      const { gpu, compiler, measured } = session;
      const place = { gpu, compiler, tuning: this.#tuning, measured };
      const load = async (
        id: string,
        checkpoint: Checkpoint,
      ): Promise<Omit<FitModel, 'id' | 'checkpoint' | 'sha256'>> => ({
        weights: await this.#onDevice(session, id, checkpoint),
        space: session.space(checkpoint),
      });
      return fitOn(spec, this.#library, place, load, options);
    });
  };

  checkNorm: Engine['checkNorm'] = async (plan, own, options = {}) => {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const [environment, { checkOn }] = await Promise.all([this.environment(), import('./own.ts')]);
    return this.#exclusive(async () => {
      const session = await this.#open();
      const programOf = (mode: Mode): Promise<Program> => this.#program(session, plan, checkpoint, mode);
      return checkOn(session, environment, own, programOf, options);
    });
  };

  timeNorm: Engine['timeNorm'] = async (own, shape, options = {}) => {
    const [environment, { timeOn }] = await Promise.all([this.environment(), import('./own.ts')]);
    return this.#exclusive(async () => timeOn(await this.#open(), environment, own, shape, options));
  };

  lost = async (): Promise<ProblemData> => problemData(await (await this.#open()).gpu.lost);
  loseDevice = async (): Promise<void> => (await this.#session)?.gpu.device.destroy();

  async dispose(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    this.#session = undefined;
    session?.[Symbol.dispose]();
  }

  /** Runs `work` after everything asked for before it. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** Input and output [T, C] of these sites, or of all. */
  #capture(
    plan: Plan,
    checkpoint: Checkpoint,
    tokens: readonly number[],
    signal?: AbortSignal,
    sites?: readonly string[],
    input: RunInput = {},
  ): ReturnType<Program['capture']> {
    return this.#exclusive(async () => {
      signal?.throwIfAborted();
      const mode = { kind: 'prefill', hasProbes: false, fusion: NO_FUSION } as const;
      using program = await this.#program(await this.#open(), plan, checkpoint, mode);
      program.give(input, tokens.length);
      return await program.capture(tokens, sites);
    });
  }

  /** The device's session; a new one if there is none or its device is gone. */
  async #open(): Promise<Session> {
    const current = await this.#session?.catch(() => undefined);
    if (current && !current.isLost) return current;
    current?.[Symbol.dispose]();
    this.#session = Gpu.open(this.#host).then((gpu) => new Session(gpu));
    return this.#session;
  }

  async #onDevice(session: Session, id: string, checkpoint: Checkpoint): Promise<Weights> {
    let weights = session.weights.get(id);
    if (!weights) {
      weights = await Weights.load(session.gpu, checkpoint);
      session.weights.set(id, weights);
    }
    return weights;
  }

  /** Measures, where that is due, which kernel is best for each product of the plan's programs. */
  async #tune(session: Session, plan: Plan, checkpoint: Checkpoint, signal?: AbortSignal): Promise<void> {
    const { gpu, compiler } = session;
    for (const kind of ['prefill', 'decode'] as const) {
      using program = await this.#program(session, plan, checkpoint, { kind, hasProbes: false });
      this.#tuning = await tune(gpu, compiler, program.ops, this.#tuning, signal);
    }
  }

  /** Our forward of the tokens after the first `past` ones. */
  #forward(
    session: Session,
    plan: Plan,
    checkpoint: Checkpoint,
    tokens: readonly number[],
    past: number,
  ): ReturnType<typeof forwardOn> {
    const programOf = (mode: Mode): Promise<Program> => this.#program(session, plan, checkpoint, mode);
    return forwardOn(session, checkpoint, programOf, tokens, past);
  }

  async #program(session: Session, plan: Plan, checkpoint: Checkpoint, mode: Mode): Promise<Program> {
    const weights = await this.#onDevice(session, plan.weights, checkpoint);
    if (plan.own) await (await import('./own.ts')).tryOut(session, plan.own);
    const { gpu, compiler } = session;
    const building = Program.build(
      gpu,
      compiler,
      weights,
      session.space(checkpoint),
      plan,
      mode,
      this.#tuning,
    );
    return patiently(gpu, plan.own, building);
  }
}
