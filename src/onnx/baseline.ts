// onnxruntime-web as a baseline: each of its engines as good as it can be made here, or an honest failure.
import type * as OrtWebgpu from 'onnxruntime-web/webgpu';
import { Problem } from '../problem.ts';
import { OrtSession } from './session.ts';

/** onnxruntime's engines for browsers: its C++ kernels on WebGPU, its older TypeScript ones, and the processor. */
export const BASELINES = { native: 'native EP', jsep: 'JSEP', wasm: 'WASM' } as const;
export const BASELINE_IDS = Object.keys(BASELINES) as readonly BaselineId[];
export type BaselineId = keyof typeof BASELINES;

export type Baseline = {
  /** `onnxruntime-web 1.30.0 · native EP`. */
  readonly name: string;
  /** One forward, waited for; nothing is read back. */
  readonly run: () => Promise<void>;
  readonly readLogits: () => Promise<Float32Array>;
  readonly dispose: () => Promise<void>;
};

type Ort = typeof OrtWebgpu;

async function loadEngine(id: 'native' | 'jsep'): Promise<Ort> {
  const [ort, { default: mjs }, { default: wasm }] =
    id === 'native'
      ? await Promise.all([
          import('onnxruntime-web/webgpu'),
          import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url'),
          import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url'),
        ])
      : await Promise.all([
          import('onnxruntime-web/all'),
          import('onnxruntime-web/ort-wasm-simd-threaded.jsep.mjs?url'),
          import('onnxruntime-web/ort-wasm-simd-threaded.jsep.wasm?url'),
        ]);
  ort.env.wasm.wasmPaths = { mjs, wasm };
  ort.env.wasm.numThreads = 1; // the kernels run on the GPU
  return ort;
}

/**
 * A graph of fixed length on one of the engines. The WebGPU ones run on `device` where the engine takes one, with
 * buffers on the GPU and graph capture on: capture refuses a graph with any node off the GPU, so none can fall back
 * in silence. Throws Problem `onnxruntime` when the engine will not.
 */
export async function openBaseline(
  id: BaselineId,
  file: Uint8Array,
  tokens: readonly number[],
  vocabSize: number,
  device: GPUDevice,
): Promise<Baseline> {
  if (id === 'wasm') {
    const session = await OrtSession.open(file);
    const logits = async (): Promise<Float32Array> =>
      (await session.run(tokens)).get('logits') ?? new Float32Array();
    return {
      name: session.engine,
      run: async () => void (await logits()),
      readLogits: logits,
      dispose: () => session[Symbol.asyncDispose](),
    };
  }
  const T = tokens.length;
  const words = BASELINES[id];
  try {
    const ort = await loadEngine(id);
    const session = await ort.InferenceSession.create(file, {
      executionProviders: [{ name: 'webgpu', ...(id === 'native' ? { device } : {}) }],
      freeDimensionOverrides: { batch: 1, sequence: T },
      enableGraphCapture: true,
      preferredOutputLocation: 'gpu-buffer',
    });
    const used = id === 'native' ? device : await ort.env.webgpu.device;
    const buffer = (label: string, size: number): GPUBuffer =>
      used.createBuffer({
        label,
        size,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      });
    const ids = buffer('baseline.input_ids', 8 * T);
    const logits = buffer('baseline.logits', 4 * T * vocabSize);
    used.queue.writeBuffer(ids, 0, BigInt64Array.from(tokens, BigInt));
    const feeds = { input_ids: ort.Tensor.fromGpuBuffer(ids, { dataType: 'int64', dims: [1, T] }) };
    const fetches = {
      logits: ort.Tensor.fromGpuBuffer(logits, { dataType: 'float32', dims: [1, T, vocabSize] }),
    };
    const run = async (): Promise<void> => {
      await session.run(feeds, fetches);
      await used.queue.onSubmittedWorkDone();
    };
    return {
      name: `onnxruntime-web ${ort.env.versions.web ?? ''} · ${words}`,
      run,
      readLogits: async () => {
        await run();
        const staging = used.createBuffer({
          size: logits.size,
          usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
        });
        const encoder = used.createCommandEncoder();
        encoder.copyBufferToBuffer(logits, 0, staging, 0, logits.size);
        used.queue.submit([encoder.finish()]);
        await staging.mapAsync(GPUMapMode.READ);
        const values = new Float32Array(staging.getMappedRange().slice(0));
        staging.destroy();
        return values;
      },
      dispose: async () => {
        await session.release();
        ids.destroy();
        logits.destroy();
      },
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Problem(
      'onnxruntime',
      `Cannot run onnxruntime-web · ${words} here: ${why}`,
      'A node of this graph, or this adapter, is not for that engine; it is left out of the comparison.',
      cause,
    );
  }
}

/** Dispatches that `work` sends to any WebGPU device of this thread. */
export async function countDispatches(work: () => Promise<void>): Promise<number> {
  const { prototype } = GPUComputePassEncoder;
  const { dispatchWorkgroups, dispatchWorkgroupsIndirect } = prototype;
  let count = 0;
  prototype.dispatchWorkgroups = function counted(...args) {
    count += 1;
    return dispatchWorkgroups.apply(this, args);
  };
  prototype.dispatchWorkgroupsIndirect = function counted(...args) {
    count += 1;
    return dispatchWorkgroupsIndirect.apply(this, args);
  };
  try {
    await work();
    return count;
  } finally {
    Object.assign(prototype, { dispatchWorkgroups, dispatchWorkgroupsIndirect });
  }
}
