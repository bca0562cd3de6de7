// Files that a person dropped: opened, run in onnxruntime on the processor, rewritten, compared, written back. It needs
// no GPU and nothing of our models; any engine of the page has it.
import { summarize } from '../bench/summary.ts';
import type { Summary } from '../bench/summary.ts';
import { NORM_IDS } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { compareOutputs } from '../onnx/compare.ts';
import type { OutputDifference } from '../onnx/compare.ts';
import { feedsFor } from '../onnx/feeds.ts';
import type { Feed, OnnxInputs } from '../onnx/feeds.ts';
import { readOnnx, valueWords } from '../onnx/read.ts';
import type { OnnxModel, OnnxSource } from '../onnx/read.ts';
import type { OnnxOutput, OrtSession } from '../onnx/session.ts';
import { findSites } from '../onnx/sites.ts';
import type { OnnxSite } from '../onnx/sites.ts';
import { refusalOf, rewriteOnnx } from '../onnx/surgery.ts';
import type { OnnxSwaps } from '../onnx/surgery.ts';
import { Problem } from '../problem.ts';

/** A file that is open, and what was found in it. */
export type OpenedOnnx = {
  readonly id: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly producer: string;
  readonly opset: number;
  readonly nodeCount: number;
  /** Numbers stored, external data too. */
  readonly weightCount: number;
  /** Declared inputs and outputs: name and type in words. */
  readonly inputs: readonly { readonly name: string; readonly words: string }[];
  readonly outputs: readonly { readonly name: string; readonly words: string }[];
  /** `refusals` says why a site cannot become a member; a member it does not name is possible. */
  readonly sites: readonly (OnnxSite & { readonly refusals: Readonly<Partial<Record<NormId, string>>> })[];
};

export type OnnxRequest = {
  readonly inputs: OnnxInputs;
  readonly swaps?: OnnxSwaps;
  /** Sites whose inputs and outputs come back. */
  readonly taps?: readonly string[];
  /** Timed runs of each file, interleaved. */
  readonly rounds?: number;
};

export type OnnxTap = { readonly in: OnnxOutput; readonly out: OnnxOutput };

/** One file's answers: outputs by name, tapped sites by id, and wall times of plain runs. */
export type OnnxAnswers = {
  readonly outputs: ReadonlyMap<string, OnnxOutput>;
  readonly sites: ReadonlyMap<string, OnnxTap>;
  readonly wallMs: { readonly samples: readonly number[]; readonly summary: Summary };
};

export type OnnxRun = {
  /** `onnxruntime-web 1.30.0 · WASM 2 threads` */
  readonly engine: string;
  readonly feeds: readonly Pick<Feed, 'name' | 'type' | 'dims' | 'from'>[];
  readonly original: OnnxAnswers;
  /** Null where nothing was swapped. */
  readonly rewritten: OnnxAnswers | null;
  readonly differences: readonly OutputDifference[];
};

type Abortable = { readonly signal?: AbortSignal };

/** What an engine can do with dropped files. */
export interface OnnxFileEngine {
  /** Opens the .onnx file among `files`, its data with it; what was open before stays open when it fails. */
  openOnnx(files: readonly File[]): Promise<OpenedOnnx>;
  runOnnx(
    id: string,
    request: OnnxRequest,
    options?: Abortable & { onRound?: (done: number, of: number) => void },
  ): Promise<OnnxRun>;
  /** The file with its swaps, external data inside. */
  exportOnnxFile(id: string, swaps: OnnxSwaps): Promise<Uint8Array>;
}

type Opened = { readonly model: OnnxModel; readonly sites: readonly OnnxSite[] };

const ROUNDS = 5;
/** A file holds its bytes. */
const MOST_OPEN = 2;

const sourceOf = (file: File): OnnxSource => ({
  name: file.webkitRelativePath || file.name,
  sizeBytes: file.size,
  read: async (offset, length) => new Uint8Array(await file.slice(offset, offset + length).arrayBuffer()),
});

export class OnnxFiles implements OnnxFileEngine {
  readonly #open = new Map<string, Opened>();
  #lastId = 0;
  #queue: Promise<unknown> = Promise.resolve();

