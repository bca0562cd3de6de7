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
  /** So many runs, waited for once; nothing is read back. */
  readonly run: (n?: number) => Promise<void>;
  /** One run and its output. */
  readonly read: () => Promise<Float32Array>;
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

/** A graph of fixed shapes, what goes in, and the name of the output that counts. */
export type BaselineGraph = {
  readonly file: Uint8Array;
  readonly inputs: readonly BaselineInput[];
  readonly output: string;
};
export type BaselineInput = {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: BigInt64Array | Float32Array;
};

/**
 * A graph on one of the engines. The WebGPU ones run on `device` where the engine takes one, with buffers on the GPU
 * and graph capture on: capture refuses a graph with any node off the GPU, so none can fall back in silence.
 * Throws Problem `onnxruntime` when the engine will not.
 */
export async function openBaseline(
  id: BaselineId,
  { file, inputs, output }: BaselineGraph,
  device: GPUDevice,
): Promise<Baseline> {
  if (id === 'wasm') {
    const session = await OrtSession.open(file);
    const read = async (): Promise<Float32Array> =>
      (await session.feed(inputs)).get(output) ?? new Float32Array();
    return {
      name: session.engine,
      run: async (n = 1) => {
        for (let i = 0; i < n; i++) await read();
      },
      read,
      dispose: () => session[Symbol.asyncDispose](),
    };
  }
  const words = BASELINES[id];
  try {
    const ort = await loadEngine(id);
    const session = await ort.InferenceSession.create(file, {
      executionProviders: [{ name: 'webgpu', ...(id === 'native' ? { device } : {}) }],
      enableGraphCapture: true,
      preferredOutputLocation: 'gpu-buffer',
    });
    const used = id === 'native' ? device : await ort.env.webgpu.device;
    const buffers = inputs.map(({ name, data }) => {
      const buffer = used.createBuffer({
        label: `baseline.${name}`,
        size: data.byteLength,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      });
      used.queue.writeBuffer(buffer, 0, data.buffer, data.byteOffset, data.byteLength);
      return buffer;
    });
    const feeds = Object.fromEntries(
      inputs.map(({ name, dims, data }, index) => {
        const dataType = data instanceof Float32Array ? ('float32' as const) : ('int64' as const);
        const buffer = buffers[index];
        if (!buffer) throw new RangeError(`Cannot feed "${name}": it has no buffer`);
        return [name, ort.Tensor.fromGpuBuffer(buffer, { dataType, dims: [...dims] })];
      }),
    );
    // Outputs are left to onnxruntime: 1.30.0 forgets after the first run that an output was given to it, and from
    // then on takes a recycled address for it or, by luck, not.
    const release = (made: Readonly<Record<string, OrtWebgpu.Tensor>>): void => {
      for (const tensor of Object.values(made)) tensor.dispose();
    };
    return {
      name: `onnxruntime-web ${ort.env.versions.web ?? ''} · ${words}`,
      run: async (n = 1) => {
        for (let i = 0; i < n; i++) release(await session.run(feeds));
        await used.queue.onSubmittedWorkDone();
      },
      read: async () => {
        const made = await session.run(feeds);
        const values = await made[output]?.getData();
        release(made);
        if (!(values instanceof Float32Array)) throw new TypeError(`the graph gave no ${output}`);
        return values.slice();
      },
      dispose: async () => {
        await session.release();
        for (const buffer of buffers) buffer.destroy();
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
