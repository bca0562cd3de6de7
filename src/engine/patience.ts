// Patience with kernels in which a person's own WGSL may loop for ever, and what is said where it cannot run at all.
import type { Gpu } from '../gpu/device.ts';
import type { OwnNorm } from '../kernel/own.ts';
import { normSpec } from '../norm/registry.ts';
import { Problem } from '../problem.ts';

const nameOf = ({ norm }: OwnNorm): string => `your own ${normSpec(norm).label}`;

/** Whatever asks another engine than ours to run a person's WGSL. */
export const needsWebGpu = (own: OwnNorm): Problem =>
  new Problem(
    'unsupported',
    `Cannot take ${nameOf(own)} there: it is WGSL, which needs WebGPU`,
    `Go back to ${normSpec(own.norm).label} to use onnxruntime, or open the page where there is WebGPU.`,
  );

/** A forward may be long on a slow machine. */
const FORWARD_PATIENCE_MS = 60_000;

/**
 * Waits for work in which a person's text may loop for ever. After `mostMs` the device is given up, so that everything
 * else can go on with a new one. Whatever took the device: the Problem names the text.
 */
export async function patiently<T>(
  gpu: Gpu,
  own: OwnNorm | undefined,
  work: Promise<T>,
  mostMs = FORWARD_PATIENCE_MS,
): Promise<T> {
  if (!own) return work;
  const LATE = Symbol('late');
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(() => resolve(LATE), mostMs);
  });
  const blame = (why: string): Problem =>
    new Problem(
      'own-norm',
      `Cannot finish ${nameOf(own)}: ${why}`,
      'Look for a loop that does not end. The text stays in the editor, and a new device is opened for the next run.',
    );
  try {
    const done = await Promise.race([work, late]);
    if (done !== LATE) return done;
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.code === 'device-lost') throw blame(thrown.message);
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
  work.catch(() => undefined); // it ends with the device
  gpu.device.destroy();
  throw blame(`the GPU was still at it after ${mostMs / 1000} s`);
}
