// The engine without a GPU: the model as an ONNX graph on onnxruntime's WASM. Slower, the same answers; the sites'
// inputs and outputs are extra outputs of the graph and are reduced by the float64 references.
import { FEWEST_SAMPLES, WARMUPS } from '../bench/timings.ts';
import type { Timings } from '../bench/timings.ts';
import { summarize } from '../bench/summary.ts';
import { wallStepMs } from '../gpu/clock.ts';
import { NO_MEMORY } from '../gpu/device.ts';
import { referenceStats } from '../kernel/probe-reference.ts';
import { splitWeightsId } from '../model/catalog.ts';
import type { OpenedCheckpoint } from '../model/opened.ts';
import type { Plan, Site } from '../model/plan.ts';
import { randomFrom, sampleToken } from '../model/sample.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import { OrtSession, ortName } from '../onnx/session.ts';
import { entropyName, tapName } from '../onnx/write.ts';
import type { OnnxOptions } from '../onnx/write.ts';
import { Problem } from '../problem.ts';
import {
  checkGenerates,
  checkInput,
  checkTokens,
  drawTokens,
  feedsOf,
  inspection,
  isCausal,
  readLogits,
  reportSite,
  rowsOf,
} from './answer.ts';
import type { Engine, Environment, ForwardEngine, Generation, Inspection, Run, SiteReport } from './api.ts';
import { lensOf } from './depth.ts';
import type { Library } from './library.ts';
import { needsWebGpu } from './patience.ts';
import { partingOf } from './parting.ts';
import type { Parting, StreamOf } from './parting.ts';
import { NOT_PROBED } from './probed.ts';

type Opened = { readonly session: OrtSession; readonly nodeCount: number };

/** What 32 bits of address leave of one tensor. */
const MOST_BYTES = 2 ** 31;
/** Sessions hold a copy of the weights: only the last few are kept. */
const MOST_SESSIONS = 4;

