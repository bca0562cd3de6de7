// Small answers back from the GPU while it goes on: several copies under way, into buffers made once.
import type { Gpu, GpuBuffer } from './device.ts';

export class ReadRing implements Disposable {
  readonly #gpu: Gpu;
  readonly #slots: readonly GpuBuffer[];
  readonly #sizeBytes: number;
  /** Bytes read so far. */
  readBytes = 0;

  /** `slots` copies of `sizeBytes` each may be under way. */
  constructor(gpu: Gpu, sizeBytes: number, slots: number) {
    this.#gpu = gpu;
    this.#sizeBytes = sizeBytes;
    this.#slots = Array.from({ length: slots }, () => gpu.buffer('ring', 'readback', sizeBytes));
  }

  #slot(index: number): GPUBuffer {
    const slot = this.#slots[index % this.#slots.length];
    if (!slot) throw new RangeError('Cannot read back: the ring has no slots');
    return slot.raw;
  }

  /** Adds copy `index` to the encoder. What was copied to its slot before must have been read. */
  copy(index: number, encoder: GPUCommandEncoder, from: GpuBuffer, offsetBytes: number): void {
    encoder.copyBufferToBuffer(from.raw, offsetBytes, this.#slot(index), 0, this.#sizeBytes);
  }

  /** What copy `index` took, once its encoder has been submitted. */
  async read(index: number): Promise<ArrayBuffer> {
    const slot = this.#slot(index);
    await this.#gpu.settle(slot.mapAsync(GPUMapMode.READ, 0, this.#sizeBytes));
    const bytes = slot.getMappedRange(0, this.#sizeBytes).slice(0);
    slot.unmap();
    this.readBytes += this.#sizeBytes;
    return bytes;
  }

  [Symbol.dispose](): void {
    for (const slot of this.#slots) slot[Symbol.dispose]();
  }
}
