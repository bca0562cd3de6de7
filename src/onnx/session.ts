// The one importer of onnxruntime-web, and only when somebody asks: it is not in the first download.
import mjsUrl from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import wasmUrl from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import type { InferenceSession, Tensor } from 'onnxruntime-web/wasm';
import { halfToFloat } from '../format/safetensors.ts';
import { Problem } from '../problem.ts';
import type { Feed } from './feeds.ts';

type Ort = typeof import('onnxruntime-web/wasm');

const MOST_THREADS = 4;

let loading: Promise<{ ort: Ort; name: string }> | undefined;

/** onnxruntime with its WASM engine, loaded once, and its name as it is shown. Threads need an isolated page. */
async function loadOrt(): Promise<{ ort: Ort; name: string }> {
  loading ??= import('onnxruntime-web/wasm').then((ort) => {
    const threads = globalThis.crossOriginIsolated
      ? Math.min(MOST_THREADS, navigator.hardwareConcurrency)
      : 1;
    ort.env.wasm.wasmPaths = { mjs: mjsUrl, wasm: wasmUrl };
    ort.env.wasm.numThreads = threads;
    const name = `onnxruntime-web ${ort.env.versions.web ?? ''} · WASM ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
    return { ort, name };
  });
  try {
    return await loading;
  } catch (cause) {
    loading = undefined;
    throw problem(
      'load onnxruntime-web',
      cause,
      'Check the connection and try again; the server must serve the whole dist folder.',
    );
  }
}

/** `onnxruntime-web 1.30.0 · WASM 2 threads`, as it would run here. */
export const ortName = async (): Promise<string> => (await loadOrt()).name;

function problem(what: string, cause: unknown, hint: string): Problem {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Problem('onnxruntime', `Cannot ${what}: ${why}`, hint, cause);
}

/** An output of any graph; values of halves as floats, null where they are no floats. */
export type OnnxOutput = {
  readonly type: string;
  readonly dims: readonly number[];
  readonly values: Float32Array | null;
};

/** Keys and values of earlier tokens, as a graph with past takes and gives them. */
export type Past = Readonly<Record<string, Tensor>>;

/** A value for an input of a graph. */
/** Values as our own graphs take them. */
export type PlainFeed = {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: BigInt64Array | Float32Array;
};

/** A graph that onnxruntime has accepted. */
export class OrtSession implements AsyncDisposable {
  readonly #ort: Ort;
  readonly #session: InferenceSession;
  readonly engine: string;

  private constructor(ort: Ort, session: InferenceSession, engine: string) {
    this.#ort = ort;
    this.#session = session;
    this.engine = engine;
  }

  /** Throws Problem `onnxruntime` when the engine does not load or refuses the graph. */
  static async open(file: Uint8Array): Promise<OrtSession> {
    const { ort, name } = await loadOrt();
    try {
      return new OrtSession(
        ort,
        await ort.InferenceSession.create(file, { executionProviders: ['wasm'], logSeverityLevel: 3 }),
        name,
      );
    } catch (cause) {
      throw problem(
        `open the graph in ${name}`,
        cause,
        'The operator or opset it names is not in this build of onnxruntime, or the WASM file did not load; other norms may run.',
      );
    }
  }

  /** Every float output of one run of `inputs`, by name. */
  async feed(inputs: readonly PlainFeed[]): Promise<Map<string, Float32Array>> {
    const { Tensor } = this.#ort;
    return floatsOf(
      await this.#run(
        Object.fromEntries(
          inputs.map(({ name, dims, data }) => [
            name,
            data instanceof Float32Array
              ? new Tensor('float32', data, dims)
              : new Tensor('int64', data, dims),
          ]),
        ),
      ),
    );
  }

  /** Every output of one run of `feeds`, by name. */
  async outputsOf(feeds: readonly Feed[]): Promise<Map<string, OnnxOutput>> {
    const { Tensor } = this.#ort;
    const given = feeds.map(({ name, type, dims, data }) => [name, new Tensor(type, data as never, dims)]);
    const outputs = await this.#run(Object.fromEntries(given) as Record<string, Tensor>);
    return new Map(
      Object.entries(outputs).map(([name, { type, dims, data }]) => [
        name,
        { type, dims, values: floatValues(type, data) },
      ]),
    );
  }

  /** Every float output of one run of `tokens`, by name. */
  async run(tokens: readonly number[]): Promise<Map<string, Float32Array>> {
    return floatsOf(await this.#run(this.#ids(tokens)));
  }

  /** No earlier tokens, for a model of H heads of D channels. */
  emptyPast(layers: number, H: number, D: number): Past {
    const names = Array.from({ length: layers }, (_, layer) =>
      ['key', 'value'].map((part) => `past_key_values.${layer}.${part}`),
    );
    return Object.fromEntries(
      names.flat().map((name) => [name, new this.#ort.Tensor('float32', new Float32Array(), [1, H, 0, D])]),
    );
  }

  /** Logits [T, V] of `tokens` after `past`, and the past after them. */
  async decode(tokens: readonly number[], past: Past): Promise<{ logits: Float32Array; past: Past }> {
    const outputs = await this.#run({ ...this.#ids(tokens), ...past });
    const present = Object.entries(outputs).flatMap(([name, tensor]) =>
      name.startsWith('present.') ? [[name.replace('present', 'past_key_values'), tensor] as const] : [],
    );
    return {
      logits: floatsOf(outputs).get('logits') ?? new Float32Array(),
      past: Object.fromEntries(present),
    };
  }

  #ids(tokens: readonly number[]): Record<string, Tensor> {
    const data = BigInt64Array.from(tokens, BigInt);
    return { input_ids: new this.#ort.Tensor('int64', data, [1, tokens.length]) };
  }

  async #run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>> {
    try {
      return await this.#session.run(feeds);
    } catch (cause) {
      throw problem(
        `run the graph in ${this.engine}`,
        cause,
        'Report this text together with the exported file.',
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
  }
}

/** Halves come as bits or, where the browser knows them, as numbers. */
function floatValues(type: string, data: Tensor['data']): Float32Array | null {
  if (data instanceof Float32Array) return data;
  if (type === 'float64') return Float32Array.from(data as Float64Array);
  if (type !== 'float16') return null;
  return data instanceof Uint16Array
    ? Float32Array.from(data, halfToFloat)
    : Float32Array.from(data as unknown as ArrayLike<number>);
}

const floatsOf = (outputs: Readonly<Record<string, Tensor>>): Map<string, Float32Array> =>
  new Map(
    Object.entries(outputs).flatMap(([name, { data }]) =>
      data instanceof Float32Array ? [[name, data] as const] : [],
    ),
  );
