// The one importer of onnxruntime-web, and only when somebody asks: it is not in the first download.
import mjsUrl from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url';
import wasmUrl from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import type { InferenceSession, Tensor } from 'onnxruntime-web/wasm';
import { Problem } from '../problem.ts';

type Ort = typeof import('onnxruntime-web/wasm');

const MOST_THREADS = 4;

let loading: Promise<{ ort: Ort; threads: number }> | undefined;

/** onnxruntime with its WASM engine, loaded once; threads need a cross-origin isolated page. */
async function loadOrt(): Promise<{ ort: Ort; threads: number }> {
  loading ??= import('onnxruntime-web/wasm').then((ort) => {
    const threads = globalThis.crossOriginIsolated
      ? Math.min(MOST_THREADS, navigator.hardwareConcurrency)
      : 1;
    ort.env.wasm.wasmPaths = { mjs: mjsUrl, wasm: wasmUrl };
    ort.env.wasm.numThreads = threads;
    return { ort, threads };
  });
  try {
    return await loading;
  } catch (cause) {
    loading = undefined;
    throw new Problem(
      'onnxruntime',
      `Cannot load onnxruntime-web: ${cause instanceof Error ? cause.message : cause}`,
      'Check the connection and try again; the server must serve the whole dist folder.',
      cause,
    );
  }
}

/** A graph that onnxruntime has accepted. */
export class OrtSession implements AsyncDisposable {
  readonly #ort: Ort;
  readonly #session: InferenceSession;
  /** What ran it, as it is shown: `onnxruntime-web 1.30.0 · WASM 2 threads`. */
  readonly engine: string;

  private constructor(ort: Ort, session: InferenceSession, threads: number) {
    this.#ort = ort;
    this.#session = session;
    this.engine = `onnxruntime-web ${ort.env.versions.web ?? ''} · WASM ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  }

  /** Throws Problem `onnxruntime` when the engine does not load or refuses the graph. */
  static async open(file: Uint8Array): Promise<OrtSession> {
    const { ort, threads } = await loadOrt();
    try {
      return new OrtSession(
        ort,
        await ort.InferenceSession.create(file, { executionProviders: ['wasm'] }),
        threads,
      );
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Problem(
        'onnxruntime',
        `Cannot open the graph in onnxruntime-web ${ort.env.versions.web ?? ''}: ${why}`,
        'The operator or opset it names is not in this build of onnxruntime; other norms may run.',
        cause,
      );
    }
  }

  /** Every float output of one run of `tokens`, by name. */
  async run(tokens: readonly number[]): Promise<Map<string, Float32Array>> {
    const feeds = {
      input_ids: new this.#ort.Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
    };
    let outputs: Readonly<Record<string, Tensor>>;
    try {
      outputs = await this.#session.run(feeds);
    } catch (cause) {
      throw new Problem(
        'onnxruntime',
        `Cannot run the graph in onnxruntime: ${cause instanceof Error ? cause.message : cause}`,
        'Report this text together with the exported file.',
        cause,
      );
    }
    return new Map(
      Object.entries(outputs).flatMap(([name, { data }]) =>
        data instanceof Float32Array ? [[name, data] as const] : [],
      ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
  }
}
