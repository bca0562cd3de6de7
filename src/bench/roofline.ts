// What this machine can do, measured by kernels that do one thing: the lines that norms and models are held against,
// and what they predict.
import type { GpuClock } from '../gpu/clock.ts';
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import { Batcher, dispatchOf } from '../kernel/batch.ts';
import type { Dispatch } from '../kernel/batch.ts';
import type { Compiler, Constants } from '../kernel/compile.ts';
import { Problem } from '../problem.ts';
import { betweenLooksMs, sizeBatch } from './protocol.ts';
import type { Timed } from './protocol.ts';
import type { Bandwidth, Prediction, Rate, Roofline } from './spec.ts';
import { median, theilSen } from './statistics.ts';

/** A device, what compiles for it, and a clock for one pass where it has one. */
export type Bench = {
  readonly gpu: Gpu;
  readonly compiler: Compiler;
  readonly clock: GpuClock | null;
  /** Steps of the clocks, measured. */
  readonly quantumNs: number | null;
  readonly wallStepMs: number;
};

const MIB = 2 ** 20;
/** How much work there is to do: enough for the widest GPU, or little enough for a processor. */
const HARDWARE = {
  copyBytes: [1, 4, 16, 64, 256].map((n) => n * MIB),
  copies: [64, 128, 256].flatMap((WG) => [1, 4].map((each) => ({ WG, each }))),
  groups: 2048,
  iterations: 256,
  samples: 5,
};
const SOFTWARE: typeof HARDWARE = {
  copyBytes: [1, 8].map((n) => n * MIB),
  copies: [{ WG: 64, each: 64 }],
  groups: 16,
  iterations: 64,
  samples: 3,
};

/** Fewest repeats of the longest line of empty dispatches. */
const FEWEST_EMPTY = 2048;
const LANES = 256;
const FLOPS_A_STEP = 64;
const EXP_A_STEP = 16;
const TANH_A_STEP = 4;
/** Faster than memory by this much is a cache. */
const CACHE_GAIN = 1.3;

/** 10⁹ a second; the longest sample stands where the median is no time at all, as under a coarse clock. */
const perS = (amount: number, samplesUs: readonly number[]): number =>
  amount / (median(samplesUs) || Math.max(...samplesUs, 1e-3)) / 1e3;

class Meter {
  readonly #bench: Bench;
  readonly #batcher: Batcher;
  readonly #samples: number;
  readonly #signal: AbortSignal | undefined;
  readonly targetMs: number;

  constructor(bench: Bench, samples: number, signal: AbortSignal | undefined) {
    this.#bench = bench;
    this.#batcher = new Batcher(bench.gpu, bench.clock);
    this.#samples = samples;
    this.#signal = signal;
    this.targetMs = betweenLooksMs(bench.quantumNs, bench.wallStepMs, bench.gpu.adapter.isFallback);
  }

