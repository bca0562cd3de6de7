// Matrices for kernel tests: drawn, put on the device in both widths, and compared.
import type { Gpu, GpuBuffer } from '../../src/gpu/device.ts';
import type { MatrixDtype } from '../../src/kernel/matmul.ts';
import { padRows } from '../../src/model/weights.ts';
import { gaussian } from '../cases/norm.ts';

export const normal = (count: number, seed: number): Float32Array => {
  const next = gaussian(seed);
  return Float32Array.from({ length: count }, next);
};
export const at = (values: ArrayLike<number>, i: number): number => values[i] ?? Number.NaN;
export const furthest = (got: Float32Array, want: Float64Array): number =>
  want.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - at(got, i)) / Math.max(1, Math.abs(value))),
    0,
  );

/** Small multiples of 1/64 are exact in f16 and in bf16: every width holds the same matrix. */
export const exactInHalf = (count: number, seed: number): Float32Array =>
  normal(count, seed).map((v) => Math.round(v * 16) / 64);

const brainBits = (values: Float32Array): Uint16Array =>
  Uint16Array.from(new Uint32Array(values.slice().buffer), (bits) => bits >>> 16);

function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

export function uploadMatrix(
  gpu: Gpu,
  values: Float32Array,
  shape: readonly [number, number],
  dtype: MatrixDtype,
): GpuBuffer {
  const data =
    dtype === 'f32' ? values : dtype === 'bf16' ? brainBits(values) : Uint16Array.from(values, halfBits);
  const bytes = new Uint8Array(data.buffer);
  return gpu.upload(
    'w',
    'weights',
    padRows({ name: 'w', dtype: dtype === 'f32' ? 'F32' : 'F16', shape, bytes }),
  );
}
