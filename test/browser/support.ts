// A device for a test file. No adapter is a failure, never a skip.
import { adapterName, Gpu } from '../../src/gpu/device.ts';
import type { GpuBuffer } from '../../src/gpu/device.ts';
import { Compiler } from '../../src/kernel/compile.ts';
import type { KernelSpec } from '../../src/kernel/compile.ts';

export async function openGpu(): Promise<Gpu> {
  const gpu = await Gpu.open();
  console.info(`adapter: ${adapterName(gpu.adapter)}`);
  return gpu;
}

const compilers = new WeakMap<Gpu, Compiler>();

export function compilerOf(gpu: Gpu): Compiler {
  const compiler = compilers.get(gpu) ?? new Compiler(gpu);
  compilers.set(gpu, compiler);
  return compiler;
}

/** Runs one kernel over named buffers. */
export async function dispatch(
  gpu: Gpu,
  spec: KernelSpec,
  buffers: Readonly<Record<string, GpuBuffer>>,
  workgroups: readonly [number, number?, number?],
): Promise<void> {
  const compiler = compilerOf(gpu);
  const kernel = await compiler.kernel(spec);
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(kernel.pipeline);
  compiler.bind(kernel, buffers).forEach((group, index) => pass.setBindGroup(index, group));
  pass.dispatchWorkgroups(...workgroups);
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  await gpu.done();
}

/** The run's uniform: T tokens now, `past` before them. */
export function runUniform(gpu: Gpu, T: number, past = 0): GpuBuffer {
  const buffer = gpu.buffer('run', 'parameters', 16, GPUBufferUsage.UNIFORM);
  gpu.write(buffer, Uint32Array.of(T, past));
  return buffer;
}

export async function readFloats(gpu: Gpu, buffer: GpuBuffer, count: number): Promise<Float32Array> {
  return new Float32Array(await gpu.read([{ buffer, sizeBytes: count * 4 }]));
}