export class OrtEngine implements ForwardEngine {
  readonly #library: Library;
  readonly #sessions = new Map<string, Promise<Opened>>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(library: Library) {
    this.#library = library;
  }

  async environment(): Promise<Environment> {
    const name = await ortName();
    return {
      device: 'cpu',
      adapter: {
        vendor: '',
        architecture: '',
        device: '',
        description: `CPU, ${name}`,
        isFallback: true,
        subgroupMinSize: null,
        subgroupMaxSize: null,
      },
      features: [],
      limits: {},
      timer: { kind: 'wall', quantumNs: null, wallStepMs: wallStepMs() },
      isCrossOriginIsolated: globalThis.crossOriginIsolated,
    };
  }

  model: Engine['model'] = async (id) => (await this.#library.model(id)).info;
  load: Engine['load'] = (weights, options = {}) => this.#library.load(weights, options);
  survey: Engine['survey'] = async (what, { signal } = {}) => {
    const { find } = await import('./opened.ts');
    return (await find(what, MOST_BYTES, () => undefined, signal)).survey;
  };
  open: Engine['open'] = async (what, { onProgress, signal } = {}) => {
    const { openInto } = await import('./opened.ts');
    // Read once to see that all of it is there; a graph is made of it when one is asked for.
    const put = async ({ streamed }: OpenedCheckpoint): Promise<() => Promise<void>> => {
      for await (const tensor of streamed.read({ onProgress, signal })) void tensor;
      return async () => undefined;
    };
    return openInto(this.#library, what, MOST_BYTES, put, signal);
  };
  close: Engine['close'] = (weights) =>
    this.#exclusive(async () => {
      this.#library.close(weights);
      for (const [key, opened] of this.#sessions) {
        const [plan] = JSON.parse(key) as [Plan];
        if (plan.weights !== weights) continue;
        this.#sessions.delete(key);
        await (await opened.catch(() => null))?.session[Symbol.asyncDispose]();
      }
    });
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
      const startMs = performance.now();
      const { session, nodeCount } = await this.#open(plan, { weights: 'f32', hasTaps: probes });
      signal?.throwIfAborted();
      const builtMs = performance.now();
      const outputs = await session.feed(feedsOf(checkpoint, tokens, input));
      const output = (name: string): Float32Array => outputs.get(name) ?? new Float32Array();
      const probed = probes ? probedBy(output, checkpoint, plan) : NOT_PROBED;
      const wallMs = performance.now() - builtMs;
      return {
        plan,
        sha256: info.twins[checkpoint.norm]?.weights.sha256 ?? '',
        ...readLogits(output('logits'), tokens, checkpoint, tokenizer),
        isCausal: isCausal(checkpoint, plan),
        ...probed,
        timing: { tier: probes ? 'instrumented' : 'representative', wallMs },
        cold: { buildMs: builtMs - startMs, compiledPipelines: 0 },
        dispatches: nodeCount,
        readbackBytes: 0,
        memory: NO_MEMORY,
      };
    });
  }

  async part(
    a: Plan,
    b: Plan,
    given: readonly number[],
    { signal, ...input }: Parameters<Engine['part']>[3] = {},
  ): Promise<Parting> {
    const checkpoint = await this.#library.checkpoint(a.weights);
    const tokens = checkInput(given, checkpoint, input);
    const streamOf = (plan: Plan): Promise<StreamOf> =>
      this.#exclusive(async () => {
        signal?.throwIfAborted();
        const { session } = await this.#open(plan, { weights: 'f32', hasTaps: true });
        const outputs = await session.feed(feedsOf(checkpoint, tokens, input));
        return (site) => outputs.get(tapName(site, 'in')) ?? new Float32Array();
      });
    const [one, other] = [await streamOf(a), await streamOf(b)];
    const sites = sitesOf(checkpoint).map(({ id }) => id);
    return partingOf(sites, tokens.length, one, other);
  }

  async inspect(
    plan: Plan,
    given: readonly number[],
    sites: readonly string[],
    { signal, ...input }: Parameters<Engine['inspect']>[3] = {},
  ): Promise<readonly Inspection[]> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const tokens = checkInput(given, checkpoint, input);
    const outputs = await this.#exclusive(async () => {
      signal?.throwIfAborted();
      const { session } = await this.#open(plan, { weights: 'f32', hasTaps: true });
      return session.feed(feedsOf(checkpoint, tokens, input));
    });
    const tap = (site: string, side: 'in' | 'out'): Float32Array =>
      outputs.get(tapName(site, side)) ?? new Float32Array();
    return sites.map((site) =>
      inspection(checkpoint, plan, site, { in: tap(site, 'in'), out: tap(site, 'out') }),
    );
  }

  lens: Engine['lens'] = (...asked) => lensOf(this, this.#library, ...asked);

  async generate(
    plan: Plan,
    given: readonly number[],
    sampling: Parameters<Engine['generate']>[2],
    options: NonNullable<Parameters<Engine['generate']>[3]> = {},
  ): Promise<Generation> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    checkGenerates(checkpoint);
    const { tokenizer } = await this.#library.model(splitWeightsId(plan.weights).model);
    const { context, model } = checkpoint;
    const { V, L, G, D } = model.dims;
    const isCached = isCausal(checkpoint, plan);
    return this.#exclusive(async () => {
      const { session } = await this.#open(plan, { weights: 'f32', hasPast: isCached });
      let past = session.emptyPast(L, G, D);
      const prompt = checkTokens(given, checkpoint);
      const all = [...prompt];
      const random = randomFrom(sampling.seed);
      const logitsAfter = async (index: number): Promise<Float32Array> => {
        if (!isCached) return (await session.run(all)).get('logits') ?? new Float32Array();
        const step = await session.decode(index === 0 ? all : all.slice(-1), past);
        past = step.past;
        return step.logits;
      };
      const next = async (index: number): Promise<number> => {
        const id = sampleToken((await logitsAfter(index)).slice(-V), sampling, random);
        all.push(id);
        return id;
      };
      const drawn = await drawTokens(prompt.length, sampling, context, tokenizer, next, 1, options);
      return { ...drawn, isCached, readbackBytes: 0 };
    });
  }

  async measure(
    plan: Plan,
    given: readonly number[],
    { samples, budgetMs }: Parameters<Engine['measure']>[2],
    { signal, onRound = () => undefined }: Parameters<Engine['measure']>[3] = {},
  ): Promise<Timings> {
    const checkpoint = await this.#library.checkpoint(plan.weights);
    const tokens = rowsOf(given, checkpoint);
    const feeds = feedsOf(checkpoint, tokens, {});
    const forward = (): Promise<{ ms: number; nodeCount: number }> =>
      this.#exclusive(async () => {
        signal?.throwIfAborted();
        const { session, nodeCount } = await this.#open(plan, { weights: 'f32' });
        const startMs = performance.now();
        await session.feed(feeds);
        return { ms: performance.now() - startMs, nodeCount };
      });
    const first = await forward();
    for (let i = 0; i < WARMUPS; i++) await forward();
    const wall: number[] = [];
    const startMs = performance.now();
    while (
      wall.length < samples &&
      (wall.length < FEWEST_SAMPLES || performance.now() - startMs < budgetMs)
    ) {
      wall.push((await forward()).ms);
      onRound(wall.length, samples);
    }
    return {
      plan,
      tokenCount: tokens.length,
      dispatches: first.nodeCount,
      firstForwardMs: first.ms,
      warmups: WARMUPS,
      representative: {
        tier: 'one pass, no probes',
        wallMs: { samples: wall, summary: summarize(wall) },
        gpuMs: null,
        bytes: Number.NaN, // not counted
        flops: Number.NaN,
      },
      perOperation: null,
    };
  }

  judge(): Promise<never> {
    return Promise.reject(
      new Problem(
        'onnxruntime',
        'Cannot compare: this run is onnxruntime’s own',
        'Open the page in a browser with WebGPU to compare the two engines.',
      ),
    );
  }

  compare(): Promise<never> {
    return this.judge();
  }

  bench(): Promise<never> {
    return Promise.reject(
      new Problem(
        'no-webgpu',
        'Cannot run the bench: there is no GPU here, and it measures kernels on one',
        'Open the page in a browser with WebGPU.',
      ),
    );
  }

  fit(): Promise<never> {
    return Promise.reject(
      new Problem(
        'no-webgpu',
        'Cannot fit: there is no GPU here, and it runs the model and its gradients on one',
        'Open the page in a browser with WebGPU.',
      ),
    );
  }

  /** A processor is not lost. */
  lost(): Promise<never> {
    return new Promise(() => undefined);
  }
  async loseDevice(): Promise<void> {}
  checkNorm: Engine['checkNorm'] = (_plan, own) => Promise.reject(needsWebGpu(own));
  timeNorm: Engine['timeNorm'] = (own) => Promise.reject(needsWebGpu(own));

  async dispose(): Promise<void> {
    const all = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const opened of all) await (await opened).session[Symbol.asyncDispose]();
  }

  async #open(plan: Plan, options: OnnxOptions): Promise<Opened> {
    const key = JSON.stringify([plan, options]);
    const known = this.#sessions.get(key);
    if (known) return known;
    const [oldest] = this.#sessions;
    if (oldest && this.#sessions.size >= MOST_SESSIONS) {
      this.#sessions.delete(oldest[0]);
      await (await oldest[1].catch(() => null))?.session[Symbol.asyncDispose]();
    }
    const opening = this.#library
      .onnx(plan, options)
      .then(async ({ bytes, nodeCount }) => ({ session: await OrtSession.open(bytes), nodeCount }));
    opening.catch(() => this.#sessions.delete(key));
    this.#sessions.set(key, opening);
    return opening;
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

/** What the probes would say, from what the graph gave out. */
function probedBy(
  output: (name: string) => Float32Array,
  checkpoint: Checkpoint,
  plan: Plan,
): Pick<Run, 'sites' | 'attention'> {
  const { model } = checkpoint;
  const report = (site: Site): SiteReport => {
    const tap = (side: 'in' | 'out'): Float32Array => output(tapName(site.id, side));
    const { norm, C, eps, x, y, params, firstParams } = inspection(checkpoint, plan, site.id, {
      in: tap('in'),
      out: tap('out'),
    });
    return reportSite(referenceStats(norm, params, x, y, C, eps, firstParams), site, checkpoint, plan);
  };
  return {
    sites: sitesOf(checkpoint).map(report),
    attention: {
      isCausal: model.isCausal,
      entropy: Array.from({ length: model.dims.L }, (_, layer) => output(entropyName(layer))),
    },
  };
}
