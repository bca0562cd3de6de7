// What the engine keeps on one device.
import type { Lab } from '../fit/lab.ts';
import { GpuClock, wallStepMs } from '../gpu/clock.ts';
import type { Gpu } from '../gpu/device.ts';
import { Compiler } from '../kernel/compile.ts';
import type { Checkpoint } from '../model/model.ts';
import type { Weights } from '../model/weights.ts';
import type { Environment } from './api.ts';
import { Workspace } from '../model/workspace.ts';

const MOST_OPERATIONS = 512;

/** Everything that lives and dies with one device. */
export class Session implements Disposable {
  readonly gpu: Gpu;
  readonly compiler: Compiler;
  readonly weights = new Map<string, Weights>();
  readonly #spaces = new Map<string, Workspace>();
  readonly passClock: GpuClock | null;
  readonly opClock: GpuClock | null;
  /** Texts of people that were looked at before they run. */
  readonly tried = new Map<string, Promise<void>>();
  /** Plans that fits have measured. */
  readonly measured: Lab['measured'] = new Map();
  isLost = false;

  constructor(gpu: Gpu) {
    this.gpu = gpu;
    this.compiler = new Compiler(gpu);
    this.passClock = GpuClock.open(gpu, 1);
    this.opClock = GpuClock.open(gpu, MOST_OPERATIONS);
    void gpu.lost.then(() => (this.isLost = true));
  }

  /** Activations for models of this shape; twins share them. */
  space(checkpoint: Checkpoint): Workspace {
    const key = shapeOf(checkpoint);
    const space = this.#spaces.get(key) ?? new Workspace(this.gpu, checkpoint.context);
    this.#spaces.set(key, space);
    return space;
  }

  /** Gives a model's memory back; activations that another model uses stay. */
  close(id: string): void {
    const closed = this.weights.get(id);
    if (!closed) return;
    this.weights.delete(id);
    closed[Symbol.dispose]();
    const key = shapeOf(closed.checkpoint);
    if ([...this.weights.values()].some(({ checkpoint }) => shapeOf(checkpoint) === key)) return;
    this.#spaces.get(key)?.[Symbol.dispose]();
    this.#spaces.delete(key);
  }

  async environment(): Promise<Environment> {
    const { gpu, passClock, opClock } = this;
    return {
      device: 'gpu',
      adapter: gpu.adapter,
      features: [...gpu.device.features].toSorted(),
      limits: limitsOf(gpu.device.limits),
      timer: {
        kind: passClock ? 'timestamp-query' : 'wall',
        quantumNs: (await opClock?.quantumNs()) ?? null,
        wallStepMs: wallStepMs(),
      },
      isCrossOriginIsolated: globalThis.crossOriginIsolated === true, // Node has no such word
    };
  }

  [Symbol.dispose](): void {
    this.gpu[Symbol.dispose]();
  }
}

/** What decides the sizes of activations. */
const shapeOf = ({ model: { family, dims, image }, context }: Checkpoint): string =>
  JSON.stringify([family, Object.entries(dims), image, context]);

/** Limits as plain numbers; they are getters on the prototype. */
function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const names = Object.keys(Object.getPrototypeOf(limits) as object);
  return Object.fromEntries(
    names.flatMap((name) => {
      const value: unknown = limits[name as keyof GPUSupportedLimits];
      return typeof value === 'number' ? [[name, value]] : [];
    }),
  );
}
