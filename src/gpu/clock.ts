// The GPU's clock: time stamps at pass boundaries, and how fine they really are.
import type { Gpu, GpuBuffer } from './device.ts';

const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b));

/**
 * The step of a clock, in its own unit: the largest number that divides every stamp. Chrome masks stamps to
 * 65,536 ns; 64 stamps of a finer clock all sharing a divisor over 2 by chance is out of the question.
 */
export function clockQuantum(stamps: readonly bigint[]): bigint {
  return stamps.reduce((divisor, stamp) => gcd(divisor, stamp < 0n ? -stamp : stamp), 0n) || 1n;
}

/** The smallest step seen of `performance.now()`, in milliseconds. */
export function wallStepMs(now: () => number = () => performance.now(), samples = 64): number {
  let step = Infinity;
  let last = now();
  for (let i = 0, guard = 0; i < samples && guard < 2_000_000; guard++) {
    const next = now();
    if (next > last) {
      step = Math.min(step, next - last);
      last = next;
      i++;
    }
  }
  return Number.isFinite(step) ? Math.round(step * 1e6) / 1e6 : 0;
}

/** Pairs of stamps around passes; null where the device has no timestamp-query. */
export class GpuClock implements Disposable {
  readonly #gpu: Gpu;
  readonly #set: GPUQuerySet;
  readonly #resolved: GpuBuffer;
  readonly capacity: number;

  private constructor(gpu: Gpu, capacity: number) {
    this.#gpu = gpu;
    this.capacity = capacity;
    this.#set = gpu.device.createQuerySet({ type: 'timestamp', count: 2 * capacity });
    this.#resolved = gpu.buffer('stamps', 'probes', 16 * capacity, GPUBufferUsage.QUERY_RESOLVE);
  }

  static open(gpu: Gpu, capacity: number): GpuClock | null {
    return gpu.device.features.has('timestamp-query') ? new GpuClock(gpu, capacity) : null;
  }

  /** What to give `beginComputePass` so that pass `index` is stamped at both ends. */
  around(index: number): GPUComputePassTimestampWrites {
    return { querySet: this.#set, beginningOfPassWriteIndex: 2 * index, endOfPassWriteIndex: 2 * index + 1 };
  }

  resolve(encoder: GPUCommandEncoder, passes: number): void {
    encoder.resolveQuerySet(this.#set, 0, 2 * passes, this.#resolved.raw, 0);
  }

  /** Stamps of the last resolved passes in nanoseconds: begin, end, begin, end … */
  async stamps(passes: number): Promise<bigint[]> {
    const bytes = await this.#gpu.read([{ buffer: this.#resolved, sizeBytes: 16 * passes }]);
    return Array.from(new BigUint64Array(bytes));
  }

  /** Nanoseconds of the last resolved pass; null where its stamps went backwards. */
  async elapsedNs(): Promise<bigint | null> {
    const [begin = 0n, end = -1n] = await this.stamps(1);
    return end >= begin ? end - begin : null;
  }

  /** The clock's step in nanoseconds, from 64 stamps of empty passes. */
  async quantumNs(): Promise<number> {
    const passes = Math.min(32, this.capacity);
    const encoder = this.#gpu.device.createCommandEncoder({ label: 'quantum' });
    for (let i = 0; i < passes; i++) encoder.beginComputePass({ timestampWrites: this.around(i) }).end();
    this.resolve(encoder, passes);
    this.#gpu.device.queue.submit([encoder.finish()]);
    return Number(clockQuantum(await this.stamps(passes)));
  }

  [Symbol.dispose](): void {
    this.#set.destroy();
    this.#resolved[Symbol.dispose]();
  }
}