  openOnnx: OnnxFileEngine['openOnnx'] = async (files) => {
    const model = await readOnnx(files.map(sourceOf));
    const sites = findSites(model);
    const id = `onnx-${++this.#lastId}`;
    this.#open.set(id, { model, sites });
    const [oldest] = this.#open.keys();
    if (oldest !== undefined && this.#open.size > MOST_OPEN) this.#open.delete(oldest);
    const words = (values: OnnxModel['inputs']) =>
      values.map((value) => ({ name: value.name, words: valueWords(value) }));
    return {
      id,
      file: model.file,
      sizeBytes: [...model.initializers.values()].reduce(
        (sum, { external }) => sum + (external?.length ?? 0),
        model.sizeBytes,
      ),
      producer: model.producer,
      opset: model.opsets.get('') ?? 0,
      nodeCount: model.nodes.length,
      weightCount: [...model.initializers.values()].reduce((sum, { count }) => sum + count, 0),
      inputs: words(model.inputs),
      outputs: words(model.outputs),
      sites: sites.map((site) => ({
        ...site,
        refusals: Object.fromEntries(
          NORM_IDS.flatMap((norm) => {
            const reason = refusalOf(model, site, norm);
            return reason === null ? [] : [[norm, reason]];
          }),
        ),
      })),
    };
  };

  exportOnnxFile: OnnxFileEngine['exportOnnxFile'] = async (id, swaps) => {
    const { model, sites } = this.#get(id);
    return (await rewriteOnnx(model, sites, { swaps })).bytes;
  };

  runOnnx: OnnxFileEngine['runOnnx'] = (id, request, options = {}) => {
    const work = (): Promise<OnnxRun> => this.#run(this.#get(id), request, options);
    const result = this.#queue.then(work, work);
    this.#queue = result.catch(() => undefined);
    return result;
  };

  #get(id: string): Opened {
    const opened = this.#open.get(id);
    if (opened) return opened;
    throw new Problem(
      'usage',
      `Cannot use ${JSON.stringify(id)}: this file is no longer open`,
      'Drop it again.',
    );
  }

  async #run(
    { model, sites }: Opened,
    { inputs, swaps = {}, taps = [], rounds = ROUNDS }: OnnxRequest,
    { signal, onRound = () => undefined }: NonNullable<Parameters<OnnxFileEngine['runOnnx']>[2]>,
  ): Promise<OnnxRun> {
    const feeds = feedsFor(model, inputs);
    const isSwapped = Object.keys(swaps).length > 0;
    const { OrtSession } = await import('../onnx/session.ts');
    const open = async (given: Parameters<typeof rewriteOnnx>[2]): Promise<[OrtSession, Tapped]> => {
      signal?.throwIfAborted();
      const { bytes, taps: names } = await rewriteOnnx(model, sites, given);
      return [await OrtSession.open(bytes), names];
    };
    /** Taps have sessions of their own: they keep onnxruntime from joining operators, and times must not see that. */
    const tapped = async (given: OnnxSwaps): Promise<Map<string, OnnxTap>> => {
      if (taps.length === 0) return new Map();
      const [session, names] = await open({ swaps: given, taps });
      await using _ = session;
      return tapsOf(await session.outputsOf(feeds), names);
    };
    const [first] = await open({});
    await using original = first;
    await using rewritten = isSwapped ? (await open({ swaps }))[0] : null;
    const both = [original, ...(rewritten ? [rewritten] : [])];
    const outputs: Map<string, OnnxOutput>[] = [];
    for (const session of both) outputs.push(await session.outputsOf(feeds));
    const samples: number[][] = both.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [at, session] of both.entries()) {
        signal?.throwIfAborted();
        const startMs = performance.now();
        await session.outputsOf(feeds);
        samples[at]?.push(performance.now() - startMs);
      }
      onRound(round + 1, rounds);
      // onnxruntime on one thread answers without a turn of the event loop, and a wish to stop comes in as a message.
      await new Promise((resolve) => {
        setTimeout(resolve);
      });
    }
    const answers = async (at: number, given: OnnxSwaps): Promise<OnnxAnswers> => {
      const all = samples[at] ?? [];
      return {
        outputs: outputs[at] ?? new Map(),
        sites: await tapped(given),
        wallMs: { samples: all, summary: summarize(all) },
      };
    };
    const [before, after] = outputs;
    return {
      engine: original.engine,
      feeds: feeds.map(({ name, type, dims, from }) => ({ name, type, dims, from })),
      original: await answers(0, {}),
      rewritten: isSwapped ? await answers(1, swaps) : null,
      differences: before && after ? compareOutputs(before, after) : [],
    };
  }
}

type Tapped = Awaited<ReturnType<typeof rewriteOnnx>>['taps'];

function tapsOf(outputs: ReadonlyMap<string, OnnxOutput>, names: Tapped): Map<string, OnnxTap> {
  return new Map(
    Object.entries(names).flatMap(([id, { in: x, out }]) => {
      const [given, made] = [outputs.get(x), outputs.get(out)];
      return given && made ? [[id, { in: given, out: made }] as const] : [];
    }),
  );
}