  dispatch(
    file: string,
    constants: Constants,
    groups: number,
    buffers: Readonly<Record<string, GpuBuffer>>,
  ): Promise<Dispatch> {
    const spec = { files: [`bench/${file}`], entry: 'forward', constants };
    return dispatchOf(this.#bench.compiler, spec, buffers, [groups]);
  }

  run(dispatch: Dispatch, n: number): Promise<Timed> {
    this.#signal?.throwIfAborted();
    return this.#batcher.run([[dispatch]], n);
  }

  size(dispatch: Dispatch): Promise<number> {
    return sizeBatch((n) => this.run(dispatch, n), this.targetMs, 10 * this.targetMs);
  }

  /** Microseconds of one dispatch; without stamps the difference of a double batch and a single one. */
  async samplesUs(dispatch: Dispatch): Promise<number[]> {
    const n = await this.size(dispatch);
    const samples: number[] = [];
    while (samples.length < this.#samples) {
      const { gpuNs, wallMs } = await this.run(dispatch, n);
      if (gpuNs) samples.push(Number(gpuNs) / 1e3 / n);
      else samples.push(Math.max(0, (await this.run(dispatch, 2 * n)).wallMs - wallMs) * (1e3 / n));
    }
    return samples;
  }

  /** Bytes moved a second by a dispatch that moves so many. */
  async bandwidth(dispatch: Dispatch, sizeBytes: number, workgroupSize: number): Promise<Bandwidth> {
    const samplesUs = await this.samplesUs(dispatch);
    return { gbPerS: perS(sizeBytes, samplesUs), sizeBytes, workgroupSize, samplesUs };
  }

  async rate(dispatch: Dispatch, operations: number): Promise<Rate> {
    const samplesUs = await this.samplesUs(dispatch);
    return { gPerS: perS(operations, samplesUs), samplesUs };
  }
}

/** Two buffers as large as this adapter gives, up to the largest wanted. */
async function openPair(gpu: Gpu, wantedBytes: number): Promise<[GpuBuffer, GpuBuffer]> {
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  let sizeBytes = Math.min(wantedBytes, maxBufferSize, maxStorageBufferBindingSize) & ~15;
  for (;;) {
    const x = gpu.buffer('bench.x', 'activations', sizeBytes);
    const y = gpu.buffer('bench.y', 'activations', sizeBytes);
    try {
      await gpu.done();
      return [x, y];
    } catch (thrown) {
      x[Symbol.dispose]();
      y[Symbol.dispose]();
      if (!(thrown instanceof Problem && thrown.code === 'out-of-memory') || sizeBytes <= MIB) throw thrown;
      sizeBytes = (sizeBytes / 2) & ~15;
    }
  }
}

/** Takes about 3 s. Rejects with an AbortError when stopped. */
export async function measureRoofline(
  bench: Bench,
  {
    signal,
    onStage,
  }: { readonly signal?: AbortSignal | undefined; readonly onStage?: (words: string) => void } = {},
): Promise<Roofline> {
  const { gpu } = bench;
  const work = gpu.adapter.isFallback ? SOFTWARE : HARDWARE;
  const meter = new Meter(bench, work.samples, signal);
  const [x, y] = await openPair(gpu, work.copyBytes.at(-1) ?? MIB);
  using _x = x;
  using _y = y;
  const mostBytes = x.sizeBytes;

  async function memory(
    file: 'copy' | 'read' | 'write',
    { WG, each }: (typeof work.copies)[number],
    sizeBytes: number,
  ): Promise<Bandwidth> {
    const N = sizeBytes / 16;
    const groups = Math.min(Math.ceil(N / (WG * each)), 65_535);
    const dispatch = await meter.dispatch(file, { WG, N }, groups, { x, y });
    return meter.bandwidth(dispatch, sizeBytes * (file === 'copy' ? 2 : 1), WG);
  }

  onStage?.('Measuring memory');
  const tried: { readonly how: (typeof work.copies)[number]; readonly copy: Bandwidth }[] = [];
  for (const how of work.copies) tried.push({ how, copy: await memory('copy', how, mostBytes) });
  const [best] = tried.toSorted((a, b) => b.copy.gbPerS - a.copy.gbPerS);
  if (!best) throw new RangeError('Cannot measure copying: no way to copy is known');
  const staircase: Bandwidth[] = [];
  for (const sizeBytes of work.copyBytes.filter((bytes) => bytes < mostBytes))
    staircase.push(await memory('copy', best.how, sizeBytes));
  staircase.push(best.copy);
  const [read, write] = [
    await memory('read', best.how, mostBytes),
    await memory('write', best.how, mostBytes),
  ];

  onStage?.('Measuring arithmetic');
  const lanes = work.groups * LANES;
  // The last value is one that no sum ever is: what would be stored then keeps the work from being left out.
  using operands = gpu.upload(
    'bench.operands',
    'activations',
    Float32Array.of(0.999, 0.998, 0.997, 0.996, 0.001, 0.002, 0.003, -1.5),
  );
  async function arithmetic(file: string, operationsAStep: number): Promise<Rate> {
    const constants = { WG: LANES, ITERATIONS: work.iterations };
    const dispatch = await meter.dispatch(file, constants, work.groups, { x: operands, y });
    return meter.rate(dispatch, lanes * work.iterations * operationsAStep);
  }
  const fmaF32 = await arithmetic('fma_f32', FLOPS_A_STEP);
  const fmaF16 = gpu.device.features.has('shader-f16') ? await arithmetic('fma_f16', FLOPS_A_STEP) : null;
  const [exp, tanh] = [await arithmetic('exp', EXP_A_STEP), await arithmetic('tanh', TANH_A_STEP)];

  onStage?.('Measuring dispatches');
  const empty = await meter.dispatch('empty', { WG: 64 }, 1, { y });
  const most = Math.max(FEWEST_EMPTY, await meter.size(empty));
  const gpuLine: [number, number][] = [];
  const wallLine: [number, number][] = [];
  for (let i = 0; i < work.samples; i++)
    for (const n of [1, 2, 4, 8, 16].map((part) => Math.floor(most / part))) {
      const { gpuNs, wallMs } = await meter.run(empty, n);
      wallLine.push([n, wallMs * 1e3]);
      if (gpuNs !== null) gpuLine.push([n, Number(gpuNs) / 1e3]);
    }
  const wall = theilSen(wallLine);
  const memoryGbPerS = staircase.at(-1)?.gbPerS ?? 0;
  const cached = staircase.findLast(({ gbPerS }) => gbPerS > CACHE_GAIN * memoryGbPerS);
  return {
    copy: best.copy,
    read,
    write,
    staircase,
    cacheBytes: cached?.sizeBytes ?? null,
    fmaF32,
    fmaF16,
    exp,
    tanh,
    emptyDispatch: {
      gpuUs: gpuLine.length ? Math.max(0, theilSen(gpuLine).b) : null,
      wallUs: Math.max(0, wall.b),
    },
    submitWallUs: Math.max(0, wall.a),
  };
}

/** Copy bandwidth where so many bytes are gone through again and again: of the next larger step. */
export function copyGbPerS({ staircase, copy }: Roofline, footprintBytes: number): number {
  return (staircase.find(({ sizeBytes }) => sizeBytes >= footprintBytes) ?? copy).gbPerS;
}

/** What a run must do at least. `bends` are values that go through a function like tanh. */
export type Work = {
  readonly dispatches: number;
  readonly bytesMin: number;
  readonly flops: number;
  readonly bends: number;
  /** Bytes that a run and those after it go through; memory where it is larger than every cache. */
  readonly footprintBytes: number;
};

/** From bytes, arithmetic and dispatches alone: the largest of the first two, and the dispatches on top. */
export function predict(
  { dispatches, bytesMin, flops, bends, footprintBytes }: Work,
  roofline: Roofline,
): Pick<Prediction, 'predictedUs' | 'boundBy'> {
  const bytesUs = bytesMin / copyGbPerS(roofline, footprintBytes) / 1e3;
  const flopsUs = flops / roofline.fmaF32.gPerS / 1e3 + bends / roofline.tanh.gPerS / 1e3;
  const { gpuUs, wallUs } = roofline.emptyDispatch;
  const dispatchUs = dispatches * (gpuUs ?? wallUs);
  const workUs = Math.max(bytesUs, flopsUs);
  const boundBy = dispatchUs > workUs ? 'dispatches' : bytesUs >= flopsUs ? 'bytes' : 'flops';
  return { predictedUs: workUs + dispatchUs, boundBy };
}
