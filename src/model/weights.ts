// A model's tensors, checked against what its family and its norm expect, and put on the GPU.
import type { TensorFile, Tensor } from '../format/safetensors.ts';
import { toFloat32 } from '../format/safetensors.ts';
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import type { MatrixDtype } from '../kernel/matmul.ts';
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';
import { gptSites, gptTensors } from './families/gpt.ts';
import type { GptConfig } from './families/gpt.ts';
import type { Site } from './plan.ts';

/** A checked model on the CPU: enough to put it on a device again after one was lost. */
export type Checkpoint = {
  readonly config: GptConfig;
  /** The norm it was trained with. */
  readonly norm: NormId;
  readonly file: TensorFile;
};

const HINT = 'This file does not hold the model its configuration describes: fetch both again.';

/** Throws Problem `bad-file`, naming file and tensor, unless every tensor is there with its shape and a float dtype. */
export function checkTensors({ config, norm, file }: Checkpoint): void {
  const bad = (name: string, reason: string): Problem =>
    new Problem('bad-file', `Cannot use tensor "${name}" of "${file.file}": ${reason}`, HINT);
  const expect = (name: string, shape: readonly number[]): void => {
    const tensor = file.tensors.get(name);
    if (!tensor) throw bad(name, 'it is missing');
    if (tensor.shape.join() !== shape.join()) {
      throw bad(name, `its shape is [${tensor.shape.join(', ')}] and [${shape.join(', ')}] is expected`);
    }
    const allowed = shape.length === 2 ? ['F16', 'F32'] : ['F32'];
    if (!allowed.includes(tensor.dtype))
      throw bad(name, `its dtype is ${tensor.dtype} and ${allowed.join(' or ')} is expected`);
  };
  for (const [name, shape] of Object.entries(gptTensors(config))) expect(name, shape);
  for (const site of gptSites(config))
    for (const { tensor, size, isOptional } of Object.values(normSpec(norm).params)) {
      if (tensor === null || (isOptional && !file.tensors.has(`${site.id}.${tensor}`))) continue;
      expect(`${site.id}.${tensor}`, [size === 'C' ? config.n_embd : size]);
    }
}

/** One matrix on the GPU, at its stored width. */
export type Matrix = { readonly buffer: GpuBuffer; readonly dtype: MatrixDtype };

/** Bytes of a matrix with rows padded to an even length, because kernels read values in pairs. */
export function padRows({ shape, dtype, bytes }: Tensor): Uint8Array {
  const [N = 1, K = 1] = shape;
  const width = dtype === 'F16' ? 2 : 4;
  if (K % 2 === 0) return bytes;
  const padded = new Uint8Array(N * (K + 1) * width);
  for (let row = 0; row < N; row++)
    padded.set(bytes.subarray(row * K * width, (row + 1) * K * width), row * (K + 1) * width);
  return padded;
}

/** Tensors of one checkpoint on one device. Matrices go up at once, vectors when asked for. */
export class Weights implements Disposable {
  readonly checkpoint: Checkpoint;
  readonly #gpu: Gpu;
  readonly #matrices = new Map<string, Matrix>();
  readonly #vectors = new Map<string, GpuBuffer>();

  constructor(gpu: Gpu, checkpoint: Checkpoint) {
    this.#gpu = gpu;
    this.checkpoint = checkpoint;
    for (const [name, shape] of Object.entries(gptTensors(checkpoint.config))) {
      const tensor = checkpoint.file.tensors.get(name);
      if (shape.length !== 2 || !tensor) continue;
      // Learned positions are added in f32 by the embedding kernel; everything else is a matmul or a gather.
      const data = name === 'wpe.weight' ? toFloat32(tensor) : padRows(tensor);
      const dtype = tensor.dtype === 'F16' && name !== 'wpe.weight' ? 'f16' : 'f32';
      this.#matrices.set(name, { buffer: gpu.upload(name, 'weights', data), dtype });
    }
  }

  matrix(name: string): Matrix {
    const matrix = this.#matrices.get(name);
    if (!matrix) throw new RangeError(`Cannot find matrix "${name}"`);
    return matrix;
  }

  vector(name: string): GpuBuffer {
    let buffer = this.#vectors.get(name);
    if (!buffer) {
      buffer = this.#gpu.upload(name, 'weights', this.values(name) ?? new Float32Array());
      this.#vectors.set(name, buffer);
    }
    return buffer;
  }

  /** A vector's values on the CPU, or undefined where the file has none of that name. */
  values(name: string): Float32Array | undefined {
    const tensor = this.checkpoint.file.tensors.get(name);
    return tensor && toFloat32(tensor);
  }

  [Symbol.dispose](): void {
    for (const { buffer } of this.#matrices.values()) buffer[Symbol.dispose]();
    for (const buffer of this.#vectors.values()) buffer[Symbol.dispose]();
  }
}

export const sitesOf = (config: GptConfig): Site[] => gptSites(config);
