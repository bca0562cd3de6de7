// The buffers that programs of one model share: activations, key-value cache, probes, and the run's uniform.
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import { rotaryTable } from '../kernel/attention.ts';
import { frequenciesOf } from './rope.ts';
import type { Rope } from './rope.ts';

/** Activations of one model, shared by its programs: only one runs at a time. Rows for the whole context. */
export class Workspace implements Disposable {
  readonly #gpu: Gpu;
  readonly rows: number;
  readonly #buffers = new Map<string, GpuBuffer>();
  readonly run: GpuBuffer;
  /** A run of the first token alone, for what it does not share with the others. */
  readonly firstRow: GpuBuffer;
  readonly one: GpuBuffer;

  constructor(gpu: Gpu, rows: number) {
    this.#gpu = gpu;
    this.rows = rows;
    this.run = gpu.buffer('run', 'parameters', 16, GPUBufferUsage.UNIFORM);
    this.firstRow = gpu.uniform('run of the first row', Uint32Array.of(1, 0));
    this.one = gpu.upload('one', 'parameters', Float32Array.of(1));
  }

  /** The buffer of that name, [rows, width] in f32. */
  activation(name: string, width: number): GpuBuffer {
    return this.#make(name, () => this.#gpu.buffer(name, 'activations', this.rows * width * 4));
  }

  /** A buffer of that name that has no rows. */
  scratch(name: string, sizeBytes: number): GpuBuffer {
    return this.#make(name, () => this.#gpu.buffer(name, 'activations', sizeBytes));
  }

  /** Keys and values of a layer, [2, rows, width]. */
  cache(layer: number, width: number): GpuBuffer {
    return this.#make(`cache.${layer}`, () =>
      this.#gpu.buffer(`cache.${layer}`, 'cache', 2 * this.rows * width * 4),
    );
  }

  rotary(D: number, rope: Rope): GpuBuffer {
    return this.#make(`rotary.${JSON.stringify(rope)}`, () =>
      this.#gpu.upload('rotary', 'parameters', rotaryTable(this.rows, D, frequenciesOf(rope, D))),
    );
  }

  probes(name: 'token_stats' | 'counts', sizeBytes: number): GpuBuffer {
    return this.#make(name, () => this.#gpu.buffer(name, 'probes', sizeBytes));
  }

  site(index: number): GpuBuffer {
    return this.#make(`site.${index}`, () => {
      const buffer = this.#gpu.buffer(`site.${index}`, 'probes', 16, GPUBufferUsage.UNIFORM);
      this.#gpu.write(buffer, Uint32Array.of(index));
      return buffer;
    });
  }

  #make(name: string, create: () => GpuBuffer): GpuBuffer {
    let buffer = this.#buffers.get(name);
    if (!buffer) {
      buffer = create();
      this.#buffers.set(name, buffer);
    }
    return buffer;
  }

  [Symbol.dispose](): void {
    for (const buffer of [...this.#buffers.values(), this.run, this.firstRow, this.one])
      buffer[Symbol.dispose]();
  }
}
