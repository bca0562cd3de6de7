// A model's tensors on the GPU: matrices at their stored width, in as many buffers as the adapter's limits ask for.
import { toFloat32 } from '../format/safetensors.ts';
import type { Dtype, Tensor } from '../format/safetensors.ts';
import type { Progress } from '../format/source.ts';
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import { dtypeWidth } from '../kernel/matmul.ts';
import type { MatrixDtype } from '../kernel/matmul.ts';
import { matricesOf, matrixKey } from './matrices.ts';
import type { MatrixSpec } from './matrices.ts';
import type { Checkpoint } from './model.ts';

/** Rows `first` to `first + N` of a matrix. */
export type MatrixPart = { readonly buffer: GpuBuffer; readonly first: number; readonly N: number };
/** One matrix [N, K] on the GPU. */
export type Matrix = {
  readonly dtype: MatrixDtype;
  readonly N: number;
  readonly K: number;
  readonly parts: readonly MatrixPart[];
};

const WIDTHS: Partial<Record<Dtype, MatrixDtype>> = { F16: 'f16', BF16: 'bf16' };

/** A matrix's values are [N, K] whatever shape they are stored with: a convolution's kernels are its rows. */
function sizesOf({ shape }: Tensor): [number, number] {
  const [N = 1] = shape;
  return [N, shape.reduce((product, n) => product * n, 1) / Math.max(1, N)];
}

/** [N, K] as [K, N], whatever the values are. */
function turn(tensor: Tensor): Tensor {
  const [N, K] = sizesOf(tensor);
  const Values = tensor.dtype === 'F32' ? Uint32Array : Uint16Array;
  const given = new Values(new Uint8Array(tensor.bytes).buffer);
  const turned = new Values(N * K);
  for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) turned[k * N + n] = given[n * K + k] ?? 0;
  return { ...tensor, shape: [K, N], bytes: new Uint8Array(turned.buffer) };
}

/** A tensor as its matrix's part: out × in, in the matrix's width. */
export function matrixPart(tensor: Tensor, isTransposed: boolean, dtype: MatrixDtype): Tensor {
  const part = isTransposed ? turn(tensor) : { ...tensor, shape: sizesOf(tensor) };
  if (dtype !== 'f32' || part.dtype === 'F32') return part;
  return { ...part, dtype: 'F32', bytes: new Uint8Array(toFloat32(part).buffer) };
}

/** Bytes of a matrix with rows padded to an even length, because kernels read values in pairs. */
export function padRows(tensor: Tensor): Uint8Array {
  const [N, K] = sizesOf(tensor);
  const width = tensor.dtype === 'F32' ? 4 : 2;
  if (K % 2 === 0) return tensor.bytes;
  const padded = new Uint8Array(N * (K + 1) * width);
  for (let row = 0; row < N; row++)
    padded.set(tensor.bytes.subarray(row * K * width, (row + 1) * K * width), row * (K + 1) * width);
  return padded;
}

/** The queue copies what it is given: it is given a little at a time, and waited for when it holds a few of these. */
const PIECE_BYTES = 16 * 2 ** 20;
const MOST_WAITING_BYTES = 4 * PIECE_BYTES;

/** Bytes on their way into a buffer. */
type Write = { readonly buffer: GpuBuffer; readonly offsetBytes: number; readonly bytes: Uint8Array };

/** Rows [firstRow, …) of a matrix that lie one after the other in `bytes`, in pieces, each into its buffer. */
function* writesOf(
  { parts }: Matrix,
  firstRow: number,
  rowBytes: number,
  bytes: Uint8Array,
): Generator<Write> {
  const lastRow = firstRow + bytes.byteLength / rowBytes;
  for (const { buffer, first, N } of parts) {
    const from = Math.max(first, firstRow);
    const to = Math.min(first + N, lastRow);
    if (from >= to) continue;
    const rows = bytes.subarray((from - firstRow) * rowBytes, (to - firstRow) * rowBytes);
    const begin = (from - first) * rowBytes;
    for (let at = 0; at < rows.byteLength; at += PIECE_BYTES)
      yield { buffer, offsetBytes: begin + at, bytes: rows.subarray(at, at + PIECE_BYTES) };
  }
}

/** Tensors of one checkpoint on one device. Matrices go up at once, vectors when asked for. */
export class Weights implements Disposable {
  readonly checkpoint: Checkpoint;
  readonly #gpu: Gpu;
  readonly #mostBytes: number;
  readonly #matrices = new Map<string, Matrix>();
  readonly #vectors = new Map<string, GpuBuffer>();
  readonly #specs: ReadonlyMap<string, MatrixSpec>;

  /** With the tensors that are on the CPU; `mostBytes`: of one buffer, the device's limit if not given. */
  constructor(gpu: Gpu, checkpoint: Checkpoint, mostBytes = largestBuffer(gpu)) {
    this.#gpu = gpu;
    this.#mostBytes = mostBytes;
    this.checkpoint = checkpoint;
    this.#specs = matricesOf(checkpoint.model);
    for (const spec of this.#specs.values())
      if (spec.parts.every((part) => checkpoint.file.tensors.has(part)))
        for (const part of spec.parts) {
          const tensor = checkpoint.file.tensors.get(part);
          if (tensor)
            for (const { buffer, bytes, offsetBytes } of this.#put(spec, tensor))
              gpu.write(buffer, bytes, offsetBytes);
        }
  }

  /** With those that are read when they are needed too, a tensor at a time. */
  static async load(
    gpu: Gpu,
    checkpoint: Checkpoint,
    {
      mostBytes,
      ...options
    }: {
      readonly mostBytes?: number;
      readonly onProgress?: ((progress: Progress) => void) | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<Weights> {
    const weights = new Weights(gpu, checkpoint, mostBytes);
    let waitingBytes = 0;
    try {
      for await (const tensor of checkpoint.streamed?.read(options) ?? []) {
        const specs = [...weights.#specs.values()].filter(({ parts }) => parts.includes(tensor.name));
        for (const { buffer, bytes, offsetBytes } of specs.flatMap((spec) => weights.#put(spec, tensor))) {
          gpu.write(buffer, bytes, offsetBytes);
          waitingBytes += bytes.byteLength;
          if (waitingBytes < MOST_WAITING_BYTES) continue;
          await gpu.done();
          waitingBytes = 0;
        }
      }
      await gpu.done();
      return weights;
    } catch (cause) {
      weights[Symbol.dispose]();
      throw cause;
    }
  }

  #dtypeOf(name: string): MatrixDtype {
    const { file, streamed } = this.checkpoint;
    return WIDTHS[streamed?.dtypes.get(name) ?? file.tensors.get(name)?.dtype ?? 'F32'] ?? 'f32';
  }

  #rowsOf(name: string): number {
    const { file, streamed } = this.checkpoint;
    return (streamed?.shapes.get(name) ?? file.tensors.get(name)?.shape)?.[0] ?? 0;
  }

  /** What a tensor is written as; its matrix is made where there is none yet. */
  #put({ parts, isTransposed }: MatrixSpec, tensor: Tensor): Write[] {
    const key = matrixKey(parts);
    const dtypes = new Set(parts.map((part) => this.#dtypeOf(part)));
    const [only = 'f32'] = dtypes;
    const dtype = dtypes.size === 1 ? only : 'f32';
    const part = matrixPart(tensor, isTransposed, dtype);
    const [rows, K] = sizesOf(part);
    const rowBytes = 2 * Math.ceil(K / 2) * dtypeWidth(dtype);
    const above = parts.slice(0, parts.indexOf(tensor.name)).map((name) => this.#rowsOf(name));
    const N = parts.length === 1 ? rows : parts.reduce((sum, name) => sum + this.#rowsOf(name), 0);
    let matrix = this.#matrices.get(key);
    if (!matrix) {
      const most = Math.max(1, Math.floor(this.#mostBytes / rowBytes));
      matrix = {
        dtype,
        N,
        K,
        parts: Array.from({ length: Math.ceil(N / most) }, (_, index) => {
          const first = index * most;
          const count = Math.min(most, N - first);
          const label = count === N ? key : `${key}, rows from ${first}`;
          return { buffer: this.#gpu.buffer(label, 'weights', count * rowBytes), first, N: count };
        }),
      };
      this.#matrices.set(key, matrix);
    }
    const firstRow = above.reduce((sum, count) => sum + count, 0);
    return [...writesOf(matrix, firstRow, rowBytes, padRows(part))];
  }

  /** The matrix that these tensors make up. */
  matrix(...parts: readonly string[]): Matrix {
    const key = matrixKey(parts);
    const matrix = this.#matrices.get(key);
    if (!matrix) throw new RangeError(`Cannot find matrix "${key}"`);
    return matrix;
  }

  /** Tensors one after the other, in f32. */
  vector(...names: readonly string[]): GpuBuffer {
    const key = matrixKey(names);
    let buffer = this.#vectors.get(key);
    if (!buffer) {
      buffer = this.#gpu.upload(key, 'weights', joined(names.map((name) => this.values(name))));
      this.#vectors.set(key, buffer);
    }
    return buffer;
  }

  /** Values of a tensor that is on the CPU, or undefined. */
  values(name: string): Float32Array | undefined {
    const tensor = this.checkpoint.file.tensors.get(name);
    return tensor && toFloat32(tensor);
  }

  [Symbol.dispose](): void {
    for (const { parts } of this.#matrices.values()) for (const { buffer } of parts) buffer[Symbol.dispose]();
    for (const buffer of this.#vectors.values()) buffer[Symbol.dispose]();
  }
}

/** Vectors one after the other; what is missing has no values. */
export function joined(vectors: readonly (Float32Array | undefined)[]): Float32Array {
  const whole = new Float32Array(vectors.reduce((sum, vector) => sum + (vector?.length ?? 0), 0));
  let at = 0;
  for (const vector of vectors) {
    if (!vector) continue;
    whole.set(vector, at);
    at += vector.length;
  }
  return whole;
}

/** Bytes that one buffer can hold and one binding can show. */
export const largestBuffer = ({ device: { limits } }: Gpu): number =>
  Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
